"""MVTec LOCO AD (Bergmann et al., IJCV 2022): structural and logical anomalies.

::

    breakfast_box/
      defects_config.json
      train/good/000.png …
      validation/good/000.png …
      test/{good,logical_anomalies,structural_anomalies}/000.png …
      ground_truth/<kind>/000/000.png, 001.png …   (one PNG per defect)

The unit of AU-sPRO is one ground-truth PNG; its pixel value selects the entry of
``defects_config.json`` that holds the saturation threshold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import Layout, Reading, read_each
from blemish.data.layouts.tree import find_categories, read_category, subfolders
from blemish.errors import DataError

CONFIG_NAME = "defects_config.json"


@dataclass(frozen=True)
class DefectConfig:
    """When a defect of one kind counts as fully found.

    Attributes:
        defect_name: Name of the kind, e.g. ``missing_bushing``.
        pixel_value: Value of its pixels in the ground-truth PNGs, 1 to 255.
        saturation_threshold: Area that saturates the overlap: a share of the defect's area in
            (0, 1] if ``relative_saturation``, else a number of pixels.
        relative_saturation: How to read ``saturation_threshold``.
    """

    defect_name: str
    pixel_value: int
    saturation_threshold: float
    relative_saturation: bool


def read_defects_config(path: str | Path) -> list[DefectConfig]:
    """The entries of a category's ``defects_config.json``.

    Args:
        path: The file, or the category's folder that holds it.

    Raises:
        DataError: The file is missing, not JSON, or an entry is incomplete or out of range.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.data.layouts import read_defects_config
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "defects_config.json"
        ...     _ = path.write_text(
        ...         '[{"defect_name": "scratch", "pixel_value": 255,'
        ...         ' "saturation_threshold": 0.5, "relative_saturation": true}]'
        ...     )
        ...     read_defects_config(path)[0].saturation_threshold
        0.5
    """
    path = Path(path)
    if path.is_dir():
        path = path / CONFIG_NAME
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no {path}. AU-sPRO needs the saturation thresholds in it; copy it from the "
            "data set's archive."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Expected JSON; copy it from the archive again."
        ) from error
    if not isinstance(entries, list) or not entries:
        raise DataError(
            f"{path} holds a {type(entries).__name__}. Expected a list of defect kinds; copy it "
            "from the archive again."
        )
    configs = [_entry(entry, path, i) for i, entry in enumerate(entries)]
    values = [config.pixel_value for config in configs]
    if len(set(values)) < len(values):
        raise DataError(
            f"{path} gives one pixel_value to several defect kinds: {sorted(values)}. Expected "
            "each value once."
        )
    return configs


def _entry(entry: Any, path: Path, position: int) -> DefectConfig:
    if not isinstance(entry, dict):
        entry = {}
    name, value = entry.get("defect_name"), entry.get("pixel_value")
    threshold, relative = entry.get("saturation_threshold"), entry.get("relative_saturation")
    if not (
        isinstance(name, str)
        and type(value) is int
        and 1 <= value <= 255
        and type(threshold) in (int, float)
        and math.isfinite(threshold)
        and threshold > 0
        and isinstance(relative, bool)
        and (threshold <= 1 or not relative)
    ):
        raise DataError(
            f"{path}, entry {position}: found {entry!r}. Expected defect_name (text), pixel_value "
            "(1 to 255), saturation_threshold (above 0, at most 1 if relative) and "
            "relative_saturation (true or false)."
        )
    return DefectConfig(name, value, float(threshold), relative)


def _masks(category: Path, kind: str) -> Mapping[str, tuple[Path, ...]]:
    return {
        folder.name: tuple(list_images(folder, recursive=False))
        for folder in subfolders(category / "ground_truth" / kind)
    }


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() and (
        (folder / CONFIG_NAME).is_file()
        or (folder / "test" / "logical_anomalies").is_dir()
        or (folder / "test" / "structural_anomalies").is_dir()
    )


def _may_be_category(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() or (folder / "test").is_dir()


def _recognise(root: Path) -> bool:
    return bool(find_categories(root, _is_category))


def _read_category(product: str, category: Path) -> Reading:
    samples, problems = read_category(product, category, find_masks=_masks)
    if not any(s.split == "validation" for s in samples):
        problems.append(f"{product}: there are no images in validation/good/.")
    try:
        read_defects_config(category)
    except DataError as error:
        problems.append(f"{product}: {error}")
    return samples, problems


def _read(root: Path) -> Reading:
    return read_each(find_categories(root, _may_be_category), _read_category)


LAYOUT = Layout(
    "mvtec_loco",
    "<category>/train/good/ and <category>/test/{good,logical_anomalies,structural_anomalies}/",
    _recognise,
    _read,
)
