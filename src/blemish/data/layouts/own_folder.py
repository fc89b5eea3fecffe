"""A user's own folder: good images in one folder, and in others what is not.

``folder``: names are read by the rule of :mod:`blemish.data.layouts.roles`::

    part/                            part/
      good/  (or ok/, normal/, …)      train/good/  (or images directly in train/)
      scratch/                         validation/good/          (optional; or val/)
      dent/                            test/good/, test/scratch/, …
      masks/scratch/  (optional)       ground_truth/scratch/     (optional; or masks/)

One such folder, or a folder of them, one per product; or the products in ``train/`` and ``test/``
(:mod:`blemish.data.layouts.split_folders`). Images may lie in deeper folders. Without
``train/`` and ``test/`` good images train and the others test. Asked for by name, the layout takes
a folder of nothing but good images as well.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import Layout, Reading, found_in, read_each, subfolders
from blemish.data.layouts.product_folder import has_annotations, read_product
from blemish.data.layouts.roles import Folders, RoleBook, folder_role, named_as
from blemish.data.layouts.split_folders import split_products
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
        return _read_given(root, folders.by_product(name))
    book = RoleBook(folders)
    parts = split_products(root, book)
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
    inside = [path for path in subfolders(root) if book.of(path).what != "masks"]
    images = list_images(root, recursive=False)
    if images and not inside:
        return _read_images(name, images)
    raise DataError(
        f"Found no folder called good, ok or normal, and no train/ or test/, in {root} or in its "
        f"folders; found {found_in(root)}. Put the good images in a folder called good, or say "
        "which one holds them: --good DIR."
    )


def _read_images(name: str, images: list[Path]) -> Reading:
    """A folder of nothing but images: good, but for those that are called otherwise."""
    says = {path: named_as(path.stem) for path in images}
    count = Counter(says.values())
    if not count["defects"] or folder_role(name).what == "good":
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
    problem = (
        f"{name}: the folder holds images only, and their names say which are good: {len(good)}, "
        f"such as {good[0].name}; {len(bad)}, such as {bad[0].name}, are "
        f"defective{f', and {left} say neither and were left out' if left else ''}. If that is "
        "not what the names mean, put the good images in a folder called good."
    )
    samples = [Sample(path, name, "train", 0) for path in good]
    return samples + [Sample(path, name, "test", 1, "defect") for path in bad], [problem]


def _read_given(root: Path, products: Mapping[str, Folders]) -> Reading:
    """Products of which the given folders are all there is."""
    books = {product: RoleBook(own) for product, own in products.items()}
    samples, problems = read_each(
        dict.fromkeys(products, root),
        lambda product, _: read_product(product, None, books[product], alone=True),
    )
    several = next(iter(products.values())).maybe_products() if len(products) == 1 else []
    if several:
        names = " and ".join(Path(folder).name for folder in several)
        asked = " ".join(f"--good {Path(folder).name}={folder}" for folder in several)
        problems.append(
            f"{next(iter(products))}: {names} are taken for good images of one product. If each is "
            f"a product of its own: {asked}"
        )
    return samples, problems


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
