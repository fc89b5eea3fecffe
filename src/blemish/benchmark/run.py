"""Benchmark run in a process of its own: ``python -m blemish.benchmark.run SPEC.json RESULT.json``.

A fresh process per run keeps peak memory and imports clean, and a crash takes one run with it and
not the benchmark. The result is written whole or not at all.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from blemish._files import atomic_write
from blemish._progress import Progress
from blemish.benchmark.environment import environment
from blemish.benchmark.plan import RunSpec, chosen_data
from blemish.benchmark.protocols import Parts, labelled_anomalies, split_parts
from blemish.benchmark.rows import SCHEMA, without_paths
from blemish.data.sample import HOLD_OUT_SHARE
from blemish.errors import BlemishError, DataError
from blemish.evaluation.as_json import json_ready
from blemish.evaluation.evaluator import Evaluation, Evaluator, ProductResult
from blemish.evaluation.timing import peak_memory_mib

_LISTED = 5  # unreadable images named in a row


def run_line(
    spec: RunSpec,
    *,
    cache_dir: str | None = None,
    work_dir: str | None = None,
    loggers: Sequence[str] = (),
    quiet: bool = True,
) -> dict[str, Any]:
    """Measure one run: its line of ``rows.jsonl``, but for the command.

    Whatever goes wrong with it becomes a line with an error. Teacher features are shared with
    other runs in ``cache_dir``; from a checkpoint in ``work_dir`` the training goes on. Its numbers
    and the metrics are in ``training.csv`` there, and in ``loggers``.
    """
    started = time.monotonic()
    try:
        content: dict[str, Any] = {"status": "done", "error": None}
        content |= _measure(spec, cache_dir, work_dir, tuple(loggers), Progress(quiet=quiet))
    except BlemishError as error:
        content = _failure(spec, str(error))
    except Exception as error:
        traceback.print_exc()
        content = _failure(spec, f"{type(error).__name__}: {error}")
    peak = peak_memory_mib()
    content["peak_memory_mib"] = None if peak is None else round(peak, 1)
    content["wall_seconds"] = round(time.monotonic() - started, 2)
    return _line(spec, content, _torch_environment(spec.identity["device"]))


def failed_line(spec: RunSpec, reason: str) -> dict[str, Any]:
    """The line of a run whose process ended without a result."""
    return _line(spec, _failure(spec, reason), {})


def _failure(spec: RunSpec, reason: str) -> dict[str, Any]:
    categories = spec.unit.categories or (None,)
    rows = [{"category": category, "error": reason} for category in categories]
    return {"status": "failed", "error": reason, "rows": rows}


def _line(spec: RunSpec, content: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    identity = spec.identity
    line = {
        "schema": SCHEMA,
        "run": spec.run,
        **{name: identity[name] for name in ("method", "protocol", "data", "seed")},
        "settings": spec.changed,
        "identity": identity,
        **content,
        "environment": environment() | machine,
    }
    public: dict[str, Any] = _public(
        json_ready(line), Path(spec.data_path), identity["data"]["name"]
    )
    return public


def _measure(
    spec: RunSpec,
    cache_dir: str | None,
    work_dir: str | None,
    loggers: tuple[str, ...],
    progress: Progress,
) -> dict[str, Any]:
    import torch

    from blemish.detector import Detector
    from blemish.training.options import TrainingOptions

    if spec.unreadable:
        raise DataError(spec.unreadable)
    identity, unit = spec.identity, spec.unit
    data = identity["data"]
    whole = tuple(data["fingerprints"])
    data_set = chosen_data(spec.data_path, data["layout"], whole, spec.folders)
    hold_out = identity["hold_out"]
    share = HOLD_OUT_SHARE if hold_out is None else hold_out
    parts = split_parts(data_set, unit, seed=identity["seed"], hold_out_share=share)
    size = identity["size"]
    detector = Detector(
        identity["method"],
        speed=identity["speed"],
        preset=identity["preset"],  # its settings are in the config; its input may not be
        teacher=identity["teacher"]["name"],
        teacher_weights=spec.teacher_weights,
        image_size=tuple(size) if isinstance(size, list) else size,
        settings=identity["config"],
    )
    cache = None if cache_dir is None else Path(cache_dir)
    shared = cache is not None and any(cache.glob("*/complete.json"))
    resumed = work_dir is not None and any(Path(work_dir).glob("stage*.ckpt"))
    # A teacher of random weights is the same one in every run; all else has the run's own seed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        report = detector.fit(
            parts.training,
            defects=labelled_anomalies(parts) or None,
            false_alarm_rate=identity["false_alarm_rate"],
            hold_out_share=hold_out,
            group=identity["group"],
            training=TrainingOptions(
                seed=identity["seed"],
                device=identity["device"],
                precision=identity["precision"],
                cache_dir=cache,
                work_dir=work_dir,
                resume=True,
                loggers=loggers,
                run_name=spec.title,
                check_labels=False,  # nobody mends a published split, and it takes time
            ),
            progress=progress,
        ).fit_report
    fitted = time.monotonic()
    everything = Evaluator(
        histogram=identity["histogram"],
        compatibility=identity["compatibility"],
        calibration=detector.calibration,
    )
    new = Evaluator(histogram=True)
    unseen_paths = {sample.path for sample in parts.unseen.samples} if parts.unseen else set()
    unreadable_tests: list[tuple[Path, str]] = []
    for sample, prediction in detector.judge_test_images(
        parts.test,
        on_error=lambda path, error: unreadable_tests.append((path, str(error))),
        progress=progress,
    ):
        everything.add(sample, prediction)
        if sample.path in unseen_paths:  # judged once, counted in both
            new.add(sample, prediction)
    evaluation = everything.compute(unreadable_tests)
    report.log.measured(evaluation)
    evaluate_seconds = time.monotonic() - fitted
    rows = _rows(parts, evaluation, detector.products, unit.categories)
    if parts.unseen is not None:
        for result, row in zip(new.compute().products, rows, strict=True):
            figures = result.metrics.items()
            row["metrics"] |= {f"{n}_unseen": v for n, v in figures if n.startswith("image_")}
            row["unseen"] = list(result.kinds)
    assert detector.preprocessing is not None
    unreadable = [reason for _, reason in (*report.failures, *evaluation.failures)]
    return {
        "rows": rows,
        "model": {
            "input_size": list(detector.preprocessing.size),
            "training_images": report.training_images,
            "calibration_images": report.calibration_images,
            "cached_features": report.training.cached,
            "shared_features": shared and report.training.cached,
            "resumed": resumed,
            "variant": detector.config.variant,
        },
        "seconds": {
            "fit": round(report.seconds, 2),
            "train": round(report.training.seconds, 2),
            "evaluate": round(evaluate_seconds, 2),
        },
        "notes": list(report.notes),
        "unreadable": {"count": len(unreadable), "first": unreadable[:_LISTED]},
    }


def _rows(
    parts: Parts, evaluation: Evaluation, trained: tuple[str, ...], categories: tuple[str, ...]
) -> list[dict[str, Any]]:
    """One row per category; a category without figures says why and the others go on."""
    results = {result.product: result for result in evaluation.products}
    samples = (*parts.training.samples, *parts.test.samples)
    counts = Counter((s.product, s.split, s.label) for s in samples)
    rows = []
    for category in categories:
        row: dict[str, Any] = {"category": category, "error": None}
        row["counts"] = {
            "train_good": counts[category, "train", 0],
            "train_defective": counts[category, "train", 1],
            "validation_good": counts[category, "validation", 0],
            "test_good": counts[category, "test", 0],
            "test_defective": counts[category, "test", 1],
        }
        if category not in trained:
            row["error"] = f"No good training image of {category} could be used."
        elif category not in results:
            row["error"] = f"No labelled test image of {category} could be read."
        else:
            row |= _result(results[category])
        rows.append(row)
    return rows


def _result(result: ProductResult) -> dict[str, Any]:
    return {
        "measured": {name: getattr(result, name) for name in ("good", "defective", "masked")},
        "metrics": dict(result.metrics),
        "operating": None if result.operating is None else result.operating.figures(),
        "power": [power.figures() for power in result.power],
        "kinds": {name: asdict(kind) for name, kind in result.kinds.items()},
        "problems": list(result.problems),
    } | ({"error_bounds": dict(result.error_bounds)} if result.error_bounds else {})


def _torch_environment(device: str) -> dict[str, Any]:
    import torch

    on_gpu = device != "cpu" and torch.cuda.is_available()
    return {
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if on_gpu else None,
    }


def _public(value: Any, root: Path, name: str) -> Any:
    """The value without folders of this machine in its texts."""
    if isinstance(value, dict):
        return {key: _public(item, root, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_public(item, root, name) for item in value]
    return without_paths(value, root=root, name=name) if isinstance(value, str) else value


def _end_with_parent() -> None:
    """End this process when the benchmark is gone: its end of our standard input closes."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Run the process; see the module."""
    watched = "--watched" in arguments
    spec_file, result_file = (Path(a) for a in arguments if a != "--watched")
    if watched:
        _end_with_parent()
    content = json.loads(spec_file.read_text(encoding="utf-8"))
    # Checkpoints and features go where the benchmark writes, not to a small system folder.
    tempfile.tempdir = str(result_file.parent)
    line = run_line(RunSpec(**content.pop("spec")), **content)
    with atomic_write(result_file) as file:
        file.write(json.dumps(line, allow_nan=False).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
