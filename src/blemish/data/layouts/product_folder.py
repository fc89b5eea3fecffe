"""Product folder: one product's images in folders, read by what the folders' names say.

The one way in which all trees of folders are read: a user's own, MVTec AD and its kin. Folders may
lie in each other in any order (``train/good``, ``good/train``, ``defects/scratch``,
``scratch/masks``); each name adds what it says to what those above it have said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from blemish.data.images.image_list import is_image_name, list_images
from blemish.data.images.polygons import is_polygons, polygon_kind, read_polygons
from blemish.data.images.reading import read_mask
from blemish.data.layouts.base import Reading, defects_in_training, subfolders
from blemish.data.layouts.box_labels import marked_by_boxes
from blemish.data.layouts.masks_of_images import (
    FoundImage,
    FoundMask,
    mask_stem,
    masks_beside,
    match,
)
from blemish.data.layouts.roles import FolderRole, RoleBook, composed, same_name
from blemish.data.sample import Sample, Split
from blemish.errors import DataError, ImageError

_MOST_VALUES = 32  # in a mask; a picture of labels has more
_LOOKED_AT = 3  # JSON files, to know whether there are polygons


@dataclass(frozen=True)
class _Place:
    """What the names from the product's folder down to here have said."""

    folder: str = ""  # their names, for messages
    split: Split | None = None
    label: int | None = None
    kind: str | None = None
    generic: bool = True  # whether the kind is none: folders below say it
    parts: tuple[str, ...] = ()  # what masks repeat


@dataclass(frozen=True)
class _Found:
    path: Path
    place: _Place
    masks: tuple[Path, ...] = ()  # beside it


class _Walk:
    """One product's tree, walked once."""

    def __init__(self, product: str, book: RoleBook) -> None:
        self.product, self.book = product, book
        self.images: list[_Found] = []
        self.loose: dict[str, list[_Found]] = {}  # images of which no name says what they show
        self.masks: list[FoundMask] = []
        self.problems: list[str] = []
        self.splits: set[Split] = set()
        self.visited: set[tuple[int, int]] = set()

    def folder(self, folder: Path, place: _Place) -> int:
        """Walk a folder; the number of images in it and below."""
        if self._was_in(folder):
            return 0
        files = list_images(folder, recursive=False)
        beside = masks_beside(files)
        masks = set(beside.values())
        own = [
            _Found(path, place, (beside[path],) if path in beside else ())
            for path in files
            if path not in masks
        ]
        self._polygons(folder, place.split, place.parts, folder)
        if place.label is None:
            if own:
                self.loose.setdefault(place.folder or f"{folder.resolve().name}/", []).extend(own)
        else:
            self.images += own
        inside = subfolders(folder)
        roles = {sub: self.book.of(sub, inside) for sub in inside}
        if place.split is None and place.label is None:
            self.splits |= {role.split for role in roles.values() if role.split}
        return len(own) + sum(self.sub(sub, place, role) for sub, role in roles.items())

    def _was_in(self, folder: Path) -> bool:
        """Whether a link has led back to a folder."""
        status = folder.stat()
        known = (status.st_dev, status.st_ino) in self.visited
        self.visited.add((status.st_dev, status.st_ino))
        return known

    def sub(self, sub: Path, place: _Place, role: FolderRole) -> int:
        """Walk a folder in a place by its role; the number of images in it and below."""
        here = replace(
            place,
            folder=f"{place.folder}{sub.name}/",
            split=role.split or place.split,
        )
        if role.what == "masks":
            if role.sure or role.given or _look_like_masks(sub):
                of = (*place.parts, *([same_name(role.of)] if role.of else []))
                return self._masks(sub, here.split, of, None if role.given else sub.parent)
            role = FolderRole("unclear")
        if role.what == "unclear":
            count = len(list_images(sub))
            if count:
                self.problems.append(
                    f"{self.product}: {here.folder} ({count} images) was left out: its name does "
                    f"not say whether they are good, defective or masks. Say it with --good "
                    f"{sub.name}, --defects {sub.name} or --masks {sub.name}."
                )
            return count
        beside_train = "train" in self.splits and not (here.split or role.given)
        if beside_train and place.label is None and role.what in ("good", "kind"):
            self.problems.append(
                f"{self.product}: {sub.name}/ beside train/ and test/ were left out."
            )
            return 1
        if role.what == "kind" and any(self.book.of(p).what == "good" for p in subfolders(sub)):
            count = len(list_images(sub))
            self.problems.append(
                f"{self.product}: {here.folder} ({count} images) was left out: it holds good "
                "images and cannot be a kind of defect. If it is a product, give each a folder "
                "with train/ and test/ in it; else name the folders: --good DIR --defects DIR."
            )
            return count
        if role.what == "good" and not (place.label == 1 and not place.generic):
            here = replace(here, label=0, kind=None, parts=("good",))
        elif role.what == "defects" and (place.label != 1 or place.generic):
            here = replace(here, label=1, kind=sub.name, parts=(same_name(sub.name),))
        elif role.what == "kind" and place.label != 0 and place.generic:
            parts = (*place.parts, same_name(sub.name))
            here = replace(here, label=1, kind=sub.name, generic=False, parts=parts)
        elif role.what in ("kind", "good", "defects"):
            here = replace(here, parts=(*place.parts, same_name(sub.name)))
        elif role.what == "unlabelled":
            here = replace(here, split=here.split or "test")
        count = self.folder(sub, here)
        if not count and role.what != "wrapper":
            self.problems.append(f"{self.product}: {here.folder} holds no images.")
        return count

    def part(self, folder: Path, role: FolderRole) -> None:
        """Walk the product's folder in a folder whose role counts for all products."""
        if role.what == "masks":
            self._masks(folder, role.split, (), None)
            return
        above = folder.parent.name
        split = role.split or ("test" if role.what == "unlabelled" else None)
        place = _Place(f"{above}/{folder.name}/", split=split)
        if role.split:
            self.splits.add(role.split)
        if role.what == "good":
            place = replace(place, label=0, parts=("good",))
        elif role.what == "defects":
            place = replace(place, label=1, kind=above, parts=(same_name(above),))
        self.folder(folder, place)

    def _masks(
        self, folder: Path, split: Split | None, parts: tuple[str, ...], scope: Path | None
    ) -> int:
        if self._was_in(folder):
            return 0
        found = list_images(folder, recursive=False)
        self._polygons(folder, split, parts, scope)
        for path in found:
            stem, marked = mask_stem(path.stem)
            self.masks.append(FoundMask(path, stem, split, parts, marked, scope))
        for sub in subfolders(folder):
            role = self.book.of(sub)
            more: tuple[str, ...] = (same_name(sub.name),)
            if role.what == "good":
                more = ("good",)
            elif role.what in ("split", "wrapper", "masks"):
                more = ()
            self._masks(sub, role.split or split, (*parts, *more), scope)
        return len(found)

    def _polygons(
        self, folder: Path, split: Split | None, parts: tuple[str, ...], scope: Path | None
    ) -> None:
        """Masks drawn as polygons in the JSON files of a folder."""
        for file in json_files(folder):
            try:
                drawn = read_polygons(file)
            except ImageError as error:
                self.problems.append(f"{self.product}: {error}")
                continue
            for name, polygons in (drawn or {}).items():
                of = PurePosixPath(polygons.file_name)
                if name == file.name:  # LabelMe: 1.json or 1.png.json, of 1.png
                    whole = is_image_name(file.stem)
                    stem = composed(Path(file.stem).stem if whole else file.stem)
                    image = file.stem if whole else of.name
                    named = FoundMask(file, stem, split, parts, True, scope, image)
                else:
                    roles = {part: self.book.named(part) for part in of.parts[:-1]}
                    told = next((role.split for role in roles.values() if role.split), split)
                    kinds = [part for part in roles if roles[part].what in ("kind", "defects")]
                    below = (*parts, *map(same_name, kinds))
                    path, stem = file.with_name(name), composed(of.stem)
                    named = FoundMask(path, stem, told, below, True, scope)
                self.masks.append(named)


