"""ELPV (Buerhop-Lutz et al., 2018): electroluminescence images of solar cells.

::

    labels.csv            path, defect probability (0, 1/3, 2/3, 1), type (mono or poly)
    images/cell0001.png …

Two products, ``mono`` and ``poly``. Protocol: cells of probability 0 are good; per product the
first 80 % of them by file name are for training, the others and all cells of probability 1 for
testing; 1/3 and 2/3 are left out. There are no masks.

The root is such a folder, or the word ``elpv`` for the installed package ``elpv-dataset``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from blemish.data.layouts.base import Layout, Reading, arranged, found_in
from blemish.data.layouts.tree import Listing, inside
from blemish.data.sample import Sample
from blemish.errors import DataError

PRODUCTS = ("mono", "poly")
_FOLDERS = (".", "data", "elpv_dataset/data", "src/elpv_dataset/data")


def packaged_root() -> Path:
    """The data folder inside the installed package ``elpv-dataset``.

    Raises:
        DataError: The package is not installed.
    """
    # find_spec does not run the package; it is only a carrier of files.
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DataError(
            "The ELPV data set is not installed. Run: pip install elpv-dataset, or name a folder "
            "with its labels.csv and images/."
        )
    return Path(spec.origin).parent / "data"


def _locate(root: Path) -> Path | None:
    for folder in _FOLDERS:
        if (root / folder / "labels.csv").is_file() and (root / folder / "images").is_dir():
            return root / folder
    return None


def _recognise(root: Path) -> bool:
    folder = _locate(root)
    if folder is None:
        return False
    try:
        return any(product is not None for *_, product in _rows(folder / "labels.csv")[:1])
    except DataError:
        return False


def _read(root: Path) -> Reading:
    folder = _locate(root)
    if folder is None:
        raise DataError(
            f"Found no labels.csv beside images/ in {root}; found {found_in(root)}. Name the "
            "folder that holds both, or use the root elpv for the installed package."
        )
    table = folder / "labels.csv"
    listing = Listing()
    good: dict[str, list[Path]] = {product: [] for product in PRODUCTS}
    samples: list[Sample] = []
    missing = 0
    for text, probability, product in _rows(table):
        path = inside(folder, text, source=table)
        if path not in listing:
            missing += 1
        elif probability < 0.01:
            good[product].append(path)
        elif probability > 0.99:
            samples.append(Sample(path, product, "test", 1, "defective"))
    for product, paths in good.items():
        paths.sort(key=lambda path: path.name)
        training = len(paths) * 8 // 10
        samples += [Sample(path, product, "train", 0) for path in paths[:training]]
        samples += [Sample(path, product, "test", 0) for path in paths[training:]]
    problems = []
    if missing:
        problems.append(f"{missing} images named in labels.csv are not there and were left out.")
    return arranged(samples), problems


def _rows(table: Path) -> list[tuple[str, float, str]]:
    """Path, probability and product of each line; columns are separated by blanks."""
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {table}: {error}. Download ELPV again.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split()
        try:
            text, probability, product = fields[0], float(fields[1]), fields[2]
            valid = len(fields) == 3 and product in PRODUCTS
            valid = valid and min(abs(probability - k / 3) for k in range(4)) < 0.01
        except (IndexError, ValueError):
            valid = False
        if not valid:
            raise DataError(
                f"{table}, line {number}: found {line[:80]!r}. Expected a path, a probability of "
                "0, 1/3, 2/3 or 1, and mono or poly, separated by blanks."
            )
        rows.append((text, probability, product))
    return rows


LAYOUT = Layout(
    "elpv", "labels.csv and images/, or the word elpv for the package", _recognise, _read
)
