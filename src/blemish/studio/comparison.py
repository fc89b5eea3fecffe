"""Comparison of two models on the same pictures: who finds what, where they differ, and how fast.

From tables that ``blemish predict --csv`` wrote, a row per picture. What a picture shows is what
its folder says. Pictures that a model has learned say little of it, and are counted apart.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from blemish.metrics.intervals import binomial_interval


def read_verdicts(table: Path) -> dict[str, dict[str, Any]]:
    """Verdict, p-value and more of each picture in a table, by ``product/name``."""
    with table.open(newline="", encoding="utf-8") as file:
        return {
            _called(row["path"]): {
                "verdict": row["verdict"] or "none",
                "times_limit": _number(row.get("times_limit")),
                "p_value": _number(row.get("p_value")),
                "error": row.get("error", ""),
            }
            for row in csv.DictReader(file)
        }


def compared(
    verdicts: Mapping[str, Mapping[str, Mapping[str, Any]]],
    pictures: Collection[str],
    learned: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    """The answer for the page.

    Args:
        verdicts: Of each model those of each picture, by ``product/name``.
        pictures: Paths of the pictures as they are marked now.
        learned: Of each model the good pictures it has learned, as ``product/name``.
    """
    models = list(verdicts)
    known_to_any = set().union(*learned.values())
    rows: list[dict[str, Any]] = []
    counts = {name: _Counts() for name in models}
    for path in pictures:
        parts = path.split("/")
        called, role = f"{parts[0]}/{parts[-1]}", parts[1]
        said = {name: verdicts[name].get(called) for name in models}
        if any(one is None or one["error"] for one in said.values()):
            continue
        seen = called in known_to_any
        for name, one in said.items():
            counts[name].add(role, str(one["verdict"]), seen=seen)  # type: ignore[index]
        stops = [one["verdict"] == "defect" for one in said.values() if one]
        row = {name: one and one["verdict"] for name, one in said.items()}
        times = {name: one and one["times_limit"] for name, one in said.items()}
        differs = len(set(stops)) > 1
        rows.append({"path": path, "role": role, "learned": seen, "differs": differs}
                    | {"verdicts": row, "times": times})  # fmt: skip
    return {
        "models": {name: counts[name].answer() for name in models},
        "pictures": len(rows),
        "differ": [row for row in rows if row["differs"]],
        "missed": [row for row in rows if row["role"] == "defect" and not row["differs"]
                   and "defect" not in row["verdicts"].values()],
    }  # fmt: skip


class _Counts:
    """What one model says of good pictures, of defects, and of what nobody has marked."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, int]] = {
            group: {"ok": 0, "unsure": 0, "defect": 0, "none": 0}
            for group in ("defect", "good", "learned", "unsorted")
        }

    def add(self, role: str, verdict: str, *, seen: bool) -> None:
        self.of["learned" if role == "good" and seen else role][verdict] += 1

    def answer(self) -> dict[str, Any]:
        return {
            **self.of,
            "found": _share(self.of["defect"]),
            "false_alarms": _share(self.of["good"]),
        }


def _share(counts: Mapping[str, int]) -> dict[str, float | int] | None:
    total = sum(counts.values())
    if not total:
        return None
    interval = binomial_interval(counts["defect"], total)
    return {"count": counts["defect"], "of": total, "low": interval.low, "high": interval.high}


def _called(path: str) -> str:
    parts = path.replace("\\", "/").removeprefix("pictures/").split("/")
    return f"{parts[0]}/{parts[-1]}"


def _number(text: str | None) -> float | None:
    return float(text) if text else None
