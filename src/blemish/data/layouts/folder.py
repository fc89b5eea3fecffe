"""A user's own folder: good images in ``good``, ``ok`` or ``normal``, anything else is a defect.

::

    part/                            part/
      good/  (or ok/, normal/)         train/good/  (or images directly in train/)
      scratch/                         validation/good/          (optional; or val/)
      dent/                            test/good/, test/scratch/, …
      masks/scratch/  (optional)       ground_truth/scratch/     (optional; or masks/)

One such folder, or a folder of them, one per product. Names are compared without regard to case,
and images may lie in deeper folders. A mask has its image's name, with or without ``_mask``; it
may also lie beside its image as ``<stem>_mask``.

Without ``train/`` and ``test/`` all good images are for training and all others for testing; a
problem says that good images must be set aside before false alarms can be measured.

Asked for by name, the layout also takes a folder that holds nothing but images: all of them are
good and for training.
"""

from __future__ import annotations

from pathlib import Path

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import Layout, Reading, found_in, read_each
from blemish.data.layouts.tree import defects_in_training, masks_by_stem, subfolders
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

GOOD_NAMES = frozenset({"good", "ok", "normal"})
MASK_NAMES = frozenset({"ground_truth", "masks"})
_SPLITS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


def _is_product(folder: Path) -> bool:
    names = {path.name.lower() for path in subfolders(folder)}
    return bool(names & GOOD_NAMES or names & {"train", "test"})


def _product_folders(root: Path) -> list[Path]:
    return [path for path in subfolders(root) if path.name.lower() not in MASK_NAMES]


def _recognise(root: Path) -> bool:
    return root.is_dir() and (_is_product(root) or any(map(_is_product, _product_folders(root))))


def _read(root: Path) -> Reading:
    name = root.resolve().name
    if _is_product(root):
        return read_each({name: root}, _read_product)
    folders = _product_folders(root)
    products = {path.name: path for path in folders if _is_product(path)}
    if products:
        samples, problems = read_each(products, _read_product)
        problems += [
            f"{path.name}: left out: it holds neither good/ (ok/, normal/) nor train/ or test/; "
            f"found {found_in(path)}."
            for path in folders
            if path.name not in products
        ]
        return samples, problems
    images = list_images(root, recursive=False)
    if images and not folders:
        problem = (
            f"{name}: the folder holds images only; all {len(images)} are taken as good and for "
            "training. To test, add folders of good and defective images."
        )
        return [Sample(path, name, "train", 0) for path in images], [problem]
    raise DataError(
        f"Found no folder called good, ok or normal, and no train/ or test/, in {root} or in its "
        f"folders; found {found_in(root)}. Put the good images in a folder called good."
    )


def _read_product(product: str, folder: Path) -> Reading:
    reader = _ProductReader(product, folder)
    inside = subfolders(folder)
    splits = {p: _SPLITS[p.name.lower()] for p in inside if p.name.lower() in _SPLITS}
    if splits:
        for path, split in splits.items():
            reader.read_split(path, split)
        rest = [p for p in inside if p not in splits and p.name.lower() not in MASK_NAMES]
        if rest:
            reader.problems.append(
                f"{product}: {', '.join(p.name + '/' for p in rest)} beside train/ and test/ "
                "were left out."
            )
    else:
        reader.read_kinds(inside)
    loose = len(list_images(folder, recursive=False))
    if loose:
        reader.problems.append(
            f"{product}: {loose} images directly in {folder.name}/ are in no folder of a kind and "
            "were left out."
        )
    return reader.samples, reader.problems


class _ProductReader:
    """Collects the samples of one product's folder."""

    def __init__(self, product: str, folder: Path) -> None:
        self.product = product
        self.samples: list[Sample] = []
        self.problems: list[str] = []
        self._mask_roots = [p for p in subfolders(folder) if p.name.lower() in MASK_NAMES]
        self._cache: dict[Path, dict[str, tuple[Path, ...]]] = {}

    def read_kinds(self, folders: list[Path]) -> None:
        """A folder per kind and no splits: good for training, the others for testing."""
        kinds = [p for p in folders if p.name.lower() not in MASK_NAMES]
        defects = sum(p.name.lower() not in GOOD_NAMES for p in kinds)
        for path in kinds:
            split: Split = "train" if path.name.lower() in GOOD_NAMES else "test"
            self._read_kind(path, split, only_defect=defects == 1)
        good = sum(s.is_good for s in self.samples)
        self.problems.append(
            f"{self.product}: there is no train/ and test/; all {good} good images are used for "
            "training. Set good images aside in test/good/ to measure false alarms."
        )

    def read_split(self, folder: Path, split: Split) -> None:
        """A folder per kind, or images directly in it."""
        kinds = subfolders(folder)
        loose = list_images(folder, recursive=False)
        if kinds and loose:
            self.problems.append(
                f"{self.product}: {len(loose)} images directly in {folder.name}/ are in no folder "
                "of a kind and were left out."
            )
        elif split == "test":  # unsorted pictures: nobody says what they show
            self.samples += [Sample(path, self.product, split, None) for path in loose]
        else:
            self.samples += [Sample(path, self.product, split, 0) for path in loose]
        if not kinds and not loose:
            self.problems.append(f"{self.product}: {folder.name}/ holds no images.")
        defects = sum(p.name.lower() not in GOOD_NAMES for p in kinds)
        for path in kinds:
            self._read_kind(path, split, only_defect=defects == 1)

    def _read_kind(self, folder: Path, split: Split, *, only_defect: bool) -> None:
        files = list_images(folder)
        beside = _masks_beside(files)
        images = [path for path in files if path not in beside.values()]
        if not images:
            self.problems.append(
                f"{self.product}: {folder.parent.name}/{folder.name}/ holds no images."
            )
            return
        if folder.name.lower() in GOOD_NAMES:
            self.samples += [Sample(path, self.product, split, 0) for path in images]
            return
        kind = folder.name
        missing = 0
        for path in images:
            masks = self._masks(path, folder, only_defect)
            if not masks and path in beside:
                masks = (beside[path],)
            missing += not masks
            self.samples.append(Sample(path, self.product, split, 1, kind, masks))
        if missing:
            self.problems.append(
                f"{self.product}: {missing} of {len(images)} {split} images of kind {kind!r} have "
                "no mask; they count as defective but not annotated."
            )
        if split == "train":
            self.problems.append(defects_in_training(self.product, len(images), kind))

    def _masks(self, path: Path, folder: Path, only_defect: bool) -> tuple[Path, ...]:
        deeper = path.parent.relative_to(folder)
        for root in self._mask_roots:
            places = [root / folder.name / deeper, root / folder.parent.name / folder.name / deeper]
            if only_defect:  # with several kinds, equal names would share a mask
                places.append(root / deeper)
            for place in places:
                masks = self._masks_in(place).get(path.stem)
                if masks:
                    return masks
        return ()

    def _masks_in(self, place: Path) -> dict[str, tuple[Path, ...]]:
        if place not in self._cache:
            self._cache[place] = masks_by_stem(place)
        return self._cache[place]


def _masks_beside(files: list[Path]) -> dict[Path, Path]:
    """Images to the masks lying beside them as ``<stem>_mask``."""
    by_name = {(path.parent, path.stem): path for path in files}
    return {
        by_name[path.parent, path.stem.removesuffix("_mask")]: path
        for path in files
        if path.stem.endswith("_mask") and (path.parent, path.stem.removesuffix("_mask")) in by_name
    }


LAYOUT = Layout(
    "folder", "a folder called good, ok or normal, or train/ and test/", _recognise, _read
)
