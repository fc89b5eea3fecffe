"""Splits above products: trees whose first folders are ``train/`` and ``test/``.

The products lie in them, each with the same name in every split::

    line/
      train/lid/good/   (or images directly in train/lid/)    train/cap/…
      test/lid/good/, test/lid/dent/, …                       test/cap/…
      ground_truth/lid/dent/                                  (optional; or masks/)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import subfolders
from blemish.data.layouts.roles import FolderRole, RoleBook

#: The folders of one product, by what the folder says that each lies in.
Parts = Mapping[Path, FolderRole]


def split_products(root: Path, book: RoleBook) -> dict[str, Parts]:
    """The folders of each product; empty where the tree is another one.

    In ``train/`` there must be nothing but folders whose names say nothing. Each holds a folder of
    good images; or images, and then in ``test/`` its name stands for a folder of kinds: a folder of
    images is otherwise a kind of defect.
    """
    tops = {path: book.of(path) for path in subfolders(root)}
    tops = {path: role for path, role in tops.items() if role.what in ("split", "masks")}
    trains = [path for path, role in tops.items() if role.split == "train"]
    learned = [sub for path in trains for sub in subfolders(path)]
    if not learned or any(list_images(path, recursive=False) for path in trains):
        return {}
    tests = [path for path, role in tops.items() if role.split == "test" and role.what == "split"]
    of_kinds = {sub.name for path in tests for sub in subfolders(path) if _holds_kinds(sub)}
    for sub in learned:
        good = any(book.of(path).what == "good" for path in subfolders(sub))
        images = sub.name in of_kinds and bool(list_images(sub, recursive=False))
        if book.of(sub).what != "kind" or not (good or images):
            return {}
    names = dict.fromkeys([sub.name for sub in learned] + sorted(of_kinds))
    return {
        name: {path / name: role for path, role in tops.items() if (path / name).is_dir()}
        for name in names
    }


def _holds_kinds(folder: Path) -> bool:
    return bool(subfolders(folder)) and not list_images(folder, recursive=False)
