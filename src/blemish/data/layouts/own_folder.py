"""A user's own folder: good images in one folder, and in others what is not.

``folder``: names are read by the rule of :mod:`blemish.data.layouts.roles`::

    part/                            part/
      good/  (or ok/, normal/, …)      train/good/  (or images directly in train/)
      scratch/                         validation/good/          (optional; or val/)
      dent/                            test/good/, test/scratch/, …
      masks/scratch/  (optional)       ground_truth/scratch/     (optional; or masks/)

One such folder, or a folder of them, one per product; or the products in ``train/`` and
``test/``, or in ``good/`` and ``bad/`` (:mod:`blemish.data.layouts.split_folders`). Images may lie
in deeper folders. Without ``train/`` and ``test/`` good images train and the others test. Asked for
by name, the layout takes a folder of nothing but good images as well.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import Layout, Reading, found_in, read_each, subfolders
from blemish.data.layouts.product_folder import has_annotations, read_product
from blemish.data.layouts.roles import Folders, RoleBook, folder_role, named_as
from blemish.data.layouts.split_folders import (
    maybe_products,
    role_products,
    split_products,
)
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError


def _says(folder: Path, book: RoleBook) -> bool:
    """Whether a folder's own folders say that it is a product's."""
    inside = subfolders(folder)
    roles = [book.of(path, inside) for path in inside]
    return any(role.given or role.what == "good" or role.split is not None for role in roles)


def _is_product(folder: Path, book: RoleBook) -> bool:
    """A product's folder has folders that say good or a split, or images with masks or polygons."""
    if _says(folder, book):
        return True
    inside = subfolders(folder)
    masked = has_annotations(folder) or any(book.of(p, inside).what == "masks" for p in inside)
    if masked and list_images(folder, recursive=False):
        return True
    wrappers = [path for path in inside if book.of(path).what == "wrapper"]
    return any(
        _says(path, book) or ((masked or has_annotations(path)) and list_images(path))
        for path in wrappers
    )


def _products(root: Path, book: RoleBook) -> dict[str, Path]:
    if _is_product(root, book):
        return {root.resolve().name: root}
    return {path.name: path for path in subfolders(root) if _is_product(path, book)}


def _recognise_folder(root: Path) -> bool:
    return root.is_dir() and bool(_products(root, RoleBook()))


def read_folder(root: Path, folders: Folders | None = None) -> Reading:
    """A user's own folder, or one of products; given roles go before what names say.

    Raises:
        DataError: Nothing says what is good.
        ConfigError: A given folder that is not there, or of which the product is not clear.
    """
    name = root.resolve().name
    if folders and folders.root is None:
        return _read_given(root, folders, name)
    book = RoleBook(folders)
    parts = split_products(root, book) or role_products(root, book)
    if parts:
        return read_each(
            dict.fromkeys(parts, root),
            lambda product, _: read_product(product, None, book, parts=parts[product]),
        )
    products = _products(root, RoleBook(folders)) or ({name: root} if folders else {})
    if products:
        alone = len(products) == 1
        samples, problems = read_each(
            products, lambda name, path: read_product(name, path, book, alone=alone)
        )
        for product, path in products.items():
            problems += _maybe_products(product, maybe_products(path, book))
        if book.unmet():
            names = f"{len(products)} products: {', '.join(products)}"
            raise ConfigError(
                f"There is no folder {book.unmet()[0]} in {root}, which holds {names}. Give the "
                "path of a folder in it, or the folder of one product."
            )
        problems += [
            f"{path.name}: left out: it holds neither good/ (ok/, normal/) nor train/ or test/; "
            f"found {found_in(path)}."
            for path in subfolders(root)
            if root not in products.values() and path.name not in products
        ]
        return samples, problems
    images = only_images(root)
    if images:
        return _read_images(name, images, [root.resolve(), images[0].parent])
    raise DataError(
        f"Found no folder called good, ok or normal, and no train/ or test/, in {root} or in its "
        f"folders; found {found_in(root)}. Put the good images in a folder called good, or say "
        "which one holds them: --good DIR."
    )