def read_product(
    product: str,
    folder: Path | None,
    book: RoleBook | None = None,
    *,
    parts: Mapping[Path, FolderRole] | None = None,
    alone: bool = False,
) -> Reading:
    """All images of a product's folder, or of its folders by what lies above each.

    ``alone``: and of given folders that are not in it.
    """
    walk = _Walk(product, book or RoleBook())
    if folder is not None:
        walk.folder(folder, _Place())
    for part, role in (parts or {}).items():
        walk.part(part, role)
    for other in walk.book.unmet() if alone else ():
        if isinstance(other, Path):
            walk.sub(other, _Place(), walk.book.of(other))
    for name, loose in walk.loose.items():
        _sort_loose(walk, name, loose)
    found = [
        FoundImage(i.path, _split(i.place), i.place.parts, i.place.label == 0) for i in walk.images
    ]
    masks, orphans = match(found, walk.masks)
    drawn = [i.path for i in walk.images if i.place.label == 0 and _drawn(masks.get(i.path, ()))]
    samples = [
        _sample(product, i, i.masks or masks.get(i.path, ()))
        for i in walk.images
        if i.path not in set(drawn)
    ]
    problems = walk.problems + _defect_problems(product, samples)
    boxed = marked_by_boxes(s.path for s in samples if s.label == 0)
    if boxed:
        samples = [s for s in samples if s.path not in boxed]
        first = next(iter(boxed.values()))
        problems.append(
            f"{product}: text files mark boxes in {len(boxed)} images of folders that seem to hold "
            f"good ones, such as {first.parent.name}/{first.name}; these images were left out. As "
            "defects with masks they are read from COCO's JSON."
        )
    if drawn:
        problems.append(
            f"{product}: {len(drawn)} images in folders of good ones have polygons drawn on them "
            f"and were left out: {', '.join(path.name for path in drawn[:3])}."
        )
    for kind, count in Counter(m.path.parent.name if m.parts else "" for m in orphans).items():
        of = f" of kind {kind!r}" if kind else ""
        problems.append(f"{product}: {count} masks{of} belong to no image.")
    trained = sum(s.is_good for s in samples if s.split == "train")
    if trained and not walk.splits:
        problems.append(
            f"{product}: there is no train/ and test/; all {trained} good images are for learning "
            "and for the limits. Set good images aside in test/good/ to measure false alarms."
        )
    return samples, problems


