"""Latency stage by stage, throughput of the whole, and both against the teacher alone.

Latency is that of one picture at a time through the same functions that judge it, one after the
other; the floor is timed in turn with it, so that a busy machine slows both. Throughput is that of
the pipeline, in which the stages overlap.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.reading import read_image
from blemish.data.sample import Sample
from blemish.errors import ConfigError
from blemish.inspection.prediction import make_prediction
from blemish.inspection.tiling import judge_picture
from blemish.runtime.networks import INPUT, OnnxNetwork, OnnxPasses, OpenVinoNetwork

if TYPE_CHECKING:
    from blemish.inspector import Inspector

if TYPE_CHECKING:
    from blemish.detector import Detector
    from blemish.inspector import Inspector

#: A picture's way, and what each part of it includes.
STAGES = {
    "decode": "reading the file, to pixels at full size",
    "preprocess": "scaling to the model's input",
    "network": "normalisation, teacher, student, map and score",
    "post": "map to the picture's size, verdict, marked areas",
}
#: What the floor is compared with: everything after the picture is decoded.
AFTER_DECODING = ("preprocess", "network", "post")

#: The teacher alone, on pixels ``(N, H, W, 3)`` uint8.
Floor = Callable[[NDArray[np.uint8]], object]


@dataclass(frozen=True)
class Spread:
    """Percentiles and mean of ``n`` times, in milliseconds."""

    p50: float
    p95: float
    p99: float
    mean: float
    n: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """The spread of times given in seconds."""
        p50, p95, p99 = (float(v) * 1e3 for v in np.percentile(seconds, (50, 95, 99)))
        return cls(p50, p95, p99, float(np.mean(seconds)) * 1e3, len(seconds))


@dataclass(frozen=True)
class LatencyReport:
    """What was measured."""

    stages: dict[str, Spread]  # of each of STAGES at batch size 1
    after_decoding: Spread  # those of AFTER_DECODING together
    total: Spread  # all stages together: the latency of a picture
    floor: Spread | None  # the teacher alone, where it was measured
    images_per_second: float  # throughput of the pipeline at batch_size
    images: int  # behind the throughput
    batch_size: int  # images per call of the network in the pipeline
    peak_memory_mib: float | None  # of this process after the throughput's run, where known

    @property
    def ratio(self) -> float | None:
        """Median of preprocessing, network and post over the floor's; ``None`` without one."""
        return None if self.floor is None else self.after_decoding.p50 / self.floor.p50


def measure(
    model: Inspector,
    samples: Sequence[Sample],
    *,
    batch_size: int = 8,
    seconds: float = 10.0,
    make_floor: Callable[[], Floor | None] = lambda: None,
) -> LatencyReport:
    """Measure a model on pictures, taken in turn as often as the time allows.

    Args:
        model: What judges.
        samples: Pictures, all readable.
        batch_size: Images, or tiles of them, per call of the network.
        seconds: Time for the throughput, and again for the latency.
        make_floor: Gives the teacher alone; called after the memory was measured.
    """
    if not samples or seconds <= 0:
        raise ConfigError(
            f"{len(samples)} pictures for {seconds} s: expected a picture and a time above 0."
        )
    # Memory first: the floor may bring libraries that judging does not need.
    images, rate = _throughput(model, samples, batch_size, seconds)
    peak = peak_memory_mib()
    floor = make_floor()
    times = _latencies(model, samples, seconds, floor, batch_size)
    return LatencyReport(
        stages={name: Spread.of(times[name]) for name in STAGES},
        after_decoding=Spread.of(_summed(times, AFTER_DECODING)),
        total=Spread.of(_summed(times, tuple(STAGES))),
        floor=None if floor is None else Spread.of(times["floor"]),
        images_per_second=rate,
        images=images,
        batch_size=batch_size,
        peak_memory_mib=peak,
    )


def _summed(times: dict[str, list[float]], names: Sequence[str]) -> list[float]:
    return [sum(parts) for parts in zip(*(times[name] for name in names), strict=True)]


def _throughput(
    model: Inspector, samples: Sequence[Sample], batch_size: int, seconds: float
) -> tuple[int, float]:
    end = 0.0

    def until_then() -> Iterator[Sample]:
        for number, sample in enumerate(cycle(samples)):
            # Whole batches: what a half one costs per picture says nothing of a long run.
            if number % batch_size == 0 and time.perf_counter() >= end:
                return
            yield sample

    def run() -> int:
        judged = model.judge_samples(
            until_then(), calibration=model.calibration, batch_size=batch_size
        )
        return sum(1 for _ in judged)

    end = time.perf_counter() + seconds / 10  # warms up: libraries choose their ways
    run()
    started = time.perf_counter()
    end = started + seconds
    count = run()
    return count, count / (time.perf_counter() - started)


