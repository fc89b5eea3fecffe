"""``blemish latency``: how fast a model is on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish._progress import print_notes
from blemish.cli.common import Device, ModelFile, Provider, Quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blemish.data.sample import Sample
    from blemish.evaluation.timing import LatencyReport

#: Pictures drawn where none are given, and the most that are taken from a folder.
_DRAWN, _MOST = 8, 200


def latency(
    model: ModelFile,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Pictures as the line takes them. Default: synthetic ones."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Time for the latency, and again for the throughput.")
    ] = 10.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass.")] = 8,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the network. Default: all cores.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    device: Device = "cpu",
    provider: Provider = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure latency, throughput and memory of a model on this machine, stage by stage.

    The floor is the model's teacher alone in the same runtime: no method on it can be faster.
    """
    import tempfile

    from blemish.data.images.reading import read_image
    from blemish.data.sources import images_to_judge
    from blemish.evaluation.timing import measure, teacher_alone
    from blemish.inspector import ExportedDetector, open_model

    opened = open_model(model, device=device, threads=threads, provider=provider)
    print_notes(opened.said)
    if threads is not None and not isinstance(opened, ExportedDetector):
        import torch

        torch.set_num_threads(threads)
    said = ""

    def make_floor() -> Any:
        nonlocal said
        floor, said = teacher_alone(opened)
        return floor

    with tempfile.TemporaryDirectory() as folder:
        samples: Sequence[Sample] = images_to_judge(images or _draw(Path(folder)))[:_MOST]
        height, width = read_image(samples[0].path, bit_depth=opened.bit_depth).shape[:2]
        if not quiet:
            print(f"Measuring for about {2 * seconds:.0f} s …", file=sys.stderr)
        result = measure(
            opened, samples, batch_size=batch_size, seconds=seconds, make_floor=make_floor
        )
    facts = {
        "model": model.name,
        "runtime": _runtime(opened),
        "device": device,
        "threads": _threads(opened, threads),
        "pictures": f"{len(samples)} {'given' if images else 'synthetic'}, "
        f"the first {height}×{width}",
        "floor": said,
    }
    if json:
        print(_as_json(facts, result))
        return
    _print(facts, result)
    print_notes([said] if result.floor is None else [])
    print_notes(_busy())


def _draw(folder: Path) -> list[Path]:
    """Pictures of a usual size as PNG files: smooth shapes under fine noise, as a camera's are."""
    import numpy as np
    from PIL import Image

    paths = []
    for seed in range(_DRAWN):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(60, 200, (12, 12, 3)).astype(np.uint8))
        smooth = np.asarray(coarse.resize((512, 512), Image.Resampling.BICUBIC), np.float64)
        image = (smooth + rng.normal(0, 3, smooth.shape)).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{seed}.png")
        Image.fromarray(image).save(paths[-1])
    return paths


def _busy() -> list[str]:
    """A note where other programs want more of the processor than there is."""
    import os

    from blemish.runtime.cores import usable_cores

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= usable_cores() + 1:
        return []
    return [
        f"Other programs keep this machine busy (load {load:.1f} on {usable_cores()} cores): "
        "times are longer than on a quiet one, and only the comparison with the floor holds."
    ]


def _runtime(model: Any) -> str:
    entry = getattr(model, "export", None)
    if entry is None:
        return "PyTorch"
    return f"{'OpenVINO' if entry.format == 'openvino' else 'ONNX Runtime'} {entry.precision}"


def _threads(model: Any, asked: int | None) -> int:
    """How many the network really has: ``OMP_NUM_THREADS`` may have said less than all cores."""
    if getattr(model, "export", None) is None:
        import torch

        return torch.get_num_threads()
    from blemish.runtime.networks import checked_threads

    return checked_threads(asked)


def _as_json(facts: dict[str, Any], result: LatencyReport) -> str:
    import json
    from dataclasses import asdict

    from blemish.benchmark.environment import environment
    from blemish.evaluation.timing import STAGES

    content = {
        **facts,
        **asdict(result),
        "ratio_to_floor": result.ratio,
        "includes": STAGES,
        "unit": "milliseconds per picture at batch size 1",
        "environment": environment(),
    }
    return json.dumps(content, indent=1)


def _print(facts: dict[str, Any], result: LatencyReport) -> None:
    from rich.console import Console
    from rich.table import Table

    from blemish.evaluation.timing import STAGES

    console = Console()
    console.print(
        f"{facts['model']} in {facts['runtime']}, {facts['threads']} thread(s); "
        f"{facts['pictures']}.",
        highlight=False,
        markup=False,
    )
    table = Table(header_style="bold", title="One picture at a time, in ms", title_justify="left")
    table.add_column("stage")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    table.add_column("includes")
    rows = [(name, result.stages[name], words) for name, words in STAGES.items()]
    rows.append(("total", result.total, "all of the above, one after the other"))
    if result.floor is not None:
        rows.append(("floor", result.floor, facts["floor"]))
    for name, spread, words in rows:
        if name in ("total", "floor"):
            table.add_section()
        figures = (f"{value:.2f}" for value in (spread.p50, spread.p95, spread.p99))
        table.add_row(name, *figures, words)
    console.print(table)
    lines = []
    if result.ratio is not None:
        lines.append(
            f"After decoding: {result.after_decoding.p50:.2f} ms, {result.ratio:.2f} × the floor."
        )
    lines.append(
        f"Throughput: {result.images_per_second:.1f} pictures/s, "
        f"{1e3 / result.images_per_second:.2f} ms each, at batch size {result.batch_size}, with "
        f"all stages under way at once ({result.images} pictures)."
    )
    if result.peak_memory_mib is not None:
        lines.append(
            f"Peak memory: {result.peak_memory_mib:.0f} MiB of the whole process, Python and "
            "libraries included, without the floor."
        )
    for line in lines:
        console.print(line, highlight=False, markup=False)
