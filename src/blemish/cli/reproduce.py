"""``blemish reproduce``: a paper's experiment, its table beside the measured one."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from blemish._progress import print_notes
from blemish.cli.common import (
    Device,
    Precision,
    Quiet,
    names,
    need_training_packages,
    numbers,
    parse_assignments,
    parse_size,
)
from blemish.errors import ConfigError


def reproduce(
    paper: Annotated[str | None, typer.Argument(help="Name of the paper; see --list.")] = None,
    data: Annotated[
        str | None, typer.Argument(help="Its data set, a folder or archive in its own layout.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the results. Default: reproduced-PAPER."),
    ] = None,
    list_papers: Annotated[
        bool, typer.Option("--list", help="Which papers there are, and what they report.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look at the data and foresee the cost; measure nothing")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Go on with data that are not whole, and say so.")
    ] = False,
    categories: Annotated[
        str, typer.Option(help="Only these of its categories or classes, with commas.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "0",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value of a setting, NAME=VALUE. Repeatable."),
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="Another teacher than the paper's.")] = None,
    teacher_weights: Annotated[
        str, typer.Option(help="pretrained, a local weight file, or random.")
    ] = "pretrained",
    size: Annotated[str | None, typer.Option(help="Another input size.")] = None,
    device: Device = "auto",
    precision: Precision = "32-true",
    quiet: Quiet = False,
) -> None:
    """Measure what a paper reports, as it did, and print its table beside the measured one.

    The data must be the published set, whole. Whatever departs from the paper is said beside the
    figures. Give the same command again to go on where it was stopped.
    """
    if list_papers:
        _list()
        return
    if paper is None or data is None:
        raise ConfigError(
            "blemish reproduce needs the name of a paper and its data set, for example: blemish "
            "reproduce borad-mvtec ~/mvtec. See blemish reproduce --list."
        )
    need_training_packages("Reproducing a paper")
    from blemish.benchmark.expected_cost import expected_cost
    from blemish.benchmark.reproduction import prepare
    from blemish.benchmark.reproduction_page import write_reproduction
    from blemish.benchmark.rows import without_paths
    from blemish.benchmark.runner import run_benchmark
    from blemish.benchmark.tables import write_tables

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    changes: dict[str, Any] = {
        "seeds": numbers("--seeds", seeds, int),
        "settings": tuple(parse_assignments(settings).items()),
        "teacher": teacher,
        "teacher_weights": teacher_weights,
        "size": parse_size(size),
        "device": device,
        "precision": precision,
    }
    what = prepare(paper, data, partial=partial, categories=names(categories), **changes)
    say(f"{what.paper.title}: {what.paper.source}")
    for text in what.difference.found:
        say(f"Not the published data: {text}")
    if what.difference.besides:
        say(f"Takes no part: {', '.join(what.difference.besides)}.")
    if not what.difference.found:
        say("The data are whole.")
    for text in what.departures:
        say(f"Departs from the paper: {text}.")
    say(f"Not stated: {what.paper.open}")
    expected = expected_cost(what)
    for text in expected.words():
        say(text)
    if check:
        return
    target = Path(f"reproduced-{paper}") if out is None else out
    outcome = run_benchmark(what.options, target, quiet=quiet, say=say)
    print_notes(() if quiet else outcome.notes)
    for title, reason in outcome.failed:
        print(f"Without figures: {title}: {reason}", file=sys.stderr)
    write_tables(target)
    command = without_paths(shlex.join(["blemish", *sys.argv[1:]]))
    page, table = write_reproduction(what, expected, target, outcome, command)
    say(f"\n{table}\nWrote {page}.")
    if outcome.failed:
        sys.exit(2)


def _list() -> None:
    from blemish.benchmark.aggregate import own_figures
    from blemish.benchmark.papers import PAPERS

    for name, paper in PAPERS.items():
        own = own_figures(paper.data_set, paper.protocol, paper.own)
        reported = ", ".join(f"{metric} {value} %" for metric, value in own.items())
        print(f"{name:15} {paper.title}")
        print(f"{'':15} reported: {reported or paper.claim.rstrip('.')}. {paper.source}")
