"""Folder trees: MVTec AD, MVTec LOCO, BTAD and a user's own; a folder's name says what is in it.

``mvtec_ad`` (Bergmann et al., CVPR 2019), and data sets in its tree, MPDD among them; the root is
a category, a folder of categories, or a folder of such folders::

    bottle/
      train/good/000.png …
      test/good/000.png … , test/<defect>/000.png …
      ground_truth/<defect>/000_mask.png …     (or 000.png, any image suffix)

``btad`` (Mishra et al., ISIE 2021) is the same with ``ok`` for good and ``ko`` for defective.
``mvtec_loco`` (Bergmann et al., IJCV 2022) adds ``validation/good/``, the kinds of defect
``logical_anomalies`` and ``structural_anomalies``, one PNG per defect as
``ground_truth/<kind>/000/000.png, 001.png …``, and ``defects_config.json``. The unit of AU-sPRO is
one such PNG; its pixel value selects the entry of that file with the saturation threshold.

``folder``, a user's own: good images in ``good``, ``ok`` or ``normal``, anything else is a defect::

    part/                            part/
      good/  (or ok/, normal/)         train/good/  (or images directly in train/)
      scratch/                         validation/good/          (optional; or val/)
      dent/                            test/good/, test/scratch/, …
      masks/scratch/  (optional)       ground_truth/scratch/     (optional; or masks/)

One such folder, or a folder of them, one per product. Names are compared without regard to case,
and images may lie in deeper folders. A mask has its image's name, with or without ``_mask``, or
lies beside its image as ``<stem>_mask``. Without ``train/`` and ``test/`` good images train and the
others test. Asked for by name, the layout takes a folder of nothing but good images as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from blemish.data.images.image_list import list_images
from blemish.data.layouts.base import (
    Layout,
    Reading,
    defects_in_training,
    find_categories,
    found_in,
    read_each,
    subfolders,
)
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

if TYPE_CHECKING:
    from blemish.metrics.spro import SaturationRule

CONFIG_NAME = "defects_config.json"
Masks = Mapping[str, tuple[Path, ...]]
"""Masks of each image, by the image's stem."""

_GOOD = frozenset({"good", "ok", "normal"})
_MASKS = frozenset({"ground_truth", "masks"})
_SPLITS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


def read_defects_config(path: str | Path) -> dict[int, SaturationRule]:
    """The rules of a ``defects_config.json`` by pixel value, from its path or its folder.

    Raises:
        DataError: The file is missing, not JSON, or an entry is incomplete or out of range.
    """
    from blemish.metrics.spro import parse_defects_config  # of all layouts, one has such a file

    path = Path(path)
    if path.is_dir():
        path = path / CONFIG_NAME
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no {path}. AU-sPRO needs the saturation thresholds in it; copy it from the "
            "data set's archive."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Expected JSON; copy it from the archive again."
        ) from error
    if not isinstance(entries, list) or not entries:
        raise DataError(
            f"{path} holds a {type(entries).__name__}. Expected a list of defect kinds; copy it "
            "from the archive again."
        )
    try:
        return parse_defects_config(entries)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _masks_by_stem(folder: Path) -> Masks:
    """One mask per image: ``<stem>_mask.<suffix>``, or ``<stem>.<suffix>`` where that is absent."""
    found = list_images(folder, recursive=False) if folder.is_dir() else []
    marked = {path.stem: (path,) for path in found if path.stem.endswith("_mask")}
    plain = {path.stem: (path,) for path in found if path.stem not in marked}
    return plain | {stem.removesuffix("_mask"): masks for stem, masks in marked.items()}


def _masks_by_folder(folder: Path) -> Masks:
    """A folder of masks per image."""
    return {p.name: tuple(list_images(p, recursive=False)) for p in subfolders(folder)}


