"""Masks and overlays as PNG files in a folder that mirrors the images' folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish._files import atomic_write
from blemish.calibration.limits import Calibration
from blemish.errors import ConfigError
from blemish.outputs.overlay import draw_overlay
from blemish.results import Prediction


def common_root(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all these files; their relative paths are taken from it.

    Raises:
        ConfigError: No paths, or paths on different drives.

    Example:
        >>> from pathlib import Path
        >>> from blemish.outputs.pictures import common_root
        >>> common_root([Path("/d/good/1.png"), Path("/d/scratch/1.png")]).name
        'd'
    """
    folders = {_absolute(path).parent for path in paths}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise ConfigError(
            "The images have no folder in common. Predict those of each drive by themselves."
        ) from error


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
        self.folder = _absolute(Path(folder))
        self.root = _absolute(Path(root))
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
            owner = source = _absolute(source)
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
    """The marked pixels of each image as a PNG of the image's size: 0 nothing, 255 marked.

    Args:
        folder: Where the masks go.
        root: Folder from which the images' relative paths are taken.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from blemish.outputs.pictures import MaskSink
        >>> from blemish.results import Prediction
        >>> amap = np.zeros((4, 6), "f4")
        >>> p = Prediction(Path("in/a/1.jpg"), None, 0.1, amap, mask=amap > 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     MaskSink(Path(folder) / "masks", root="in").write(p).name
        '1.jpg.png'
    """

    def write(self, prediction: Prediction) -> Path:
        """Write one mask; returns its file.

        Raises:
            ConfigError: The prediction has no mask, or the folder cannot be written.
        """
        if prediction.mask is None:
            raise ConfigError(
                f"There is no mask for {prediction.path}: the model is not calibrated. Run: "
                "blemish calibrate MODEL GOOD_DIR"
            )
        pixels = np.where(prediction.mask, np.uint8(255), np.uint8(0))  # (H, W)
        return self._save(prediction.path, Image.fromarray(pixels))


class OverlaySink(PictureFolder):
    """Each image with its heat map, outlines, boxes and caption as a PNG.

    Args:
        folder: Where the pictures go.
        root: Folder from which the images' relative paths are taken.
        calibration: Gives each product its fixed colour scale.
        opacity: Of the hottest colour, in [0, 1].
        max_side: Longest side of a picture in pixels.

    Example:
        >>> from blemish.calibration.limits import CalibrationRecord, calibrate
        >>> from blemish.outputs.pictures import OverlaySink
        >>> calibration = calibrate([CalibrationRecord("nut", score=0.1, peak=0.2)])
        >>> OverlaySink("overlays", root="in", calibration=calibration).opacity
        0.6
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        root: str | Path,
        calibration: Calibration,
        opacity: float = 0.6,
        max_side: int = 2048,
    ) -> None:
        super().__init__(folder, root=root)
        self.calibration = calibration
        self.opacity = opacity
        self.max_side = max_side

    def write(self, prediction: Prediction, image: NDArray[np.uint8]) -> Path:
        """Write one overlay; returns its file.

        Args:
            prediction: What was found.
            image: ``(H, W, 3)`` uint8 RGB, the source image.

        Raises:
            ConfigError: The folder cannot be written.
            DataError: Image and anomaly map differ in size.
        """
        picture = draw_overlay(
            image,
            prediction,
            scale=self.calibration.limits(prediction.product).map_scale,
            opacity=self.opacity,
            max_side=self.max_side,
        )
        return self._save(prediction.path, picture)


def _absolute(path: Path) -> Path:
    """Absolute, without ``..``, links kept: the names the user knows."""
    return Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
