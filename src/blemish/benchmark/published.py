"""Published figures: their authors' own, on the full data sets, and never ours.

They stand in ``published.json`` with their sources. Beside a result they are comparable only if it
was measured on the full data set: its layout, all of its categories and all of its images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from blemish.benchmark.aggregate import Section
from blemish.benchmark.protocols import CLASS_PROTOCOLS


@dataclass(frozen=True)
class PublishedFigure:
    """One figure.

    Attributes:
        data_set: Title of the data set.
        protocol: Its protocol; ``None`` where our source does not state it.
        system, metric, value, source: As reported; ``value`` in percent.
    """

    data_set: str
    protocol: str | None
    system: str
    metric: str
    value: str
    source: str


@cache
def _content() -> Mapping[str, Any]:
    text = (files("blemish.benchmark") / "published.json").read_text(encoding="utf-8")
    content: Mapping[str, Any] = json.loads(text)
    return content


def published_figures(key: str, protocol: str) -> list[PublishedFigure]:
    """The figures for a data set under a protocol, those of unstated protocol included."""
    content = _content()
    return [
        PublishedFigure(
            content["data_sets"][key]["title"],
            entry["protocol"],
            entry["system"],
            entry["metric"],
            entry["value"],
            content["sources"][entry["source"]],
        )
        for entry in content["figures"]
        if entry["data_set"] == key and entry["protocol"] in (protocol, None)
    ]


def full_data_set(section: Section) -> str | None:
    """The published data set that a section measured as a whole, ``None`` if there is none."""
    counts = _counts(section)
    for key, known in _content()["data_sets"].items():
        if (
            section.layout in known["layouts"]
            and sorted(counts) == sorted(known["categories"])
            and _totals(section, counts) == (known["train"], known["test"])
        ):
            return str(key)
    return None


def same_layout(section: Section) -> list[str]:
    """Published data sets of the section's layout, the nearest thing to compare with."""
    known = _content()["data_sets"].items()
    return [key for key, entry in known if entry["layouts"][0] == section.layout]


def _counts(section: Section) -> dict[str, Mapping[str, int]]:
    return {
        row["category"]: row["counts"]
        for run in section.runs
        for row in run["rows"]
        if row["category"] and "counts" in row
    }


def _totals(section: Section, counts: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    """Training and test images of the section; the class protocols test on all each time."""
    train = sum(c["train_good"] for c in counts.values())
    tests = [c["test_good"] + c["test_defective"] for c in counts.values()]
    whole = section.protocol["name"] in CLASS_PROTOCOLS
    return train, (max(tests, default=0) if whole else sum(tests))