def _latencies(
    model: Inspector,
    samples: Sequence[Sample],
    seconds: float,
    floor: Floor | None,
    batch_size: int,
) -> dict[str, list[float]]:
    network, preprocessing = model.ready()
    times: dict[str, list[float]] = {name: [] for name in (*STAGES, "floor")}
    end = time.perf_counter() + seconds
    for number, sample in enumerate(cycle(samples)):
        now = time.perf_counter()
        if number > 3 and now >= end:
            break
        marks = [now]
        pixels: Any = sample.image
        if pixels is None:
            pixels = read_image(sample.path, bit_depth=preprocessing.bit_depth)
        marks.append(time.perf_counter())
        prepared, pose = preprocessing.prepare(pixels, sample.product)
        marks.append(time.perf_counter())
        output = judge_picture(network, preprocessing, prepared, batch_size=batch_size)
        marks.append(time.perf_counter())
        make_prediction(
            sample,
            output,
            source_size=pixels.shape[:2],
            preprocessing=preprocessing,
            calibration=model.calibration,
            pose=pose,
        )
        marks.append(time.perf_counter())
        taken = dict(zip(STAGES, np.diff(marks).tolist(), strict=True))
        if floor is not None:
            begun = time.perf_counter()
            seen = prepared.shape[0], prepared.shape[1]
            for batch in preprocessing.grid(seen).cuts(prepared, batch_size):
                floor(batch)
            taken["floor"] = time.perf_counter() - begun
        if number >= 3:  # the first ones warm up
            for name, value in taken.items():
                times[name].append(value)
    return times


def peak_memory_mib(pid: int | None = None) -> float | None:
    """The peak of a process's resident memory in MiB, libraries included; by default of this one.

    ``None`` where the system does not say: other processes outside Linux, and Windows.
    """
    try:  # of this program alone; getrusage also counts what the process was before it
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    if pid is not None:
        return None
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


_LEVEL = "level"


def teacher_alone(model: Inspector) -> tuple[Floor | None, str]:
    """The floor of a trained or exported model, with a sentence on what it is or why it is not.

    No method on this teacher can be faster than it. An exported model holds no teacher of its own,
    so one of the same architecture is exported for the purpose, with random weights: the time of a
    forward pass does not depend on them. That takes the training packages; it happens in a process
    of its own, so that their memory is not counted as the model's.

    It calls the teacher on pixels ``(N, H, W, 3)`` uint8 and waits for its deepest level.
    """
    network, preprocessing = model.ready()
    if isinstance(network, OnnxNetwork | OpenVinoNetwork) and model.manifest is not None:
        return _exported(model.manifest.teacher.name, preprocessing.size, network)
    return _trained(model)  # type: ignore[arg-type]


def _trained(detector: Detector) -> tuple[Floor | None, str]:
    import torch

    method = detector.method
    if method is None or not hasattr(method, "teacher") or not method.teacher.channels:
        return None, "This method has no teacher, and so no floor."
    teacher = method.teacher
    device = next(method.parameters()).device

    def floor(pixels: NDArray[np.uint8]) -> object:
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
            return teacher(images)[-1].cpu()

    return floor, f"{teacher.name} alone, in PyTorch"


def _exported(
    name: str, size: tuple[int, int], network: OnnxNetwork | OpenVinoNetwork
) -> tuple[Floor | None, str]:
    if name == "none":
        return None, "This method has no teacher, and so no floor."
    height, width = size
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "teacher.onnx"
        words = [sys.executable, "-m", "blemish.evaluation.timing"]
        words += [name, str(height), str(width), str(target)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if not target.is_file():
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return None, (
                "No floor: building the teacher needs the packages of blemish[train,export] "
                f"({last})."
            )
        graph = target.read_bytes()
    alone = f"{name} alone (random weights, float32)"
    if isinstance(network, OpenVinoNetwork):
        return _in_openvino(graph, network), f"{alone}, in OpenVINO"
    passes = OnnxPasses(graph, network.passes.threads)  # cut and shared out as the model's own
    return lambda pixels: passes([_LEVEL], pixels), f"{alone}, in ONNX Runtime"


def _in_openvino(graph: bytes, network: OpenVinoNetwork) -> Floor:
    import openvino

    names = ("PERFORMANCE_HINT", "INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT")
    settings = {name: network.compiled.get_property(name) for name in names}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda pixels: request.infer({INPUT: pixels})


def write_teacher(name: str, size: tuple[int, int], target: Path) -> None:
    """Export a teacher of random weights, from pixels ``(H, W)`` to its deepest level, as ONNX."""
    import torch
    from torch import Tensor, nn

    from blemish.teachers.teacher import build_teacher

    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.teacher = build_teacher(name, weights="random")

        def forward(self, pixels: Tensor) -> Tensor:
            return self.teacher(pixels.permute(0, 3, 1, 2))[-1]

    example = torch.zeros((2, *size, 3), dtype=torch.uint8)
    program = torch.onnx.export(
        Alone().eval().requires_grad_(False),
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[_LEVEL],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None  # with dynamo it is given
    target.write_bytes(program.model_proto.SerializeToString())


if __name__ == "__main__":
    write_teacher(sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), Path(sys.argv[4]))
