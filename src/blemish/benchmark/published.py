"""Published figures: their authors' own, on the full data sets, and never ours.

They stand in ``published.json`` with their sources. Beside a result they are comparable only if it
was measured on the full data set: its layout, all of its categories and all of its images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from blemish.benchmark.aggregate import Section
from blemish.benchmark.protocols import CLASS_PROTOCOLS


class PublishedFigure(NamedTuple):
    """One figure as reported, in percent; the protocol is ``None`` where the source is silent."""

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
    counts = section.counts()
    train = sum(c["train_good"] for c in counts.values())
    tests = [c["test_good"] + c["test_defective"] for c in counts.values()]
    # The class protocols test on all images each time.
    whole = section.protocol["name"] in CLASS_PROTOCOLS
    totals = train, (max(tests, default=0) if whole else sum(tests))
    for key, known in _content()["data_sets"].items():
        if (
            section.layout in known["layouts"]
            and sorted(counts) == sorted(known["categories"])
            and totals == (known["train"], known["test"])
        ):
            return str(key)
    return None


def same_layout(section: Section) -> list[str]:
    """Published data sets of the section's layout, the nearest thing to compare with."""
    known = _content()["data_sets"].items()
    return [key for key, entry in known if entry["layouts"][0] == section.layout]