def read_category(
    product: str,
    category: Path,
    *,
    masks_in: Callable[[Path], Masks] = _masks_by_stem,
    good: str = "good",
) -> Reading:
    """All images of ``<category>/{train,validation,test}/<kind>/``.

    ``masks_in`` gives the masks in ``ground_truth/<kind>/``; the images in the folder called
    ``good`` are good, every other folder is a defect kind.
    """
    samples: list[Sample] = []
    problems: list[str] = []
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        if not (category / split).is_dir():
            continue
        outside = len(list_images(category / split, recursive=False))
        if outside:
            problems.append(
                f"{product}: {outside} images directly in {split}/ are in no folder of a kind "
                "and were left out."
            )
        for folder in subfolders(category / split):
            images = list_images(folder, recursive=False)
            kind = folder.name
            if not images:
                problems.append(f"{product}: {split}/{kind}/ holds no images.")
            elif kind == good:
                samples += [Sample(path, product, split, 0) for path in images]
            else:
                masks = masks_in(category / "ground_truth" / kind)
                found = [masks.get(path.stem, ()) for path in images]
                samples += [
                    Sample(path, product, split, 1, kind, own)
                    for path, own in zip(images, found, strict=True)
                ]
                problems += _defect_problems(product, split, kind, found)
                orphans = len(set(masks) - {path.stem for path in images})
                if orphans and split == "test":
                    problems.append(
                        f"{product}: {orphans} masks of kind {kind!r} belong to no image."
                    )
    if not any(s.is_good and s.split == "train" for s in samples):
        problems.append(f"{product}: there are no images in train/{good}/.")
    if not any(s.split == "test" for s in samples):
        problems.append(f"{product}: there are no images in test/.")
    return samples, problems


def _defect_problems(
    product: str, split: str, kind: str, masks: Collection[tuple[Path, ...]]
) -> list[str]:
    """Sentences for defective images without a mask, and for those in a training split."""
    problems = []
    missing = sum(not own for own in masks)
    if missing:
        problems.append(
            f"{product}: {missing} of {len(masks)} {split} images of kind {kind!r} have no mask; "
            "they count as defective but not annotated."
        )
    if split == "train":
        problems.append(defects_in_training(product, len(masks), kind))
    return problems


def _read_loco(product: str, category: Path) -> Reading:
    samples, problems = read_category(product, category, masks_in=_masks_by_folder)
    if not any(s.split == "validation" for s in samples):
        problems.append(f"{product}: there are no images in validation/good/.")
    try:
        read_defects_config(category)
    except DataError as error:
        problems.append(f"{product}: {error}")
    return samples, problems


def _is_loco(folder: Path) -> bool:
    kinds = [folder / "test" / f"{kind}_anomalies" for kind in ("logical", "structural")]
    marked = (folder / CONFIG_NAME).is_file() or any(kind.is_dir() for kind in kinds)
    return marked and (folder / "train" / "good").is_dir()


def _tree(
    name: str,
    expects: str,
    read: Callable[[str, Path], Reading],
    *folders: str,
    is_category: Callable[[Path], bool] | None = None,
) -> Layout:
    """A layout of categories, recognised by all of ``folders``; asked for by name, one will do."""

    def has_all(category: Path) -> bool:
        return all((category / folder).is_dir() for folder in folders)

    def has_any(category: Path) -> bool:
        return any((category / folder).is_dir() for folder in folders)

    return Layout(
        name,
        expects,
        lambda root: bool(find_categories(root, is_category or has_all)),
        lambda root: read_each(find_categories(root, has_any), read),
    )


MVTEC_AD = _tree(
    "mvtec_ad",
    "<category>/train/good/ and <category>/test/<kind>/",
    read_category,
    *("train/good", "test"),
)
BTAD = _tree(
    "btad",
    "<product>/train/ok/ and <product>/test/ko/",
    lambda product, folder: read_category(product, folder, good="ok"),
    *("train/ok", "test/ko"),
)
MVTEC_LOCO = _tree(
    "mvtec_loco",
    "<category>/train/good/ and <category>/test/{good,logical_anomalies,structural_anomalies}/",
    _read_loco,
    *("train/good", "test"),
    is_category=_is_loco,
)


