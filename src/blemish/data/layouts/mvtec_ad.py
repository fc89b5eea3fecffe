"""MVTec AD (Bergmann et al., CVPR 2019) and data sets in its tree, MPDD among them.

::

    bottle/
      train/good/000.png …
      test/good/000.png …
      test/<defect>/000.png …
      ground_truth/<defect>/000_mask.png …     (or 000.png, any image suffix)

The root is a category, a folder of categories, or a folder of such folders.
"""

from __future__ import annotations

from pathlib import Path

from blemish.data.layouts.base import Layout, Reading, read_each
from blemish.data.layouts.tree import find_categories, read_category


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() and (folder / "test").is_dir()


def _may_be_category(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() or (folder / "test").is_dir()


def _recognise(root: Path) -> bool:
    return bool(find_categories(root, _is_category))


def _read(root: Path) -> Reading:
    return read_each(find_categories(root, _may_be_category), read_category)


LAYOUT = Layout("mvtec_ad", "<category>/train/good/ and <category>/test/<kind>/", _recognise, _read)
