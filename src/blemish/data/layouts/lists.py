"""Listed data sets: VisA, Real-IAD and ELPV, whose list files say what each image is.

``visa`` (Zou et al., ECCV 2022), as distributed, or converted by the authors' script::

    split_csv/1cls.csv                          object,split,label,image,mask[,group]
    candle/Data/Images/{Normal,Anomaly}/*.JPG
    candle/Data/Masks/Anomaly/*.png             (values are defect ids, > 0 is defect)

    1cls/candle/{train/good,test/{good,bad},ground_truth/bad}/

``real_iad`` (Wang et al., CVPR 2024): 30 categories, five views of every part::

    realiad_jsons/realiad_jsons/audiojack.json
    realiad_1024/audiojack/OK/S0001/audiojack_0001_OK_C1_….jpg
    realiad_1024/audiojack/NG/<class>/S0001/….jpg and ….png (mask)

The label is that of the image: a view in which the defect cannot be seen is good. ``part`` is the
folder that holds the views of one part (``audiojack/NG/QS/S0001``), because the numbers ``S0001``
repeat between categories and classes.

``elpv`` (Buerhop-Lutz et al., 2018): electroluminescence images of solar cells::

    labels.csv            path, defect probability (0, 1/3, 2/3, 1), type (mono or poly)
    images/cell0001.png …

Two products, ``mono`` and ``poly``. Protocol: cells of probability 0 are good; per product every
fifth of them by file name, and all cells of probability 1, are for testing, the other good ones for
training; 1/3 and 2/3 are left out. There are no masks. The root is such a folder, or the word
``elpv`` for the installed package ``elpv-dataset``. By name there is ``elpv_shift`` too, which
tests on the last fifth of the good cells: they are of other modules, unlike all that train, so that
it is a test of drift.
"""

from __future__ import annotations

import csv
import importlib.util
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from blemish.data.images.image_list import natural_key
from blemish.data.layouts.base import (
    Layout,
    Listing,
    Reading,
    arranged,
    defects_in_training,
    find_categories,
    found_in,
    inside,
    read_each,
    subfolders,
)
from blemish.data.layouts.trees import read_category
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

_VISA_CSV = Path("split_csv", "1cls.csv")
_VISA_COLUMNS = ("object", "split", "label", "image", "mask")
_VISA_GROUP = "group"  # not in VisA's own: a column for who keeps such a list
_REAL_IAD_LISTS = (Path("realiad_jsons", "realiad_jsons"), Path("realiad_jsons"))
_REAL_IAD_IMAGES = ("realiad_1024", "realiad_512", "realiad_256", "realiad_raw")
_SPLITS: tuple[Split, ...] = ("train", "test")
ELPV_PRODUCTS = ("mono", "poly")
_ELPV_FOLDERS = (".", "data", "elpv_dataset/data", "src/elpv_dataset/data")


def _masked(product: str, unmasked: int, kind: str = "") -> str:
    return (
        f"{product}: {unmasked} {kind or 'defective images'} have no mask; they count as defective "
        "but not annotated."
    )


