"""Expected cost of a reproduction: memory and time on a GPU, from one counted step per stage."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from blemish._progress import duration
from blemish.benchmark.plan import detector_for
from blemish.benchmark.reproduction import Reproduction
from blemish.benchmark.training_cost import (
    CORE_FLOPS,
    GPU_FLOPS,
    STEP_SECONDS,
    StageCost,
    stage_costs,
)
from blemish.data.images.reading import image_size
from blemish.data.sample import HOLD_OUT_SHARE, Sample
from blemish.methods.registry import method_class
from blemish.runtime.cores import usable_cores
from blemish.teachers.teacher import build_teacher


def _size(sample: Sample) -> tuple[int, int]:
    if sample.image is None:
        return image_size(sample.path)
    return sample.image.shape[0], sample.image.shape[1]


@dataclass(frozen=True)
class Expected:
    """What measuring will take, by one counted step of each stage; nothing of it was measured."""

    models: int
    steps: int  # of all models
    costs: tuple[StageCost, ...]
    gpu_seconds: float
    cpu_seconds: float  # on the cores of this machine

    @property
    def gpu_bytes(self) -> float:
        """The largest stage's."""
        return max((cost.gpu_bytes for cost in self.costs), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """The figures, for the result."""
        return {
            "measured": False,
            "models": self.models,
            "steps": self.steps,
            "weights": max(cost.weights for cost in self.costs),
            "trained_weights": max(cost.trained for cost in self.costs),
            "step_flops": max(cost.step_flops for cost in self.costs),
            "assumed_flops_per_second": GPU_FLOPS,
            "gpu_gib": round(self.gpu_bytes / 2**30, 1),
            "gpu_hours": round(self.gpu_seconds / 3600, 2),
        }

    def words(self) -> list[str]:
        """Two sentences: what a GPU needs and how that is known; this machine."""
        largest = max(self.costs, key=lambda cost: cost.step_flops)
        models = "one model" if self.models == 1 else f"{self.models} models"
        said = [
            f"To expect: {self.gpu_bytes / 2**30:.1f} GiB of GPU memory and "
            f"{_long(self.gpu_seconds)} for {models}. Estimated, not measured: one "
            f"step was counted here, {_billions(largest.step_flops)} operations, "
            f"{largest.trained / 1e6:.1f} of {largest.weights / 1e6:.1f} million weights trained; "
            f"there are {self.steps:,}, at {_billions(GPU_FLOPS)} operations a second, half of "
            f"what an A100 has in float32, or {1000 * STEP_SECONDS:g} ms for those that would "
            "be shorter. Reading and judging images come on top."
        ]
        if not torch.cuda.is_available():
            cores = usable_cores()
            said.append(
                f"PyTorch finds no GPU here. {cores} cores at {_billions(CORE_FLOPS)} operations a "
                f"second each would train for {_long(self.cpu_seconds)}."
            )
        return said


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _billions(count: float) -> str:
    return f"{float(f'{count / 1e9:.3g}'):,g} billion"


def expected_cost(what: Reproduction) -> Expected:
    """Count one step of the method, with random weights, and foresee the whole of it.

    Raises:
        ConfigError: The teacher cannot be built here; better known now than after the check.
    """
    detector = detector_for(what.options, what.paper.method)
    counts = Counter(s.product for s in what.data_set.samples if s.split == "train" and s.is_good)
    share = what.options.hold_out
    kept = 1 - (HOLD_OUT_SHARE if share is None else share)
    units = what.units()
    images = [math.ceil(kept * sum(counts[c] for c in unit.categories)) for unit in units]
    firsts = {s.product: s for s in reversed(what.data_set.samples) if s.split == "train"}
    seen = [_size(firsts[category]) for category in units[0].categories]
    # As many as there are: what a method makes of its pictures may depend on their number.
    sizes = seen * math.ceil(images[0] / len(seen))
    config = detector.config.settled(sizes)
    size = detector.input.preprocessing(detector.speed.point, config, sizes).size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher = build_teacher(detector.teacher, weights="random")
        costs = tuple(stage_costs(method_class(what.paper.method)(config, teacher, size)))
    seeds, cores = len(what.options.seeds), usable_cores()
    return Expected(
        models=seeds * len(units),
        steps=seeds * sum(cost.steps(n) for cost in costs for n in images),
        costs=costs,
        gpu_seconds=seeds * sum(cost.gpu_seconds(n) for cost in costs for n in images),
        cpu_seconds=seeds * sum(cost.cpu_seconds(n, cores) for cost in costs for n in images),
    )
