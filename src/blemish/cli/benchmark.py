"""``blemish benchmark``: systems side by side under one protocol."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from blemish._progress import print_notes
from blemish.cli.common import (
    Address,
    Compatibility,
    Device,
    FalseAlarmRate,
    Group,
    Histogram,
    Layout,
    Logger,
    Precision,
    Preset,
    Quiet,
    Workers,
    check_engine,
    names,
    need_training_packages,
    numbers,
    parse_assignments,
    parse_size,
)
from blemish.cli.folders import Defects, Good, Masks, Test
from blemish.errors import ConfigError

benchmark_app = typer.Typer(name="benchmark", invoke_without_command=True)


@benchmark_app.callback()
def benchmark(
    context: typer.Context,
    method: Annotated[str, typer.Option("--method", "-m", help="Systems, with commas.")] = "trio",
    data: Annotated[
        str, typer.Option(help="Data sets, PATH or NAME=PATH, with commas. Needed.")
    ] = "",
    protocol: Annotated[
        str, typer.Option(help="one_for_all, per_category, one_class or unbalanced.")
    ] = "one_for_all",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "0",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results. Needed.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting, NAME=VALUE, or METHOD.NAME=VALUE for one system. Repeatable."
        ),
    ] = None,
    preset: Preset = "light",
    layout: Layout = "auto",
    good: Good = None,
    defects: Defects = None,
    masks: Masks = None,
    test: Test = None,
    products: Annotated[str, typer.Option(help="Only these categories, with commas.")] = "",
    classes: Annotated[
        str, typer.Option(help="Normal classes, names or numbers, with commas. Default: each.")
    ] = "",
    known: Annotated[str, typer.Option(help="unbalanced: known anomaly classes.")] = "",
    ratios: Annotated[
        str, typer.Option(help="unbalanced: shares of labelled anomalies in training.")
    ] = "",
    speed: Annotated[
        str | None, typer.Option(help="Teacher and input size in one word, as for `blemish fit`.")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="As for `blemish fit`.")] = None,
    teacher_weights: Annotated[
        str, typer.Option(help="pretrained, a local weight file, or random.")
    ] = "pretrained",
    size: Annotated[str | None, typer.Option(help="Input size: a side, or HEIGHTxWIDTH.")] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(help="Share of the good images set aside for calibration; as for fit."),
    ] = None,
    group: Group = "auto",
    false_alarm_rate: FalseAlarmRate = 0.01,
    histogram: Histogram = False,
    compatibility: Compatibility = "none",
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where runs share the teacher's features. Default: in out.")
    ] = None,
    keep_cache: Annotated[
        bool, typer.Option("--keep-cache", help="Leave these features on the disk.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "32-true",
    logger: Logger = None,
    engine: Annotated[
        str, typer.Option(help="plain: one run after the other here; ray: on a Ray cluster.")
    ] = "plain",
    address: Address = "auto",
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Measure systems on data sets under one protocol; a killed benchmark goes on where it was.

    Give the same command again to go on. Results: rows.jsonl, tables.md and tables.csv in the
    folder. Exit code 2 if a run or category gave no figures.
    """
    if context.invoked_subcommand is not None:
        return
    if not data or out is None:
        raise ConfigError(
            "blemish benchmark needs --data PATH and --out DIR, for example: blemish benchmark "
            "--method rd --data mvtec --seeds 0,1,2 --out results/mvtec. See --help."
        )
    need_training_packages("Benchmarking")
    from blemish.benchmark.plan import BenchmarkOptions
    from blemish.benchmark.runner import Measure, one_by_one, run_benchmark
    from blemish.benchmark.tables import write_tables

    options = BenchmarkOptions(
        methods=names(method),
        data=names(data),
        protocol=protocol,
        seeds=numbers("--seeds", seeds, int),
        settings=tuple((k, v) for k, v in parse_assignments(settings).items()),
        preset=preset,
        layout=layout,
        good=tuple(good or ()),
        defects=tuple(defects or ()),
        masks=tuple(masks or ()),
        test=tuple(test or ()),
        products=names(products),
        classes=names(classes),
        known=names(known),
        ratios=numbers("--ratios", ratios, float),
        speed=speed,
        teacher=teacher,
        teacher_weights=teacher_weights,
        size=parse_size(size),
        hold_out=hold_out,
        group=group,
        false_alarm_rate=false_alarm_rate,
        histogram=histogram,
        compatibility=compatibility,
        device=device,
        precision=precision,
    )

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    check_engine(engine)
    measure: Measure = one_by_one
    if engine == "ray":
        from blemish.benchmark.on_ray import on_ray

        measure = on_ray(address, workers)
    outcome = run_benchmark(
        options,
        out,
        cache_dir=cache_dir,
        keep_cache=keep_cache,
        loggers=logger or (),
        quiet=quiet,
        say=say,
        measure=measure,
    )
    written = write_tables(out)
    if not quiet:
        print_notes(outcome.notes)
        print(f"{outcome.runs} runs, {outcome.measured} of them now. Tables: {written[0]}")
    if outcome.failed:
        print(f"{len(outcome.failed)} without figures:", file=sys.stderr)
        for title, reason in outcome.failed:
            print(f"  {title}: {reason}", file=sys.stderr)
        sys.exit(2)


@benchmark_app.command("tables")
def tables(
    folder: Annotated[Path, typer.Argument(help="Folder of the results, as given to --out.")],
    quiet: Quiet = False,
) -> None:
    """Write tables.md and tables.csv again from the rows in a folder."""
    from blemish.benchmark.tables import write_tables

    for path in write_tables(folder):
        if not quiet:
            print(path)