def _is_product(folder: Path) -> bool:
    return any(path.name.lower() in ("train", "test", *_GOOD) for path in subfolders(folder))


def _recognise_folder(root: Path) -> bool:
    inside = (path for path in subfolders(root) if path.name.lower() not in _MASKS)
    return root.is_dir() and (_is_product(root) or any(map(_is_product, inside)))


def _read_folder(root: Path) -> Reading:
    name = root.resolve().name
    if _is_product(root):
        return read_each({name: root}, _read_product)
    folders = [path for path in subfolders(root) if path.name.lower() not in _MASKS]
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
    """One product of a user's own folder."""
    samples: list[Sample] = []
    problems: list[str] = []
    inside = [path for path in subfolders(folder) if path.name.lower() not in _MASKS]
    mask_roots = [path for path in subfolders(folder) if path.name.lower() in _MASKS]
    masks_in = cache(_masks_by_stem)  # one folder of masks serves many images

    def masks_of(path: Path, kind: Path, beside: dict[Path, Path], only: bool) -> tuple[Path, ...]:
        deeper = path.parent.relative_to(kind)
        for root in mask_roots:
            places = [root / kind.name / deeper, root / kind.parent.name / kind.name / deeper]
            if only:  # with several kinds, equal names would share a mask
                places.append(root / deeper)
            for place in places:
                if masks := masks_in(place).get(path.stem):
                    return masks
        return (beside[path],) if path in beside else ()

    def read_kinds(kinds: list[Path], given: Split | None) -> None:
        only_defect = sum(path.name.lower() not in _GOOD for path in kinds) == 1
        for kind in kinds:
            good = kind.name.lower() in _GOOD
            split: Split = given or ("train" if good else "test")
            files = list_images(kind)
            stems = {(path.parent, path.stem): path for path in files}
            masked = {path: stems.get((path.parent, f"{path.stem}_mask")) for path in files}
            beside = {path: mask for path, mask in masked.items() if mask is not None}
            images = [path for path in files if path not in beside.values()]
            if not images:
                problems.append(f"{product}: {kind.parent.name}/{kind.name}/ holds no images.")
            elif good:
                samples.extend(Sample(path, product, split, 0) for path in images)
            else:
                masks = [masks_of(path, kind, beside, only_defect) for path in images]
                samples.extend(
                    Sample(path, product, split, 1, kind.name, own)
                    for path, own in zip(images, masks, strict=True)
                )
                problems.extend(_defect_problems(product, split, kind.name, masks))

    def left_out(count: int, where: str) -> None:
        problems.append(
            f"{product}: {count} images directly in {where}/ are in no folder of a kind and were "
            "left out."
        )

    splits = {path: _SPLITS[path.name.lower()] for path in inside if path.name.lower() in _SPLITS}
    for path, split in splits.items():
        kinds, loose = subfolders(path), list_images(path, recursive=False)
        label = None if split == "test" else 0  # unsorted pictures: nobody says what they show
        if kinds and loose:
            left_out(len(loose), path.name)
        elif loose:
            samples += [Sample(image, product, split, label) for image in loose]
        elif not kinds:
            problems.append(f"{product}: {path.name}/ holds no images.")
        read_kinds(kinds, split)
    rest = [f"{path.name}/" for path in inside if path not in splits]
    if not splits:
        read_kinds(inside, None)
        problems.append(
            f"{product}: there is no train/ and test/; all {sum(s.is_good for s in samples)} good "
            "images are used for training. Set good images aside in test/good/ to measure false "
            "alarms."
        )
    elif rest:
        problems.append(f"{product}: {', '.join(rest)} beside train/ and test/ were left out.")
    loose = list_images(folder, recursive=False)
    if loose:
        left_out(len(loose), folder.name)
    return samples, problems


FOLDER = Layout(
    "folder",
    "a folder called good, ok or normal, or train/ and test/",
    _recognise_folder,
    _read_folder,
)
