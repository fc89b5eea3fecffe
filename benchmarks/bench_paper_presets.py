"""What the presets `paper` cost: seconds and memory of a training step and of a prediction.

    python benchmarks/bench_paper_presets.py RESULT.json --page docs/methods/rd.md

Needs the extra `timm`; WideResNet-50-2 has random weights, of which cost does not depend. Each
preset is measured in a process of its own, at its own input and batch: one small step to warm up,
then one whole step (the median of 20 on a GPU), then the median of five predictions of one picture.
Memory is the process's largest resident one, or the largest that was allocated on the GPU. The
hours are those of 100 passes over MVTec AD's 3,629 training pictures, extrapolated from the step.
`--page` puts the table of RESULT.json into a page, between its two markers.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from blemish._files import atomic_write
from blemish.benchmark.result_file import write_result
from blemish.methods.base import Batch, Stage
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings
from blemish.methods.speeds import choose_speed
from blemish.teachers.teacher import build_teacher

PRESETS = ("rd", "borad", "hfr", "logicrd")
MVTEC_AD, PASSES = 3629, 100
BEGIN, END = "<!-- paper-presets: begin -->", "<!-- paper-presets: end -->"


def measure(name: str, batch: int | None, device: str) -> dict[str, Any]:
    """Figures of one preset; to be called in a fresh process."""
    if find_spec("torchvision") is not None and torch.version.cuda is None:
        # Lets a torchvision built for CUDA be imported beside this torch.
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    found = method_class(name)
    point = choose_speed(found, None, "paper").point
    config = parse_settings(found.config_class, {}, preset="paper")
    size = (point.side, point.side)
    method = found(config, build_teacher(point.teacher, weights="random"), size)
    method.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    stage = method.stages()[0].settled(MVTEC_AD)
    optimiser = stage.optimizer(
        [{"params": g.parameters(), "lr": g.learning_rate, **g.options} for g in stage.groups]
    )
    count = batch or stage.batch_size
    images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, device=device)

    def step(pictures: torch.Tensor) -> None:
        optimiser.zero_grad()
        method.loss(Batch(images=pictures), stage)["total"].backward()
        optimiser.step()
        method.after_step(stage, 0)

    method.train()
    step(images[:2])
    seconds = timed(lambda: step(images), 20 if device == "cuda" else 1, device)
    trained = memory(device)
    method.eval()
    with torch.inference_mode():
        method(images[:1])
        predicted = timed(lambda: method(images[:1]), 5, device)
    kept = [p for name, p in method.named_parameters() if not name.startswith(method.training_only)]
    steps = Stage("", (), epochs=PASSES, batch_size=stage.batch_size).settled(MVTEC_AD).total_steps
    return {
        "teacher": point.teacher,
        "input": list(size),
        "batch": count,
        "trained_parameters": sum(p.numel() for g in stage.groups for p in g.parameters()),
        "parameters": sum(p.numel() for p in kept),
        "step_s": round(seconds, 3),
        "training_peak_mib": round(trained),
        "prediction_ms": round(1000 * predicted, 1),
        "hours_mvtec_ad": round(steps * stage.batch_size / count * seconds / 3600, 1),
    }


def timed(work: Callable[[], object], times: int, device: str) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def memory(device: str) -> float:
    """Largest memory so far, in MiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


def table(content: dict[str, Any]) -> str:
    """Markdown of a result file."""
    environment = content["environment"]
    lines = [
        f"`{content['command']}`, {environment['date_utc'][:10]}, {content['machine']}:",
        "",
        "| preset `paper` of | parameters, trained | in prediction | a step of | seconds | peak "
        "memory | a prediction | 100 passes over MVTec AD |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in content["presets"].items():
        lines.append(
            f"| {name} | {row['trained_parameters'] / 1e6:.1f} M | {row['parameters'] / 1e6:.1f} M "
            f"| {row['batch']} pictures | {row['step_s']:.3g} "
            f"| {row['training_peak_mib'] / 1024:.1f} GiB | {row['prediction_ms']:.0f} ms "
            f"| {row['hours_mvtec_ad']:.3g} h |"
        )
    return "\n".join(lines)


def put_into(page: Path, content: dict[str, Any]) -> None:
    """Replace what stands between the page's markers."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    with atomic_write(page) as file:
        file.write(f"{before}{BEGIN}\n{table(content)}\n{END}{rest.partition(END)[2]}".encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--batch", type=int, help="instead of the preset's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--machine", default="", help="in words, for the table")
    parser.add_argument("--one", choices=PRESETS, help="measure this one and print it as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.batch, given.device)))
        return
    presets = {}
    for name in PRESETS:
        words = [sys.executable, *sys.argv, "--one", name]
        shown = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        presets[name] = json.loads(shown.splitlines()[-1])
        print(name, presets[name], flush=True)
    content = {
        "command": "python benchmarks/bench_paper_presets.py RESULT --page PAGE",
        "device": given.device,
        "machine": given.machine,
        "presets": presets,
    }
    write_result(given.result, content)
    if given.page:
        put_into(given.page, json.loads(given.result.read_text()))


if __name__ == "__main__":
    main()
