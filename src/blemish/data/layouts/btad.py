"""BTAD (Mishra et al., ISIE 2021): three products, good images called ``ok``.

::

    01/
      train/ok/0000.bmp …
      test/ok/… , test/ko/0000.bmp …           (.bmp and .png mixed)
      ground_truth/ko/0000.png …               (or .bmp)
"""

from __future__ import annotations

from pathlib import Path

from blemish.data.layouts.base import Layout, Reading, read_each
from blemish.data.layouts.tree import find_categories, read_category


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() and (folder / "test" / "ko").is_dir()


def _may_be_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() or (folder / "test" / "ko").is_dir()


def _recognise(root: Path) -> bool:
    return bool(find_categories(root, _is_category))


def _read(root: Path) -> Reading:
    return read_each(
        find_categories(root, _may_be_category),
        lambda product, folder: read_category(product, folder, good=("ok",)),
    )


LAYOUT = Layout("btad", "<product>/train/ok/ and <product>/test/ko/", _recognise, _read)
