"""Options of a training that takes a second, and what it leaves."""

from __future__ import annotations

from pathlib import Path

BRIEF = ("--size", "32", "--device", "cpu")
SHORT = (*BRIEF, "--set", "steps=4", "--set", "batch_size=4")
TRAINED = ("--method", "borad", *SHORT)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
