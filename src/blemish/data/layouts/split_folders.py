"""Roles above products: trees whose first folders are ``train/`` and ``test/``, or good and bad.

The products lie in them, each with the same name in every one::

    line/                                                     line/
      train/lid/good/   (or images directly in train/lid/)      good/lid/, good/cap/
      test/lid/good/, test/lid/dent/, …                         bad/lid/   (or bad/lid/dent/)
      ground_truth/lid/dent/   (optional; or masks/)            masks/lid/ (optional)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import subfolders
from blemish.data.layouts.roles import FolderRole, RoleBook, same_name

#: The folders of one product, by what the folder says that each lies in.
Parts = Mapping[Path, FolderRole]

_FEW = 6  # more folders of good images are lots or days rather than products
_ABOVE_PRODUCTS = ("good", "defects", "masks", "unlabelled")


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


def role_products(root: Path, book: RoleBook) -> dict[str, Parts]:
    """The folders of each product below folders of good and of defective images.

    A folder in ``good/`` is a product where ``bad/`` holds nothing but folders of such names: a
    lot, a day or a camera is otherwise as likely.
    """
    tops = {path: book.of(path) for path in subfolders(root)}
    tops = {path: role for path, role in tops.items() if role.what in _ABOVE_PRODUCTS}
    inside: dict[str, dict[str, str]] = {"good": {}, "defects": {}}
    for path, role in tops.items():
        if role.what not in inside:
            continue
        subs = subfolders(path)
        told = any(book.of(sub).what != "kind" for sub in subs)
        if told or list_images(path, recursive=False):
            return {}
        inside[role.what].update({same_name(sub.name): sub.name for sub in subs})
    learned, tested = inside["good"], inside["defects"]
    if len(learned) < 2 or not tested or not tested.keys() <= learned.keys():
        return {}
    return {
        name: {
            sub: role
            for path, role in tops.items()
            for sub in subfolders(path)
            if same_name(sub.name) == known
        }
        for known, name in learned.items()
    }


def maybe_products(folder: Path, book: RoleBook) -> list[str]:
    """Folders in a product's ``good/`` that may be products; nothing else in there says a role."""
    found = []
    for path in subfolders(folder):
        inside = subfolders(path) if book.of(path).what == "good" else []
        if all(book.of(sub).what == "kind" for sub in inside):
            found += [str(sub) for sub in inside if list_images(sub)]
    return found if 1 < len(found) <= _FEW else []


def _holds_kinds(folder: Path) -> bool:
    return bool(subfolders(folder)) and not list_images(folder, recursive=False)