def _split(place: _Place) -> Split:
    return place.split or ("train" if place.label == 0 else "test")


def _sample(product: str, image: _Found, masks: tuple[Path, ...]) -> Sample:
    place = image.place
    if place.label != 1:
        return Sample(image.path, product, _split(place), place.label)
    return Sample(image.path, product, _split(place), 1, place.kind, masks)


def _sort_loose(walk: _Walk, name: str, loose: list[_Found]) -> None:
    """Images directly in a split's or the product's folder: what they are, or that nobody says."""
    place = loose[0].place
    found = [FoundImage(i.path, _split(place), place.parts, False) for i in loose]
    told, _ = match(found, walk.masks)
    told.update({image.path: image.masks for image in loose if image.masks})
    inside = place.folder and any(i.place.folder.startswith(place.folder) for i in walk.images)
    if inside or not (told or place.split):
        walk.problems.append(
            f"{walk.product}: {len(loose)} images directly in {name} are in no folder of a kind "
            "and were left out."
        )
    elif told:
        marks = {path: _mark_something(masks) for path, masks in told.items()}
        told = {path: masks for path, masks in told.items() if marks[path] is not None}
        marked = {path for path, some in marks.items() if some}
        unsaid = {"test": None, None: None}.get(place.split, 0)
        for image in loose:
            label = int(image.path in marked) if image.path in told else unsaid
            if label is not None or place.split == "test":
                kind = _drawn(told.get(image.path, ())) or "defect"
                here = replace(place, label=label, kind=kind if label else None)
                walk.images.append(_Found(image.path, here, told.get(image.path, ())))
        without = len(loose) - len(told)
        are = {"test": "are unlabelled", None: "were left out"}.get(place.split, "count as good")
        rest = f"; {without} without a mask {are}" if without else ""
        walk.problems.append(
            f"{walk.product}: the masks say of the images in {name} which are good: "
            f"{len(told) - len(marked)} whose mask marks nothing; {len(marked)} are "
            f"defective{rest}."
        )
    else:
        label = None if place.split == "test" else 0
        walk.images += [replace(image, place=replace(place, label=label)) for image in loose]


def json_files(folder: Path) -> list[Path]:
    """The JSON files of a folder, which may hold polygons."""
    return sorted(
        path for path in folder.glob("*.[jJ][sS][oO][nN]") if not path.name.startswith(".")
    )


def has_annotations(folder: Path) -> bool:
    """Whether images in a folder have masks or polygons beside them; no image is read."""
    if masks_beside(list_images(folder, recursive=False)):
        return True
    try:
        return any(read_polygons(path) for path in json_files(folder)[:_LOOKED_AT])
    except ImageError:
        return True


def _drawn(masks: Iterable[Path]) -> str:
    """The kind that polygons among masks say; empty where there are none, or none that mark."""
    return next(filter(None, (polygon_kind(mask) for mask in masks if is_polygons(mask))), "")


def _mark_something(masks: Iterable[Path]) -> bool | None:
    """Whether a pixel is marked; ``None`` where a mask cannot be read."""
    try:
        return any(read_mask(mask).any() for mask in masks)
    except ImageError:
        return None


def _defect_problems(product: str, samples: Iterable[Sample]) -> list[str]:
    """Sentences for defective images without a mask, and for those in a training split."""
    defects = [s for s in samples if s.label == 1]
    problems = []
    for (split, kind), count in Counter((s.split, s.defect_kind) for s in defects).items():
        own = [s for s in defects if (s.split, s.defect_kind) == (split, kind)]
        missing = sum(not s.mask_paths for s in own)
        if missing:
            problems.append(
                f"{product}: {missing} of {count} {split} images of kind {kind!r} have no mask; "
                "they count as defective but not annotated."
            )
        if split == "train":
            problems.append(defects_in_training(product, count, str(kind)))
    return problems


def _look_like_masks(folder: Path) -> bool:
    """Whether the first file of a folder called labels or the like can be a mask."""
    first = next(iter(list_images(folder)), None)
    if first is None:
        return True
    try:
        return len(set(read_mask(first).ravel().tolist())) <= _MOST_VALUES
    except (DataError, ImageError):
        return False
