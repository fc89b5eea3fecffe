"""Picture folder: masks and overlays as PNG files in a folder that mirrors the images' folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish._files import atomic_write, check_is_no_dash
from blemish.calibration import Calibration
from blemish.errors import ConfigError
from blemish.outputs.overlay import draw_overlay
from blemish.results import Prediction
from blemish.stores.urls import absolute, as_url, shown


class PictureFolder:
    """Names one PNG per image in a folder that mirrors the images' folders below a root.

    ``root/a/001.png`` becomes ``folder/a/001.png`` and ``root/a/001.jpg`` becomes
    ``folder/a/001.jpg.png``: no two images ever share a file, and no image is replaced by its own
    picture. An image from elsewhere goes to ``folder/elsewhere`` with its whole path.

    Args:
        folder: Where the pictures go. Created when first needed, in a folder that exists.
        root: Folder from which relative paths are taken, e.g. ``common_root(paths)``.
    """

    def __init__(self, folder: str | Path, *, root: str | Path) -> None:
        if as_url(folder):
            raise ConfigError(
                f"Cannot write pictures to {shown(folder)} one by one. Name a folder of this "
                "machine, or write results with maps: --out URL --maps."
            )
        check_is_no_dash(folder)
        self.folder = absolute(Path(folder))
        self.root = absolute(Path(root))
        self._owners: dict[str, Path | int] = {}
        self._unnamed = 0

    def reserve(self, source: Path) -> None:
        """Keep the name of a picture written by an earlier run for its image."""
        self._target(source)

    def _save(self, source: Path | None, picture: Image.Image) -> Path:
        target = self._target(source)
        if not self.folder.parent.is_dir():
            raise ConfigError(
                f"Cannot write to {self.folder}: the folder {self.folder.parent} does not exist. "
                "Create it first, or name a folder inside one that exists."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file:
            picture.save(file, format="PNG", compress_level=4)
        return target

    def _target(self, source: Path | None) -> Path:
        if source is None:
            self._unnamed += 1
            owner: Path | int = self._unnamed
            relative = Path(f"image-{self._unnamed:06d}.png")
        else:
            owner = source = absolute(source)
            if source.is_relative_to(self.root):
                relative = source.relative_to(self.root)
            else:
                relative = Path("elsewhere", *source.parts[1:])
        name = relative.name if relative.suffix == ".png" else relative.name + ".png"
        plain = target = self.folder / relative.parent / name
        number = 1
        # Without regard to case: some file systems make no difference.
        while self._owners.setdefault(str(target).casefold(), owner) != owner:
            number += 1
            target = plain.with_name(f"{plain.stem}-{number}.png")
        if source is not None and target.resolve() == source.resolve():
            raise ConfigError(
                f"{target} would be written over the image itself. Choose another folder than "
                f"{self.folder}."
            )
        return target


class MaskSink(PictureFolder):
    """The marked pixels of each image as a PNG of the image's size: 0 nothing, 255 marked."""

    def write(self, prediction: Prediction) -> Path:
        """Write one mask; returns its file. A prediction without one is a ``ConfigError``."""
        if prediction.mask is None:
            raise ConfigError(
                f"There is no mask for {prediction.path}: the model is not calibrated. Run: "
                "blemish calibrate MODEL GOOD_DIR"
            )
        pixels = np.where(prediction.mask, np.uint8(255), np.uint8(0))  # (H, W)
        return self._save(prediction.path, Image.fromarray(pixels))


class OverlaySink(PictureFolder):
    """Each image with its heat map, outlines, boxes and caption as a PNG.

    ``calibration`` gives each product its fixed colour scale.
    """

    def __init__(self, folder: str | Path, *, root: str | Path, calibration: Calibration) -> None:
        super().__init__(folder, root=root)
        self.calibration = calibration

    def write(self, prediction: Prediction, image: NDArray[np.uint8]) -> Path:
        """Write one overlay over its source image ``(H, W, 3)`` uint8 RGB; returns its file."""
        scale = self.calibration.limits(prediction.product).map_scale
        picture = draw_overlay(image, prediction, scale=scale)
        return self._save(prediction.path, picture)
