"""VisA (Zou et al., ECCV 2022), as distributed or converted.

As distributed, the split file says what is what::

    split_csv/1cls.csv                          object,split,label,image,mask
    candle/Data/Images/{Normal,Anomaly}/*.JPG
    candle/Data/Masks/Anomaly/*.png             (values are defect ids, > 0 is defect)

Converted by the authors' script::

    1cls/candle/{train/good,test/{good,bad},ground_truth/bad}/
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from blemish.data.images.image_list import natural_key
from blemish.data.layouts.base import Layout, Reading, arranged, read_each
from blemish.data.layouts.tree import Listing, find_categories, inside, read_category, subfolders
from blemish.data.sample import Sample
from blemish.errors import DataError

_CSV = Path("split_csv", "1cls.csv")
_COLUMNS = ("object", "split", "label", "image", "mask")


def _is_converted(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() and (folder / "test" / "bad").is_dir()


def _recognise(root: Path) -> bool:
    return (
        (root / _CSV).is_file()
        or any((p / "Data" / "Images" / "Normal").is_dir() for p in subfolders(root))
        or bool(find_categories(root / "1cls", _is_converted))
    )


def _read(root: Path) -> Reading:
    if (root / _CSV).is_file():
        return _read_split_file(root)
    converted = root / "1cls" if (root / "1cls").is_dir() else root
    categories = find_categories(converted, _is_converted)
    if not categories:
        raise DataError(
            f"There is no {root / _CSV}. VisA's archive says in that file which image is for "
            "training and which for testing; copy it from the archive, or name the folder of the "
            "converted tree."
        )
    return read_each(categories, read_category)


def _read_split_file(root: Path) -> Reading:
    path = root / _CSV
    listing = Listing()
    samples: list[Sample] = []
    missing: Counter[str] = Counter()
    unmasked: Counter[str] = Counter()
    for line, row in _rows(path):
        product, split, label = row["object"], row["split"], row["label"]
        if split not in ("train", "test") or label not in ("normal", "anomaly") or not product:
            raise DataError(
                f"{path}, line {line}: found object={product!r}, split={split!r}, label={label!r}. "
                "Expected split train or test and label normal or anomaly; copy the file from "
                "VisA's archive again."
            )
        image = inside(root, row["image"], source=path)
        if image not in listing:
            missing[product] += 1
            continue
        masks: tuple[Path, ...] = ()
        if label == "anomaly":
            mask = inside(root, row["mask"], source=path) if row["mask"] else None
            if mask is not None and mask in listing:
                masks = (mask,)
            else:
                unmasked[product] += 1
        good = label == "normal"
        samples.append(
            Sample(
                image,
                product,
                "train" if split == "train" else "test",
                0 if good else 1,
                None if good else "anomaly",
                masks,
            )
        )
    problems = [
        f"{product}: {count} images named in {path.name} are not there and were left out."
        for product, count in sorted(missing.items(), key=lambda item: natural_key(item[0]))
    ]
    problems += [
        f"{product}: {count} images of kind 'anomaly' have no mask; they count as defective but "
        "not annotated."
        for product, count in sorted(unmasked.items(), key=lambda item: natural_key(item[0]))
    ]
    return arranged(samples), problems


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line numbers and rows with every column present, stripped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [
                (reader.line_num, {name: (row.get(name) or "").strip() for name in _COLUMNS})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Copy it from VisA's archive again."
        ) from error
    if not set(_COLUMNS) <= set(columns):
        raise DataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}. Expected "
            f"{', '.join(_COLUMNS)}; copy it from VisA's archive again."
        )
    return rows


LAYOUT = Layout(
    "visa", "split_csv/1cls.csv, or the converted tree 1cls/<category>/", _recognise, _read
)