def only_images(root: Path) -> list[Path]:
    """The images of a folder of nothing else, which may lie in an ``images/`` of their own."""
    images = list_images(root, recursive=False)
    inside = [path for path in subfolders(root) if folder_role(path.name).what != "masks"]
    if not images and len(inside) == 1 and folder_role(inside[0].name).what == "wrapper":
        return only_images(inside[0])
    return [] if inside else images


def _read_images(name: str, images: list[Path], folders: Iterable[Path]) -> Reading:
    """A folder of nothing but images: good, but for those that are called otherwise."""
    says = {path: named_as(path.stem) for path in images}
    count = Counter(says.values())
    called = {folder_role(folder.name).what: folder for folder in folders}
    for what, means in (("defects", "defective parts"), ("masks", "masks")):
        if what in called and not count["good"]:
            raise DataError(
                f"The name of {called[what]} says that it holds {means}, and nothing in it says "
                f"that one of its {len(images)} images is good. Give the folder of good images; if "
                f"these are good all the same, say it: --good {called[what]}"
            )
    if "good" in called or not (count["defects"] or {"defects", "masks"} & called.keys()):
        problem = (
            f"{name}: the folder holds images only; all {len(images)} are taken as good, for "
            "learning and for the limits. To test, add folders of good and defective images."
        )
        return [Sample(path, name, "train", 0) for path in images], [problem]
    # Where some are called good, those that are not so called are not either.
    good = [path for path in images if says[path] == ("good" if count["good"] else "")]
    bad = [path for path in images if says[path] == "defects"]
    left = len(images) - len(good) - len(bad)
    if not good:
        raise DataError(
            f"{name} holds {len(images)} images, none of which can be good by its name: "
            f"{bad[0].name}, … If they are good all the same, say it: --good DIR."
        )
    others = [f"{len(bad)}, such as {bad[0].name}, are defective"] if bad else []
    others += [f"{left} say neither and were left out"] if left else []
    problem = (
        f"{name}: the folder holds images only, and their names say which are good: {len(good)}, "
        f"such as {good[0].name}; {', and '.join(others)}. If that is not what the names mean, put "
        "the good images in a folder called good."
    )
    samples = [Sample(path, name, "train", 0) for path in good]
    return samples + [Sample(path, name, "test", 1, "defect") for path in bad], [problem]


def _read_given(root: Path, folders: Folders, name: str) -> Reading:
    """Products of which the given folders are all there is."""
    products = folders.by_product(name)
    books = {product: RoleBook(own) for product, own in products.items()}
    samples, problems = read_each(
        dict.fromkeys(products, root),
        lambda product, _: read_product(product, None, books[product], alone=True),
    )
    if len(products) == 1:
        [(product, own)] = products.items()
        problems += _maybe_products(product, own.maybe_products())
    elif not folders.names_products:
        first = next(iter(products.values()))
        problems.append(
            f"The folders given are taken for the products {', '.join(products)}, as the folders "
            f"that they lie in are called. If they show one: --good NAME={first.given()[0]} …"
        )
    return samples, problems


def _maybe_products(product: str, several: Sequence[str]) -> list[str]:
    """That folders of good images may be a product each; nothing where there are none."""
    if not several:
        return []
    names = " and ".join(Path(folder).name for folder in several)
    asked = " ".join(f"--good {shlex.quote(f'{Path(path).name}={path}')}" for path in several)
    return [
        f"{product}: {names} are taken for good images of one product. If each is a product of its "
        f"own: {asked}"
    ]


def given_root(folders: Folders) -> Path:
    """The folder of a data set of which roles were given: its root, or what the folders share."""
    if folders.root is not None:
        return Path(folders.root).expanduser()
    paths = [Path(folder).expanduser().resolve() for folder in folders.given()]
    common = Path(os.path.commonpath(paths))
    return common.parent if common in paths else common


FOLDER = Layout(
    "folder",
    "a folder called good, ok or normal, or train/ and test/",
    _recognise_folder,
    read_folder,
)