def _is_converted_visa(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() and (folder / "test" / "bad").is_dir()


def _recognise_visa(root: Path) -> bool:
    return (
        (root / _VISA_CSV).is_file()
        or any((p / "Data" / "Images" / "Normal").is_dir() for p in subfolders(root))
        or bool(find_categories(root / "1cls", _is_converted_visa))
    )


def _read_visa(root: Path) -> Reading:
    path = root / _VISA_CSV
    if not path.is_file():
        converted = root / "1cls" if (root / "1cls").is_dir() else root
        categories = find_categories(converted, _is_converted_visa)
        if categories:
            return read_each(categories, read_category)
        raise DataError(
            f"There is no {path}. VisA's archive says in that file which image is for training "
            "and which for testing; copy it from the archive, or name the folder of the converted "
            "tree."
        )
    listing = Listing()
    samples: list[Sample] = []
    missing: Counter[str] = Counter()
    unmasked: Counter[str] = Counter()
    for line, row in _visa_rows(path):
        product, split, label = row["object"], row["split"], row["label"]
        if split not in _SPLITS or label not in ("normal", "anomaly") or not product:
            raise DataError(
                f"{path}, line {line}: found object={product!r}, split={split!r}, label={label!r}. "
                "Expected split train or test and label normal or anomaly; copy the file from "
                "VisA's archive again."
            )
        group = row[_VISA_GROUP] or None
        image = listing.find(inside(root, row["image"], source=path))
        of: Split = "train" if split == "train" else "test"
        if image is None:
            missing[product] += 1
        elif label == "normal":
            samples.append(Sample(image, product, of, 0, group=group))
        else:
            drawn = row["mask"] and listing.find(inside(root, row["mask"], source=path))
            masks = (drawn,) if drawn else ()
            unmasked[product] += not masks
            samples.append(Sample(image, product, of, 1, "anomaly", masks, group=group))
    problems = [
        f"{product}: {missing[product]} images named in {path.name} are not there and were left "
        "out."
        for product in sorted(missing, key=natural_key)
    ]
    problems += [
        _masked(product, unmasked[product], "images of kind 'anomaly'")
        for product in sorted(+unmasked, key=natural_key)
    ]
    return arranged(samples), problems


def _visa_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line numbers and rows with every column present, stripped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [
                (
                    reader.line_num,
                    {n: (row.get(n) or "").strip() for n in (*_VISA_COLUMNS, _VISA_GROUP)},
                )
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Copy it from VisA's archive again."
        ) from error
    if not set(_VISA_COLUMNS) <= set(columns):
        raise DataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}. Expected "
            f"{', '.join(_VISA_COLUMNS)}; copy it from VisA's archive again."
        )
    return rows


def _real_iad_lists(root: Path) -> list[Path]:
    found = (sorted((root / f).glob("[!.]*.json"), key=natural_key) for f in _REAL_IAD_LISTS)
    return next(filter(None, found), [])


def _read_real_iad(root: Path) -> Reading:
    images = next((root / name for name in _REAL_IAD_IMAGES if (root / name).is_dir()), None)
    if images is None:
        raise DataError(
            f"There is no folder {root / _REAL_IAD_IMAGES[0]}. Unpack Real-IAD's images beside "
            f"realiad_jsons ({', '.join(_REAL_IAD_IMAGES)} are recognised, the first found is "
            "used)."
        )
    listing = Listing()
    lists = {path.stem: path for path in _real_iad_lists(root)}
    return read_each(lists, lambda name, path: _read_real_iad_list(name, path, images, listing))


def _read_real_iad_list(product: str, path: Path, images: Path, listing: Listing) -> Reading:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Expected JSON; download Real-IAD's lists again."
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds a {type(content).__name__}. Expected an object with meta, train and "
            "test; download Real-IAD's lists again."
        )
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    normal, prefix = meta.get("normal_class", "OK"), meta.get("prefix", f"{product}/")
    if not isinstance(prefix, str) or not isinstance(normal, str):
        raise DataError(f"{path}: found meta {meta!r}. Expected the texts normal_class and prefix.")
    folder = inside(images, prefix, source=path)
    samples: list[Sample] = []
    missing = unmasked = 0
    defects: Counter[str] = Counter()  # among the training images, by kind
    for split in _SPLITS:
        entries = content.get(split)
        if not isinstance(entries, list):
            raise DataError(f"{path}: found no list {split!r}. Download Real-IAD's lists again.")
        for position, entry in enumerate(entries):
            text, kind, mask = _real_iad_entry(entry, path, split, position)
            image = inside(folder, text, source=path)
            if image not in listing:
                missing += 1
                continue
            part = image.parent.relative_to(images).as_posix()
            if kind == normal:
                samples.append(Sample(image, product, split, 0, part=part))
                continue
            mask_path = inside(folder, mask, source=path) if mask else None
            masks = () if mask_path is None or mask_path not in listing else (mask_path,)
            unmasked += not masks
            defects[kind] += split == "train"
            samples.append(Sample(image, product, split, 1, kind, masks, part=part))
    problems: list[str] = []
    if missing:
        problems.append(
            f"{product}: {missing} images named in {path.name} are not below {folder} and were "
            "left out."
        )
    if unmasked:
        problems.append(_masked(product, unmasked))
    problems += [defects_in_training(product, defects[kind], kind) for kind in sorted(+defects)]
    return samples, problems


