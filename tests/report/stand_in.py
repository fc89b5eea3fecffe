"""A detector whose answers are plain to see: the brighter a pixel, the odder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import load_input, training_data
from blemish.errors import ImageError
from blemish.inspection.network import NetworkOutput
from blemish.inspection.prediction import make_prediction
from blemish.results import Prediction

BACKGROUND = 100


class BrightSpots:
    """Scores an image by its brightest pixel above the background, in units of 10 grey levels.

    Args:
        calibration: Its limits.
        broken: Names of files that cannot be read.
    """

    def __init__(self, calibration: Calibration | None, broken: Sequence[str] = ()) -> None:
        self.calibration = calibration
        self.broken = broken
        self.bit_depth = 16
        self.products: tuple[str, ...] = ()
        self.predicted = 0

    def predict(self, sample: Sample, *, batch_size: int = 8) -> Iterator[Prediction]:
        yield self._judge(sample)

    def judge_test_images(
        self,
        data: DataSet | str | Path,
        *,
        layout: str = "auto",
        on_error=None,
        progress=None,
        on_note=None,
    ) -> Iterator[tuple[Sample, Prediction]]:
        for sample in training_data(data, layout=layout).split("test").samples:
            if sample.path.name in self.broken:
                on_error(sample.path, ImageError(f"Cannot read {sample.path}: cut short."))
            elif sample.label is not None:
                yield sample, self._judge(sample)

    def _judge(self, sample: Sample) -> Prediction:
        self.predicted += 1
        prepare = Preprocessing(32, 32)
        pixels, size, *_ = load_input(sample, prepare)
        amap = (pixels.max(axis=2).astype(np.float32) - BACKGROUND) / 10
        return make_prediction(
            sample,
            NetworkOutput(amap[None], np.array([float(amap.max())])),
            source_size=size,
            preprocessing=prepare,
            calibration=self.calibration,
        )


def limits_at(defect: float, *, n: int = 99, products: Sequence[str] = ("nut",)) -> Calibration:
    """Limits of ``n`` good images per product, the highest score of which is ``defect``."""
    return calibrate(
        CalibrationRecord(product, score=s, peak=s, map_low=0.0)
        for product in products
        for s in np.linspace(0.0, defect, n).tolist()
    )


def write_part(path: Path, spot: int, *, size: int = 32, mask: Path | None = None) -> Path:
    """A grey part with a spot that much brighter, and its ground truth where asked for."""
    pixels = np.full((size, size), BACKGROUND, np.uint8)
    block = slice(size // 4, size // 4 + size // 8)
    pixels[block, block] += np.uint8(spot)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    if mask is not None:
        truth = np.zeros((size, size), np.uint8)
        truth[block, block] = 255
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(truth).save(mask)
    return path


def write_product(
    root: Path,
    good: Sequence[int],
    kinds: dict[str, Sequence[int]],
    *,
    product: str = "nut",
    masks: bool = True,
) -> Path:
    """A product in MVTec AD's tree whose images have spots of the given brightness."""
    folder = root / product
    write_part(folder / "train" / "good" / "000.png", 0)
    for i, spot in enumerate(good):
        write_part(folder / "test" / "good" / f"{i:03}.png", spot)
    for kind, spots in kinds.items():
        for i, spot in enumerate(spots):
            truth = folder / "ground_truth" / kind / f"{i:03}_mask.png"
            path = folder / "test" / kind / f"{i:03}.png"
            write_part(path, spot, mask=truth if masks else None)
    return root
