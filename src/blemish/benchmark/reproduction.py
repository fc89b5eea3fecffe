"""Reproduction of a paper: its data checked, its cost foreseen, its table beside the measured one.

The measuring is the benchmark's own (:mod:`blemish.benchmark.runner`), under the preset ``paper``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from blemish._names import unknown_name_message
from blemish.benchmark.papers import PAPERS, Paper
from blemish.benchmark.plan import BenchmarkOptions, detector_for
from blemish.benchmark.protocols import CLASS_PROTOCOLS, Unit, plan_units
from blemish.benchmark.published_sets import Difference, difference, published_set
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet
from blemish.errors import ConfigError, DataError

_LISTED = 12  # differences of a data set that a message names


@dataclass(frozen=True)
class Reproduction:
    """A paper's experiment on the data at hand, ready to be measured.

    Attributes:
        name: In :data:`~blemish.benchmark.papers.PAPERS`.
        paper: The entry.
        data_set: As read from disk.
        difference: What of the published data set is missing.
        options: What the benchmark is asked.
        departures: What of that is not the paper's, one phrase each.
    """

    name: str
    paper: Paper
    data_set: DataSet
    difference: Difference
    options: BenchmarkOptions
    departures: tuple[str, ...]

    @property
    def is_the_papers(self) -> bool:
        """Whether data and settings are those of the paper."""
        return not self.departures and not self.difference.found

    def units(self) -> list[Unit]:
        """The models that are trained, of one seed."""
        chosen = self.options
        data_set = self.data_set
        if chosen.products:
            data_set = data_set.of_products(chosen.products)
        return plan_units(data_set, chosen.protocol, classes=chosen.classes)


def prepare(
    name: str,
    data: str,
    *,
    partial: bool = False,
    categories: Sequence[str] = (),
    **changes: Any,
) -> Reproduction:
    """Read the data, compare it with the published set, and note what departs from the paper.

    Args:
        name: In :data:`~blemish.benchmark.papers.PAPERS`.
        data: Folder or archive of the data set.
        partial: Go on where it is not whole.
        categories: Only these of the paper's.
        changes: Other values of :class:`~blemish.benchmark.plan.BenchmarkOptions`.

    Raises:
        ConfigError: An unknown paper, category or value, or a data set of another kind.
        DataError: The data are not whole, and ``partial`` is false; the message says what to do.
    """
    if name not in PAPERS:
        raise ConfigError(unknown_name_message("paper", name, PAPERS))
    paper = PAPERS[name]
    known = published_set(paper.data_set)
    everything = paper.categories or tuple(known.categories)
    for category in categories:
        if category not in everything:
            raise ConfigError(unknown_name_message("category", category, everything))
    data_set = read_data_set(data)
    found = difference(data_set, known, paper.categories)
    if found.found and not partial:
        raise DataError(_not_whole(name, found, known.title, known.url))
    present = [c for c in found.present if not categories or c in categories]
    if not present:
        raise DataError(f"{data} holds none of the categories {', '.join(categories)}.")
    # Named only where not all that is there takes part, so that nothing strange does.
    named = tuple(present) if set(present) != set(data_set.products) else ()
    of_classes = paper.protocol in CLASS_PROTOCOLS
    own = BenchmarkOptions(
        methods=(paper.method,),
        data=(f"{paper.data_set}={data}",),
        protocol=paper.protocol,
        preset="paper",
        hold_out=paper.hold_out,
        compatibility=paper.compatibility,
        classes=named if of_classes else (),
        products=() if of_classes else named,
    )
    asked = replace(own, **changes)
    departures = _departures(paper, own, asked)
    if len(present) < len(everything):
        some = f"{len(present)} of {len(everything)} categories: {', '.join(present)}"
        departures.insert(0, some)
    return Reproduction(name, paper, data_set, found, asked, tuple(departures))


def _not_whole(name: str, found: Difference, title: str, url: str) -> str:
    lines = [f"  {text}" for text in found.found[:_LISTED]]
    if len(found.found) > _LISTED:
        lines.append(f"  … and {len(found.found) - _LISTED} more")
    return "\n".join(
        [
            f"These data are not the published {title}:",
            *lines,
            f"Unpack its archive again ({url}), into an empty folder. To measure what is there, "
            f"give --partial: the result of {name} then says that it is not the paper's data set.",
        ]
    )


def _facts(paper: Paper, options: BenchmarkOptions) -> dict[str, Any]:
    """All of a method and its input that could depart from the paper."""
    detector = detector_for(options, paper.method)
    point = detector.speed.point
    size = detector.input.image_size or ((point.side, point.side) if point.square else ())
    return {
        **detector.config.to_json(),
        "teacher": detector.teacher,
        "teacher weights": options.teacher_weights,
        "input size": "×".join(map(str, size)) or f"of at most {point.side}×{point.side}",
        "precision": options.precision,
    }


def _departures(paper: Paper, own: BenchmarkOptions, asked: BenchmarkOptions) -> list[str]:
    stated, having = _facts(paper, own), _facts(paper, asked)
    return [
        f"{name} {_text(having[name])} in place of {_text(stated[name])}"
        for name in stated
        if having[name] != stated[name]
    ]


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