def _real_iad_entry(
    entry: Any, path: Path, split: str, position: int
) -> tuple[str, str, str | None]:
    if isinstance(entry, dict):
        image, kind = entry.get("image_path"), entry.get("anomaly_class")
        mask = entry.get("mask_path")
        if isinstance(image, str) and isinstance(kind, str) and isinstance(mask, (str, type(None))):
            return image, kind, mask
    raise DataError(
        f"{path}, {split} entry {position}: found {str(entry)[:120]}. Expected image_path and "
        "anomaly_class as text, mask_path as text or null; download Real-IAD's lists again."
    )


def packaged_elpv() -> Path:
    """The data folder inside the installed package ``elpv-dataset``."""
    # find_spec does not run the package; it is only a carrier of files.
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DataError(
            "The ELPV data set is not installed. Run: pip install elpv-dataset, or name a folder "
            "with its labels.csv and images/."
        )
    return Path(spec.origin).parent / "data"


def _elpv_folder(root: Path) -> Path | None:
    folders = (root / folder for folder in _ELPV_FOLDERS)
    return next(
        (f for f in folders if (f / "labels.csv").is_file() and (f / "images").is_dir()), None
    )


def _recognise_elpv(root: Path) -> bool:
    folder = _elpv_folder(root)
    try:
        return folder is not None and bool(_elpv_rows(folder / "labels.csv"))
    except DataError:
        return False


def _read_elpv(root: Path, *, shifted: bool = False) -> Reading:
    folder = _elpv_folder(root)
    if folder is None:
        raise DataError(
            f"Found no labels.csv beside images/ in {root}; found {found_in(root)}. Name the "
            "folder that holds both, or use the root elpv for the installed package."
        )
    table = folder / "labels.csv"
    listing = Listing()
    good: dict[str, list[Path]] = {product: [] for product in ELPV_PRODUCTS}
    samples: list[Sample] = []
    missing = 0
    for text, probability, product in _elpv_rows(table):
        path = inside(folder, text, source=table)
        if path not in listing:
            missing += 1
        elif probability < 0.01:
            good[product].append(path)
        elif probability > 0.99:
            samples.append(Sample(path, product, "test", 1, "defective"))
    for product, paths in good.items():
        paths.sort(key=lambda path: path.name)
        first_test = len(paths) * 8 // 10
        for place, path in enumerate(paths):
            tests = place >= first_test if shifted else place % 5 == 4
            samples.append(Sample(path, product, "test" if tests else "train", 0))
    problems = []
    if missing:
        problems.append(f"{missing} images named in labels.csv are not there and were left out.")
    return arranged(samples), problems


def _elpv_rows(table: Path) -> list[tuple[str, float, str]]:
    """Path, probability and product of each line; columns are separated by blanks."""
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {table}: {error}. Download ELPV again.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text, share, product = line.split()
            probability = float(share)
            valid = product in ELPV_PRODUCTS
            valid = valid and min(abs(probability - k / 3) for k in range(4)) < 0.01
        except ValueError:
            valid = False
        if not valid:
            raise DataError(
                f"{table}, line {number}: found {line[:80]!r}. Expected a path, a probability of "
                "0, 1/3, 2/3 or 1, and mono or poly, separated by blanks."
            )
        rows.append((text, probability, product))
    return rows


VISA = Layout(
    "visa",
    "split_csv/1cls.csv, or the converted tree 1cls/<category>/",
    _recognise_visa,
    _read_visa,
)
REAL_IAD = Layout(
    "real_iad",
    "realiad_jsons/realiad_jsons/<category>.json and realiad_1024/<category>/",
    lambda root: bool(_real_iad_lists(root)),
    _read_real_iad,
)
ELPV = Layout(
    "elpv", "labels.csv and images/, or the word elpv for the package", _recognise_elpv, _read_elpv
)
ELPV_SHIFT = Layout(
    "elpv_shift",
    "as elpv, by name only: the last cells test",
    lambda root: False,
    partial(_read_elpv, shifted=True),
)
