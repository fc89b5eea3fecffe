"""KolektorSDD: photographs of commutators, a folder of views per item, an empty mask where good.

``kolektor`` (Tabernik et al., JIM 2019)::

    kos01/Part0.jpg … Part7.jpg      kos01/Part0_label.bmp …    (values above 0 are defect)

The mask alone says what is good. Nearly every item has one defective view of about eight, and the
data set names no split of its own: here every third item tests with all its views, and of the
others the good views train; their defective ones are in the training split, which methods that
learn from good images leave out. ``part`` is the item, so that none is ever divided.

KolektorSDD2 needs nothing of its own: ``train/`` and ``test/`` with ``10000.png`` and
``10000_GT.png`` is read as a folder of images with masks.
"""

from __future__ import annotations

import re
from pathlib import Path

from blemish.data.images.image_list import list_images
from blemish.data.images.reading import read_mask
from blemish.data.layouts.base import (
    Layout,
    Reading,
    arranged,
    defects_in_training,
    found_in,
    subfolders,
)
from blemish.data.layouts.masks_of_images import masks_beside
from blemish.data.sample import Sample, Split
from blemish.errors import DataError, ImageError

_ITEM = re.compile(r"kos\d+", re.IGNORECASE)
_TESTED = 3  # every third item


def _items(root: Path) -> list[Path]:
    return [path for path in subfolders(root) if _ITEM.fullmatch(path.name)]


def _recognise(root: Path) -> bool:
    items = _items(root)
    return bool(items) and bool(masks_beside(list_images(items[0], recursive=False)))


def _read(root: Path) -> Reading:
    product = root.resolve().name
    samples: list[Sample] = []
    problems: list[str] = []
    items = _items(root)
    if not items:
        raise DataError(
            f"Found no folder called kos01 or the like in {root}; found {found_in(root)}. Name the "
            "folder that holds them."
        )
    for place, item in enumerate(items):
        split: Split = "test" if place % _TESTED == _TESTED - 1 else "train"
        files = list_images(item, recursive=False)
        beside = masks_beside(files)
        for path in files:
            if path in beside.values():
                continue
            try:
                marked = bool(read_mask(beside[path]).any())
            except (KeyError, ImageError) as error:
                reason = error if isinstance(error, ImageError) else "it has no mask"
                problems.append(
                    f"{product}: {item.name}/{path.name} is left out, as nothing says whether it "
                    f"is good: {reason}."
                )
                continue
            kind, masks = ("defect", (beside[path],)) if marked else (None, ())
            label = int(marked)
            samples.append(Sample(path, product, split, label, kind, masks, part=item.name))
    learned = sum(s.label == 1 and s.split == "train" for s in samples)
    if learned:
        problems.append(defects_in_training(product, learned, "defect"))
    return arranged(samples), problems


KOLEKTOR = Layout(
    "kolektor", "kos01/Part0.jpg with kos01/Part0_label.bmp, and so on", _recognise, _read
)
