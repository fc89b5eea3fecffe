"""Running ``blemish predict`` over many pictures, and what must be equal of its rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = "from blemish.cli.app import main; main()"


def run_blemish(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """``blemish`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def assert_same(
    rows: list[dict[str, Any]], plain: tuple[list[dict[str, str]], list[dict[str, Any]]]
) -> None:
    """Rows of Parquet say what those of CSV and JSON say, to the last bit."""
    rows = sorted(rows, key=lambda row: row["path"])
    assert [row["path"] for row in rows] == [row["path"] for row in plain[0]]
    for row, cells, line in zip(rows, *plain, strict=True):
        for name in ("product", "verdict", "score", "p_value", "times_limit", "error", "model"):
            assert cells[name] == ("" if row[name] is None else str(row[name])), (row, cells)
        if row["error"]:
            assert (row["score"], row["verdict"], row["regions"]) == (None, None, None)
            continue
        assert int(cells["n_regions"]) == len(row["regions"])
        branches = {b["name"]: b for b in row["branches"]}
        assert branches.keys() == line["branches"].keys()
        for name in set(line) - {"branches", "error"}:
            assert row[name] == line[name], name
