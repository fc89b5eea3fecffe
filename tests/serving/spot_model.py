"""A model that takes no training: whatever is bright is odd. Also a program that serves it.

    python spot_model.py serve NAME --port 0 …

Its score is the brightest value of the picture as the network sees it, so that a test can say what
it must be.
"""

from __future__ import annotations

import io
import os
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.calibration import Calibration, CalibrationRecord, calibrate, image_identity
from blemish.data.equal_pictures import digest_of
from blemish.data.images.look_units import LookUnits
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import Tiling
from blemish.inspection.learned_images import packed
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.inspection.network import NetworkOutput
from blemish.serving.model import ServedModel

GOOD = [100 + k / 4 for k in range(99)]  # scores of the good pictures behind the limits


class SpotNetwork:
    """Brightness as anomaly map, its maximum as score."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[int] = []

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        self.batches.append(len(pixels))
        time.sleep(self.seconds * len(pixels))
        maps = pixels.max(axis=3).astype(np.float32)  # (N, H, W)
        return NetworkOutput(maps, maps.max(axis=(1, 2)).astype(float), {})


class TwoProducts(SpotNetwork):
    """The same, of two products: bright ground shows a bolt, and what is in between may be both."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        output = super().__call__(pixels)
        ground = [float(np.median(one)) for one in pixels]
        products = tuple("bolt" if level > 80 else "nut" for level in ground)
        rivals = tuple("nut" if 80 < level < 90 else "" for level in ground)
        return replace(output, products=products, rivals=rivals)


def two_products_model(**changes: Any) -> ServedModel:
    """Nuts have the limits of :func:`spot_calibration`, bolts 50 higher ones."""
    records = [
        CalibrationRecord(product, score=s + more, peak=s + more, map_low=60.0)
        for product, more in (("nut", 0), ("bolt", 50))
        for s in GOOD
    ]
    content = {"products": ("nut", "bolt"), "calibration": calibrate(records)}
    return spot_model(**{"network": TwoProducts(), **content, **changes})


def spot_calibration(product: str | None = "nut") -> Calibration:
    """Limits 124.5 for a defect and 123.5 for unsure, from 99 good pictures."""
    return calibrate(CalibrationRecord(product, score=s, peak=s, map_low=60.0) for s in GOOD)


def named_calibration() -> Calibration:
    """The usual limits by pictures with names, and one that is no good part among them."""
    good = [CalibrationRecord("nut", s, s, image=f"{k}.png#{k}") for k, s in enumerate(GOOD)]
    scratch = image_identity("scratch.png", png(part(150)))
    return calibrate([*good, CalibrationRecord("nut", 150.0, 150.0, image=scratch)])


def spot_model(**changes: Any) -> ServedModel:
    """The model, ready to serve."""
    content: dict[str, Any] = {
        "name": "spots.blemish",
        "identity": "spots",
        "network": SpotNetwork(),
        "preprocessing": Preprocessing(64, 64),
        "products": ("nut",),
        "calibration": spot_calibration(),
        "facts": {"method": "spots"},
    }
    return ServedModel(**{**content, **changes})


def part(
    level: int = 110,
    *,
    spot: int | None = None,
    size: tuple[int, int] = (64, 64),
    ground: int = 60,
) -> NDArray:
    """A grey picture ``(H, W, 3)``, with a bright square where there is a defect."""
    image = np.full((*size, 3), ground, np.uint8)
    image[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = level
    if spot is not None:
        image[-size[0] // 4 : -size[0] // 8, -size[1] // 4 : -size[1] // 8] = spot
    return image


def png(image: NDArray) -> bytes:
    """The file's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """The command line, whose model is the spots, as the environment says."""
    from blemish.cli import app as command_line
    from blemish.serving.http import server

    several = "SPOT_PRODUCTS" in os.environ
    kind = TwoProducts if several else SpotNetwork
    network = kind(float(os.environ.get("SPOT_SECONDS", "0")))
    both = LookUnits() if "SPOT_COARSE" in os.environ else None
    tiling = Tiling(8, coarse=both) if "SPOT_TILES" in os.environ else None
    prepare = Preprocessing(64, 64, tiling=tiling)
    changes: dict[str, Any] = {"network": network, "preprocessing": prepare}
    if "SPOT_NAMED" in os.environ:
        changes["calibration"] = named_calibration()
    if "SPOT_LOOK" in os.environ:
        look = (float(os.environ["SPOT_LOOK"]), 2.0, 0.0)
        changes["pictures"] = LearnedPictures((64, 64), (1, 1), looks={"nut": look})
    if "SPOT_LEARNED" in os.environ:
        content = png(part(int(os.environ["SPOT_LEARNED"])))
        changes["learned_images"] = packed([digest_of(content)])
    made = (two_products_model if several else spot_model)(**changes)
    server.open_served = lambda path, **options: made  # type: ignore[assignment]
    sys.argv[0] = "blemish"
    command_line.main()


if __name__ == "__main__":
    main()
