"""Rows: what `predict` wrote, read back as CSV, JSON lines or a folder of Parquet files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish.errors import ConfigError, MissingExtraError

_NEEDED = ("path", "product", "verdict", "score", "p_value")


@dataclass(frozen=True)
class JudgedRow:
    """One judged picture."""

    path: str
    product: str | None
    verdict: str | None
    score: float
    p_value: float | None


def read_rows(path: Path) -> list[JudgedRow]:
    """The judged pictures of a run, in order; those that could not be judged are left out.

    Raises:
        ConfigError: It is not there, or nothing that `predict` wrote.
        MissingExtraError: A folder of Parquet files, without its library.
    """
    try:
        raw = list(_parquet(path) if path.is_dir() else _lines(path))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise _foreign(path, str(error)) from error
    rows = []
    for number, cells in enumerate(raw, 1):
        missing = [name for name in _NEEDED if name not in cells]
        if missing:
            raise _foreign(path, f"row {number} has no {missing[0]}")
        if cells["score"] in (None, ""):  # could not be judged
            continue
        try:
            p_value = None if cells["p_value"] in (None, "") else float(cells["p_value"])
            score = float(cells["score"])
        except ValueError as error:
            raise _foreign(path, f"row {number}: {error}") from error
        product, verdict = cells["product"] or None, cells["verdict"] or None
        rows.append(JudgedRow(str(cells["path"] or ""), product, verdict, score, p_value))
    return rows


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text("utf-8-sig")
    if text.lstrip().startswith("{"):
        # A name may hold what Python too takes for the end of a line, such as U+2028.
        for line in text.rstrip("\n").split("\n"):
            found = json.loads(line)
            # A picture that could not be judged has an error in the place of all else.
            yield dict.fromkeys(_NEEDED) | found if "error" in found else found
    else:
        yield from csv.DictReader(io.StringIO(text, newline=""))


def _parquet(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import dataset
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading a folder of Parquet files", "ray") from error
    parts = sorted(folder.glob("*.parquet"))
    if not parts:
        raise _foreign(folder, "no Parquet file is in it")
    yield from dataset.dataset([str(part) for part in parts]).to_table().to_pylist()


def _foreign(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{path} is nothing that `blemish predict` wrote ({found}). Expected a file of --csv or "
        "--json, or the folder of --out."
    )
