"""Masks of images: which mask belongs to which image, by names, the same way in every tree.

A mask has its image's name, with or without ``_mask``, ``_label`` or ``_gt`` (``_mask_2``: one of
several), or lies in a folder of that name; ``mask3`` is that of ``image3``. The folders of kinds
above it say which image is meant where several have one name; where that leaves more than one, it
is given to none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from blemish.data.layouts.roles import composed, folder_role
from blemish.data.sample import Split

_WORDS = "(?:masks?|labels?|gt|ground[ _-]?truth)"
_ENDINGS = re.compile(rf"[ _.-]+{_WORDS}$", re.IGNORECASE)
_NUMBERED = re.compile(rf"[ _.-]+{_WORDS}[ _.-]*[0-9]+$", re.IGNORECASE)  # several of one image
_BEGINNINGS = re.compile(r"^(?:mask|label|gt)(?:[ _.-]+(?=.)|(?=[0-9]))", re.IGNORECASE)
_IMAGE = re.compile(r"^(?:image|img)[ _.-]*(?=[0-9])", re.IGNORECASE)  # image3 and mask3


@dataclass(frozen=True)
class FoundMask:
    """A mask and what the folders above it say."""

    path: Path
    stem: str  # name of its image, or its own in a folder of that name
    split: Split | None
    parts: tuple[str, ...]  # folders of kinds, as `same_name` gives them
    marked: bool  # whether its name says that it is a mask
    scope: Path | None = None  # the folder that its folder of masks lies in; none: anywhere
    image: str = ""  # file name of its image, where it is said: of two with one stem, it is that


@dataclass(frozen=True)
class FoundImage:
    """An image and what the folders above it say."""

    path: Path
    split: Split
    parts: tuple[str, ...]
    good: bool

    @property
    def stem(self) -> str:
        """Its name, as masks name it."""
        return composed(self.path.stem)


def mask_stem(stem: str) -> tuple[str, bool]:
    """A mask's name without what says that it is one, and whether anything did.

    Example:
        >>> from blemish.data.layouts.masks_of_images import mask_stem
        >>> mask_stem("Part3_label"), mask_stem("mask_07"), mask_stem("07")
        (('Part3', True), ('07', True), ('07', False))
        >>> mask_stem("mask3"), mask_stem("12_mask_2")
        (('3', True), ('12', True))
    """
    stem = composed(stem)
    for pattern in (_ENDINGS, _NUMBERED, _BEGINNINGS):
        shorter = pattern.sub("", stem)
        if shorter and shorter != stem:
            return shorter, True
    return stem, False


def masks_beside(files: Iterable[Path]) -> dict[Path, Path]:
    """Of the files of one folder, image to the mask beside it, ``<stem>_mask`` or the like."""
    by_stem = {composed(path.stem): path for path in files}
    found = {}
    for stem, path in by_stem.items():
        shorter = _ENDINGS.sub("", stem)
        if shorter != stem and shorter in by_stem:
            found[by_stem[shorter]] = path
    return found


def match(
    images: Iterable[FoundImage], masks: Iterable[FoundMask]
) -> tuple[dict[Path, tuple[Path, ...]], list[FoundMask]]:
    """The masks of each image that has any, and the masks that belong to no image."""
    by_stem: dict[str, list[FoundImage]] = defaultdict(list)
    by_number: dict[str, list[FoundImage]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
        if _IMAGE.match(image.stem):
            by_number[_IMAGE.sub("", image.stem)].append(image)
    for number, called in by_number.items():
        by_stem.setdefault(number, called)
    taken: dict[Path, list[FoundMask]] = defaultdict(list)
    left: list[FoundMask] = []
    for mask in masks:
        owner = _owner(by_stem.get(mask.stem, ()), mask, mask.parts)
        if owner is None and mask.parts:  # a folder per image
            owner = _owner(by_stem.get(_own_case(mask), ()), mask, mask.parts[:-1])
        if owner is None:  # masks/bad beside abnormal/: two words for the same
            plain = tuple(part for part in mask.parts if not _any_defect(part))
            if plain != mask.parts:
                same = by_stem.get(mask.stem, ())
                owner = _owner([i for i in same if any(map(_any_defect, i.parts))], mask, plain)
        if owner is None:
            left.append(mask)
        else:
            taken[owner].append(mask)
    found = {}
    for path, own in taken.items():
        places = Counter((mask.path.parent, mask.stem) for mask in own if mask.marked)
        found[path] = tuple(
            mask.path for mask in own if mask.marked or not places[mask.path.parent, mask.stem]
        )
    return found, left


def _any_defect(part: str) -> bool:
    return folder_role(part).what == "defects"


def _own_case(mask: FoundMask) -> str:
    return composed(mask.path.parent.name)


def _owner(
    candidates: Iterable[FoundImage], mask: FoundMask, parts: tuple[str, ...]
) -> Path | None:
    """The one image that a mask can belong to; defective ones go before good ones."""
    fitting = [
        image
        for image in candidates
        if mask.split in (None, image.split)
        and (not parts or image.parts[-len(parts) :] == parts)
        and (mask.scope is None or mask.scope in image.path.parents)
    ]
    for narrower in (
        lambda image: image.path.name == mask.image,
        lambda image: not image.good,
        lambda image: image.parts == parts,
        lambda image: image.split == "test",
    ):
        fitting = [image for image in fitting if narrower(image)] or fitting
    return fitting[0].path if len(fitting) == 1 else None
