"""Columns of batch results: those of a JSON line, each of one type for good.

A file of results whose pictures have no regions has the same types as any other, so that the files
of a run are one table to whatever reads them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import MissingExtraError
from blemish.outputs.csv_jsonl import row_error
from blemish.outputs.lines import VerdictRow
from blemish.results import Branch, Prediction
from blemish.stores.urls import shown

if TYPE_CHECKING:
    import pyarrow

#: One picture's row: plain values by the name of the column; a column that is absent is empty.
Row = dict[str, Any]

NUMBERS = ("score", "p_value", "times_limit")
TEXTS = ("path", "product", "recognised", "rival", "verdict", "error", "calibration", "model")
NESTED = ("branches", "regions", "explanation", "pose", "notes")
COLUMNS = (
    *("path", "product", "recognised", "rival", "verdict", *NUMBERS, *NESTED),
    *("calibration", "map", "error", "model"),
)


def row_of(prediction: Prediction, model: str) -> Row:
    """The row of a prediction: its JSON line, but for branches, which are a list with names."""
    row = prediction.to_dict()
    row["score"] = float(prediction.score)  # also where JSON knows no such number
    row["branches"] = [{"name": name, **branch} for name, branch in row["branches"].items()]
    return {**row, "error": row_error(prediction) or None, "model": model}


def failed_row(path: Path, error: BaseException, model: str) -> Row:
    """The row of a picture that could not be judged."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return {"path": shown(path), "error": reason, "model": model}


def arrays(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Rows as one array ``(N,)`` per column: float64 for numbers, objects for all else.

    An unknown number is NaN, everything else that is unknown ``None``.
    """
    found: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        values = [row.get(name) for row in rows]
        if name in NUMBERS:
            found[name] = np.array([math.nan if v is None else v for v in values], np.float64)
        else:
            found[name] = np.empty(len(rows), object)
            for place, value in enumerate(values):  # at once, lists would become further axes
                found[name][place] = value
    return found


def verdict_row(row: Row) -> VerdictRow | None:
    """What the summary of a run keeps of a row; ``None`` where the picture could not be judged."""
    if row["error"]:
        return None
    return VerdictRow(
        path=Path(row["path"]),
        product=row["product"],
        verdict=row["verdict"],
        score=row["score"],
        p_value=row["p_value"],
        branches={
            b["name"]: Branch(
                math.nan if b["score"] is None else b["score"],
                *(b.get(name) for name in ("p_value", "verdict", "times_limit")),
            )
            for b in row["branches"]
        },
        areas=len(row["regions"]),
        recognised=row.get("recognised"),
        times_limit=row["times_limit"],
        rival=row.get("rival"),
    )


def schema() -> pyarrow.Schema:
    """The types of the columns in Parquet.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa = parquet_library()
    box = ("box", pa.list_(pa.int32()))
    numbers = [("p_value", pa.float64()), ("times_limit", pa.float64())]
    branch = [("name", pa.string()), ("score", pa.float64()), ("verdict", pa.string()), *numbers]
    region = [box, ("area", pa.int64()), ("peak", pa.float64()), ("times_limit", pa.float64())]
    measures = [(name, pa.float64()) for name in ("angle", "right", "down", "quality", "limit")]
    types = {
        **dict.fromkeys(NUMBERS, pa.float64()),
        "branches": pa.list_(pa.struct(branch)),
        "regions": pa.list_(pa.struct(region)),
        "explanation": pa.struct([("branch", pa.string()), box, ("sentence", pa.string())]),
        "pose": pa.struct([("aligned", pa.bool_()), *measures]),
        "notes": pa.list_(pa.string()),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])


def parquet_library() -> Any:
    """pyarrow, with its part for Parquet imported.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("Results as Parquet", "ray") from error
    return pyarrow
