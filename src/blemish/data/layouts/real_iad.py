"""Real-IAD (Wang et al., CVPR 2024): 30 categories, five views of every part.

::

    realiad_jsons/realiad_jsons/audiojack.json
    realiad_1024/audiojack/OK/S0001/audiojack_0001_OK_C1_….jpg
    realiad_1024/audiojack/NG/<class>/S0001/….jpg and ….png (mask)

The label is that of the image: a view in which the defect cannot be seen is good. ``part`` is the
folder that holds the views of one part (``audiojack/NG/QS/S0001``), because the numbers ``S0001``
repeat between categories and classes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blemish.data.images.image_list import natural_key
from blemish.data.layouts.base import Layout, Reading, read_each
from blemish.data.layouts.tree import Listing, defects_in_training, inside
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

_LISTS = (Path("realiad_jsons", "realiad_jsons"), Path("realiad_jsons"))
_IMAGES = ("realiad_1024", "realiad_512", "realiad_256", "realiad_raw")
_SPLITS: tuple[Split, ...] = ("train", "test")


def _lists(root: Path) -> list[Path]:
    for folder in _LISTS:
        found = sorted((root / folder).glob("[!.]*.json"), key=natural_key)
        if found:
            return found
    return []


def _recognise(root: Path) -> bool:
    return bool(_lists(root))


def _read(root: Path) -> Reading:
    images = next((root / name for name in _IMAGES if (root / name).is_dir()), None)
    if images is None:
        raise DataError(
            f"There is no folder {root / _IMAGES[0]}. Unpack Real-IAD's images beside "
            f"realiad_jsons ({', '.join(_IMAGES)} are recognised, the first found is used)."
        )
    listing = Listing()
    lists = {path.stem: path for path in _lists(root)}
    return read_each(lists, lambda product, path: _read_list(product, path, images, listing))


def _read_list(product: str, path: Path, images: Path, listing: Listing) -> Reading:
    content = _load(path)
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    normal, prefix = meta.get("normal_class", "OK"), meta.get("prefix", f"{product}/")
    if not isinstance(prefix, str) or not isinstance(normal, str):
        raise DataError(f"{path}: found meta {meta!r}. Expected the texts normal_class and prefix.")
    folder = inside(images, prefix, source=path)
    samples: list[Sample] = []
    missing = unmasked = 0
    problems: list[str] = []
    for split in _SPLITS:
        entries = content.get(split)
        if not isinstance(entries, list):
            raise DataError(f"{path}: found no list {split!r}. Download Real-IAD's lists again.")
        for position, entry in enumerate(entries):
            text, kind, mask = _entry(entry, path, split, position)
            image = inside(folder, text, source=path)
            if image not in listing:
                missing += 1
                continue
            good = kind == normal
            masks: tuple[Path, ...] = ()
            if not good:
                mask_path = inside(folder, mask, source=path) if mask else None
                if mask_path is not None and mask_path in listing:
                    masks = (mask_path,)
                else:
                    unmasked += 1
            part = image.parent.relative_to(images).as_posix()
            samples.append(
                Sample(
                    image, product, split, int(not good), None if good else kind, masks, part=part
                )
            )
    if missing:
        problems.append(
            f"{product}: {missing} images named in {path.name} are not below {folder} and were "
            "left out."
        )
    if unmasked:
        problems.append(
            f"{product}: {unmasked} defective images have no mask; they count as defective but "
            "not annotated."
        )
    for kind in sorted({s.defect_kind or "" for s in samples if s.label and s.split == "train"}):
        count = sum(s.defect_kind == kind and s.split == "train" for s in samples)
        problems.append(defects_in_training(product, count, kind))
    return samples, problems


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Expected JSON; download Real-IAD's lists again."
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds a {type(content).__name__}. Expected an object with meta, train and "
            "test; download Real-IAD's lists again."
        )
    return content


def _entry(entry: Any, path: Path, split: str, position: int) -> tuple[str, str, str | None]:
    if isinstance(entry, dict):
        image, kind = entry.get("image_path"), entry.get("anomaly_class")
        mask = entry.get("mask_path")
        if isinstance(image, str) and isinstance(kind, str) and isinstance(mask, (str, type(None))):
            return image, kind, mask
    raise DataError(
        f"{path}, {split} entry {position}: found {str(entry)[:120]}. Expected image_path and "
        "anomaly_class as text, mask_path as text or null; download Real-IAD's lists again."
    )


LAYOUT = Layout(
    "real_iad",
    "realiad_jsons/realiad_jsons/<category>.json and realiad_1024/<category>/",
    _recognise,
    _read,
)
