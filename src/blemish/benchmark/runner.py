"""Benchmark runner: each run in a process of its own, so that a kill costs those under way alone.

One run after the other here; :mod:`blemish.benchmark.on_ray` has several under way on a cluster.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from blemish.benchmark.plan import (
    BenchmarkOptions,
    RunSpec,
    code_changed,
    command_line,
    plan_runs,
)
from blemish.benchmark.rows import LOGS, ResultFile, refuse_foreign
from blemish.benchmark.run import failed_line
from blemish.errors import BlemishError, ConfigError
from blemish.training.log import CSV_NAME, check_logger


class Job(NamedTuple):
    """A run to be measured: what it is told of this place, and the folder it works in."""

    run: RunSpec
    workplace: dict[str, Any]
    folder: Path


#: Takes jobs as it has room for them and gives each run with its line as it finishes.
Measure = Callable[[Iterator[Job]], Iterator[tuple[RunSpec, dict[str, Any]]]]


def one_by_one(jobs: Iterator[Job]) -> Iterator[tuple[RunSpec, dict[str, Any]]]:
    """Measure here, one run after the other."""
    for job in jobs:
        yield job.run, in_own_process(*job)


@dataclass(frozen=True)
class Outcome:
    """How a benchmark ended."""

    runs: int  # asked for
    measured: int  # by this call; the others were there before
    failed: tuple[tuple[str, str], ...]  # title and reason of each run or category without figures
    notes: tuple[str, ...]  # what data sets and calibration had to say, each sentence once
    asked: frozenset[str] = frozenset()  # digests of the runs


def run_benchmark(
    options: BenchmarkOptions,
    out: str | Path,
    *,
    cache_dir: str | Path | None = None,
    keep_cache: bool = False,
    loggers: Sequence[str] = (),
    quiet: bool = True,
    say: Callable[[str], None] | None = None,
    measure: Measure = one_by_one,
) -> Outcome:
    """Measure all runs that ``out`` does not hold yet, and write each down as it finishes.

    A run that failed is tried again by the next call. A run under way when the process is killed
    leaves nothing behind that counts, but the checkpoint from which its training goes on.

    Args:
        options: What to measure.
        out: Results folder, made where absent.
        cache_dir: Where the teacher's features are shared between runs; ``None``: in ``out``.
        keep_cache: Leave the features on the disk.
        loggers: ``tensorboard:DIR`` and ``mlflow:URI``, in which each run has its own; beside the
            CSV of each, ``logs/RUN.csv`` in ``out``.
        quiet: No progress inside the runs.
        say: Called with one line of text for each run.
        measure: How many at a time, and where.

    Raises:
        ConfigError: Options no run can work with, or ``out`` is in use, or holds files of others.
        BlemishError: The sources of blemish changed under way.

    Example:
        >>> from blemish.benchmark.plan import BenchmarkOptions
        >>> from blemish.benchmark.runner import run_benchmark
        >>> from blemish.errors import BlemishError
        >>> try:
        ...     run_benchmark(BenchmarkOptions(("rd",), ("lids",), protocol="one_for_al"), "out")
        ... except BlemishError as error:
        ...     print(str(error)[:58])
        Unknown protocol 'one_for_al'. Did you mean 'one_for_all'?
    """
    for logger in loggers:
        check_logger(logger)
    runs = plan_runs(options)
    say = say or (lambda text: None)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file. Expected a folder, or a name to make one.")
    refuse_foreign(out)
    out.mkdir(parents=True, exist_ok=True)
    caches = out / "cache" if cache_dir is None else Path(cache_dir)
    command = command_line(options, str(out))
    measured = 0
    failed: list[tuple[str, str]] = []
    notes: dict[str, None] = {}
    with ResultFile.open(out) as results:
        pending = [run for run in runs if not _is_done(results[run.run])]
        if len(pending) < len(runs):
            say(f"{len(runs) - len(pending)} of {len(runs)} runs are there already.")
        left = {run.run: run for run in pending}

        def jobs() -> Iterator[Job]:
            for run in pending:
                if code_changed(run):
                    raise BlemishError(
                        f"The sources of blemish changed while it was measuring, {measured} runs "
                        "in. Figures of both do not belong together: run the same command again "
                        "from sources that stay as they are (an installed package, a git worktree)."
                    )
                cache, training = caches / _cache_name(run), out / "training" / run.run
                workplace = {"cache_dir": str(cache), "work_dir": str(training), "quiet": quiet}
                workplace["loggers"] = list(loggers)
                yield Job(run, workplace, out / "work" / run.run)

        try:
            for run, line in measure(jobs()):
                results.append(line | {"command": command})
                _keep_log(out, run.run)
                shutil.rmtree(out / "training" / run.run, ignore_errors=True)
                measured += 1
                say(f"[{measured}/{len(pending)}] {run.title}: {_in_words(line)}")
                del left[run.run]
                if not keep_cache and _cache_name(run) not in map(_cache_name, left.values()):
                    shutil.rmtree(caches / _cache_name(run), ignore_errors=True)
        finally:
            shutil.rmtree(out / "work", ignore_errors=True)
            if not keep_cache:
                # Also what a killed benchmark left.
                for run in runs:
                    shutil.rmtree(caches / _cache_name(run), ignore_errors=True)
                if caches.is_dir() and not any(caches.iterdir()):
                    caches.rmdir()
        shutil.rmtree(out / "training", ignore_errors=True)  # also those of earlier code
        for run in runs:
            done = results[run.run]
            assert done is not None
            if done["status"] == "failed":
                failed.append((run.title, done["error"]))
            else:
                rows = [row for row in done["rows"] if row["error"]]
                failed += [(f"{run.title} · {row['category']}", row["error"]) for row in rows]
            notes |= dict.fromkeys(done.get("notes", ()))
    asked = frozenset(run.run for run in runs)
    return Outcome(len(runs), measured, tuple(failed), tuple(notes), asked)


def _keep_log(out: Path, run: str) -> None:
    written = out / "training" / run / CSV_NAME
    if written.is_file():  # none of a run that failed before its training
        (out / LOGS).mkdir(exist_ok=True)
        shutil.move(written, out / LOGS / f"{run}.csv")


def _is_done(line: dict[str, Any] | None) -> bool:
    return line is not None and line["status"] == "done"


def _cache_name(run: RunSpec) -> str:
    """Runs that differ in the method alone train on the same features and share a folder."""
    identity = run.identity
    teacher = "".join(c if c.isalnum() else "-" for c in identity["teacher"]["name"])
    names = ("data", "protocol", "seed", "preset", "speed", "size", "hold_out", "teacher")
    shared = {name: identity[name] for name in names}
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:12]
    return f"{identity['data']['name']}-{teacher}-seed{identity['seed']}-{digest}"


def in_own_process(run: RunSpec, workplace: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure a run in a process of its own; its line, which says so where it failed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec_file, result_file = folder / "spec.json", folder / "result.json"
    spec_file.write_text(json.dumps({"spec": asdict(run), **workplace}))
    command = [sys.executable, "-m", "blemish.benchmark.run", str(spec_file), str(result_file)]
    # Nothing is ever written to the pipe: when this process ends, however it does, the pipe
    # closes and the run's process ends too.
    process = subprocess.Popen([*command, "--watched"], stdin=subprocess.PIPE)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        if process.stdin is not None:
            process.stdin.close()
    try:
        line: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        line = failed_line(run, f"The run's process ended {_ending(code)} without a result.")
    shutil.rmtree(folder, ignore_errors=True)
    return line


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    return f"by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _in_words(line: dict[str, Any]) -> str:
    if line["status"] == "failed":
        return f"failed: {line['error']}"
    values = [row["metrics"]["image_auroc"] for row in line["rows"] if not row["error"]]
    given = [value for value in values if value is not None]
    auroc = f"{100 * sum(given) / len(given):.1f} %" if given else "n/a"
    peak = line["peak_memory_mib"]
    return (
        f"image AUROC {auroc}, fit {line['seconds']['fit']:.0f} s, evaluated in "
        f"{line['seconds']['evaluate']:.0f} s" + ("" if peak is None else f", {peak:.0f} MiB")
    )
