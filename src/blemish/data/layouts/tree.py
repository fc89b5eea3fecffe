"""The tree most data sets share: ``<category>/<split>/<kind>/`` and ``ground_truth/<kind>/``."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath

from blemish.data.images.image_list import is_visible_folder_name, list_images, natural_key
from blemish.data.layouts.base import Reading
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MaskFinder = Callable[[Path, str], Mapping[str, tuple[Path, ...]]]
"""From a category's folder and a kind to the masks of each image, by the image's stem."""


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, in natural order; empty where it is none.

    Raises:
        DataError: The folder cannot be listed.
    """
    if not folder.is_dir():
        return []
    try:
        inside = [p for p in folder.iterdir() if is_visible_folder_name(p.name) and p.is_dir()]
    except OSError as error:
        raise DataError(
            f"Cannot list the folder {folder}: {error}. Check its permissions."
        ) from error
    return sorted(inside, key=natural_key)


def find_categories(root: Path, is_category: Callable[[Path], bool]) -> dict[str, Path]:
    """The root itself, its folders, or the folders one level deeper that are categories.

    Where two groups hold a category of the same name, both are called ``<group>-<category>``.
    """
    if is_category(root):
        return {root.resolve().name: root}
    found: list[Path] = []
    for child in subfolders(root):
        # A folder that may not be entered is nobody's category.
        with contextlib.suppress(DataError, OSError):
            found += [child] if is_category(child) else filter(is_category, subfolders(child))
    times = Counter(path.name for path in found)
    return {
        path.name if times[path.name] == 1 else f"{path.parent.name}-{path.name}": path
        for path in found
    }


def masks_by_stem(folder: Path) -> dict[str, tuple[Path, ...]]:
    """One mask per image: ``<stem>_mask.<suffix>``, or ``<stem>.<suffix>`` where that is absent."""
    if not folder.is_dir():
        return {}
    plain: dict[str, tuple[Path, ...]] = {}
    marked: dict[str, tuple[Path, ...]] = {}
    for path in list_images(folder, recursive=False):
        if path.stem.endswith("_mask"):
            marked[path.stem.removesuffix("_mask")] = (path,)
        else:
            plain[path.stem] = (path,)
    return plain | marked


def ground_truth_by_stem(category: Path, kind: str) -> Mapping[str, tuple[Path, ...]]:
    """The masks in ``ground_truth/<kind>/`` by stem: MVTec AD, MPDD, BTAD, converted VisA."""
    return masks_by_stem(category / "ground_truth" / kind)


def read_category(
    product: str,
    category: Path,
    *,
    find_masks: MaskFinder = ground_truth_by_stem,
    good: Collection[str] = ("good",),
) -> Reading:
    """All images of ``<category>/{train,validation,test}/<kind>/``.

    Args:
        product: Name given to the samples.
        category: The category's folder.
        find_masks: Where the masks of a kind are.
        good: Names of the folders whose images are good; every other folder is a defect kind.

    Raises:
        DataError: A folder cannot be listed.
    """
    samples: list[Sample] = []
    problems: list[str] = []
    for split in SPLITS:
        loose = category / split
        if not loose.is_dir():
            continue
        outside = len(list_images(loose, recursive=False))
        if outside:
            problems.append(
                f"{product}: {outside} images directly in {split}/ are in no folder of a kind "
                "and were left out."
            )
        for folder in subfolders(loose):
            images = list_images(folder, recursive=False)
            kind = folder.name
            if not images:
                problems.append(f"{product}: {split}/{kind}/ holds no images.")
            elif kind in good:
                samples += [Sample(path, product, split, 0) for path in images]
            else:
                masks = find_masks(category, kind)
                samples += [
                    Sample(path, product, split, 1, kind, masks.get(path.stem, ()))
                    for path in images
                ]
                problems += mask_problems(product, split, kind, images, masks)
                if split == "train":
                    problems.append(defects_in_training(product, len(images), kind))
    first = next(iter(good))
    if not any(s.is_good and s.split == "train" for s in samples):
        problems.append(f"{product}: there are no images in train/{first}/.")
    if not any(s.split == "test" for s in samples):
        problems.append(f"{product}: there are no images in test/.")
    return samples, problems


def mask_problems(
    product: str,
    split: str,
    kind: str,
    images: Collection[Path],
    masks: Mapping[str, tuple[Path, ...]],
) -> list[str]:
    """Sentences for defective images without a mask and masks without an image."""
    problems = []
    missing = sum(not masks.get(path.stem) for path in images)
    if missing:
        problems.append(
            f"{product}: {missing} of {len(images)} {split} images of kind {kind!r} have no mask; "
            "they count as defective but not annotated."
        )
    orphans = len(set(masks) - {path.stem for path in images})
    if orphans and split == "test":
        problems.append(f"{product}: {orphans} masks of kind {kind!r} belong to no image.")
    return problems


def defects_in_training(product: str, count: int, kind: str) -> str:
    """The sentence for defective images in a training split."""
    return (
        f"{product}: {count} training images are defective (kind {kind!r}); methods that learn "
        "from good images alone leave them out."
    )


def inside(root: Path, text: str, *, source: Path) -> Path:
    """A relative path written in a data set's list, which must stay below the root.

    Args:
        root: What the path is relative to.
        text: The path as written; both kinds of slash are accepted.
        source: The list, for the message.

    Raises:
        DataError: The path is empty, absolute, names a drive, or climbs with ``..``.
    """
    path = PurePosixPath(text.strip().replace("\\", "/"))
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or ":" in parts[0] or "\0" in text:
        raise DataError(
            f"{source} names the path {text!r}. Expected a relative path that stays inside "
            f"{root}; the list is damaged or not to be trusted."
        )
    return root.joinpath(*parts)


class Listing:
    """Whether files exist, asked per folder and not per file: lists name many thousands."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, Path):
            return False
        names = self._names.get(path.parent)
        if names is None:
            try:
                names = frozenset(os.listdir(path.parent))  # noqa: PTH208  names alone are needed
            except OSError:
                names = frozenset()
            self._names[path.parent] = names
        return path.name in names
