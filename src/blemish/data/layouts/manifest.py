"""CSV list: a table that says of each image where it is, what it shows, and of which product.

``csv``, a file, or a folder that holds one such file::

    path,label,product,mask,split,group
    good/1.png,good,lid,,,lot3
    more/7.png,scratch,lid,masks/7.png,test,

Only ``path`` and ``label`` must be there; other columns are ignored. The label is a word for good
or for defects (see :mod:`blemish.data.layouts.roles`), 0 for good and 1 for defective, nothing for
unlabelled, or else a kind of defect. Without a split good images train and all others test. Paths
are relative to the file. Commas, semicolons or tabs separate, as the first line does.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from blemish.data.grouping import GROUP_COLUMNS
from blemish.data.images.image_list import natural_key
from blemish.data.layouts.base import Layout, Listing, Reading, arranged, found_in, inside
from blemish.data.layouts.roles import composed, folder_role, same_name
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

_COLUMNS = {
    "path": ("path", "image", "image_path", "file", "filename", "file_name"),
    "label": ("label", "class", "kind", "defect"),
    "product": ("product", "category", "object"),
    "mask": ("mask", "mask_path"),
    "split": ("split", "set"),
    "group": GROUP_COLUMNS,
}
_EXPECTED = "path,label and, where there are some, product,mask,split,group"
_BOTH_WAYS = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f"})


def _tables(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix.lower() == ".csv" else []
    return [] if not root.is_dir() else sorted(root.glob("[!.]*.csv"), key=natural_key)


def _names(header: list[str]) -> dict[str, int]:
    """Position of each known column."""
    words = [same_name(name).strip() for name in header]
    return {
        column: next(words.index(name) for name in names if name in words)
        for column, names in _COLUMNS.items()
        if any(name in words for name in names)
    }


def _rows(table: Path) -> list[list[str]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        return list(csv.reader(text.splitlines(), delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read {table}: {error}. Expected CSV in UTF-8.") from error


def _is_list(table: Path) -> bool:
    try:
        with table.open(encoding="utf-8-sig") as file:
            first = file.readline(10_000)
    except (OSError, UnicodeDecodeError):
        return False
    delimiter = max(",;\t", key=first.count)
    return {"path", "label"} <= set(_names(first.strip().split(delimiter)))


def no_header(table: Path) -> str:
    """What is wrong with the first line of a table that does not name the columns."""
    header = next(iter(_rows(table)), [])
    missing = [name for name in ("path", "label") if name not in _names(header)]
    first = ",".join(header)
    return (
        f"{table} begins with the line {first[:80]!r}, in which no column is called "
        f"{' or '.join(missing)}. Put a first line with their names above: {_EXPECTED}."
    )


def _recognise(root: Path) -> bool:
    if root.is_file():
        return bool(_tables(root))
    return len([table for table in _tables(root) if _is_list(table)]) == 1


def _read(root: Path) -> Reading:
    tables = [table for table in _tables(root) if root.is_file() or _is_list(table)]
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables) or found_in(root)
        raise DataError(
            f"Expected one CSV file with the columns {_EXPECTED} in {root}; found {found}. Name "
            "the file itself."
        )
    table = tables[0]
    header, *rows = _rows(table) or [[]]
    columns = _names(header)
    if not {"path", "label"} <= set(columns):
        raise DataError(no_header(table))
    folder, listing = table.resolve().parent, Listing()
    samples: list[Sample] = []
    missing: Counter[str] = Counter()
    unmasked: Counter[str] = Counter()
    for line, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = {name: (row[at].strip() if at < len(row) else "") for name, at in columns.items()}
        product = composed(cells.get("product", "")) or folder.name
        label, kind = _label(cells["label"], table, line)
        split = _split(cells.get("split", ""), label, table, line)
        path = listing.find(inside(folder, cells["path"], source=table))
        if path is None:
            missing[product] += 1
            continue
        mask = cells.get("mask", "")
        drawn = listing.find(inside(folder, mask, source=table)) if mask else None
        unmasked[product] += bool(mask) and drawn is None
        masks = () if drawn is None or label != 1 else (drawn,)
        group = cells.get("group") or None
        samples.append(Sample(path, product, split, label, kind, masks, group=group))
    problems = [
        f"{name}: {count} {what} named in {table.name} are not there and were left out."
        for what, counts in (("images", missing), ("masks", unmasked))
        for name, count in sorted((+counts).items())
    ]
    twice = [p for p, n in Counter(sample.path for sample in samples).items() if n > 1]
    if twice:
        raise DataError(f"{table} names {twice[0]} twice. Expected one line per image.")
    return arranged(samples), problems


def _label(text: str, table: Path, line: int) -> tuple[int | None, str | None]:
    what = folder_role(text).what
    if not text or what == "unlabelled":
        return None, None
    if text in ("0", "1") or what in ("good", "defects"):
        good = text == "0" or what == "good"
        return int(not good), None if good else (composed(text) if what == "defects" else "defect")
    if what == "unclear" or text.casefold() in _BOTH_WAYS:
        raise DataError(
            f"{table}, line {line}: the label {text!r} can be read both ways. Expected good or 0, "
            "defect or 1, or the name of a kind of defect."
        )
    return 1, composed(text)


def _split(text: str, label: int | None, table: Path, line: int) -> Split:
    if not text:
        return "train" if label == 0 else "test"
    split = folder_role(text).split
    if split is None:
        raise DataError(
            f"{table}, line {line}: found the split {text!r}. Expected train, validation, test or "
            "nothing."
        )
    return split


MANIFEST = Layout("csv", f"a CSV file with the columns {_EXPECTED}", _recognise, _read)
