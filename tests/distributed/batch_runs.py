"""What must be equal of the rows of ``blemish predict``, whoever writes them."""

from __future__ import annotations

from typing import Any


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
