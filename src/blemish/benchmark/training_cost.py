"""Training cost: arithmetic and memory of a method's steps, counted, and the time they would take.

One step of two random images is done here with random weights; every floating-point operation and
every tensor kept for the gradient is counted. What a GPU makes of them is an assumption, and named.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from blemish.methods.base import Batch, Method, Stage

#: Operations per second that a training keeps up, assumed: in float32 half of what an A100 has
#: (19.5e12), and a core with AVX-512 at some 60 %.
GPU_FLOPS, CORE_FLOPS = 10e12, 5e10
#: Seconds below which no step comes, assumed: thousands of kernels to launch, a batch to fetch.
STEP_SECONDS = 0.02
#: Bytes for each trained weight beside itself: its gradient and Adam's two moments, in float32.
_TRAINED = 12
#: Bytes that CUDA and its libraries take before anything else.
_CUDA = int(0.8 * 2**30)
_COUNTED = 2  # images; batch normalisation needs more than one


@dataclass(frozen=True)
class StageCost:
    """What one step of a stage costs.

    Attributes:
        stage: The stage.
        weights, trained: Number of weights in all, and of those that the stage trains.
        flops: Operations for one image of a step, forward and backward, the teacher's included.
        forward_flops: Those of the forward pass alone.
        kept_bytes: Kept for the gradient, for one image.
    """

    stage: Stage
    weights: int
    trained: int
    flops: float
    forward_flops: float
    kept_bytes: float

    @property
    def step_flops(self) -> float:
        """Operations of a whole step."""
        return self.stage.batch_size * self.flops

    @property
    def gpu_bytes(self) -> float:
        """Memory of a step: weights, gradients, moments, what is kept, CUDA itself."""
        kept = self.stage.batch_size * self.kept_bytes
        return 4 * self.weights + _TRAINED * self.trained + kept + _CUDA

    def steps(self, images: int) -> int:
        """Length of the stage for so many training images."""
        return self.stage.settled(images).total_steps

    def gpu_seconds(self, images: int) -> float:
        """Time of all steps on a GPU as assumed."""
        return self.steps(images) * max(STEP_SECONDS, self.step_flops / GPU_FLOPS)

    def cpu_seconds(self, images: int, cores: int) -> float:
        """Time of all steps on so many cores as assumed."""
        return self.steps(images) * max(STEP_SECONDS, self.step_flops / (CORE_FLOPS * cores))


def stage_costs(method: Method) -> list[StageCost]:
    """What a step of each stage of a freshly built method costs.

    Example:
        >>> from blemish.benchmark.training_cost import stage_costs
        >>> from blemish.methods.hfr.config import HFRConfig
        >>> from blemish.methods.hfr.model import HFR
        >>> from blemish.teachers.teacher import build_teacher
        >>> teacher = build_teacher("efficientnet_lite0", weights="random")
        >>> (cost,) = stage_costs(HFR(HFRConfig(epochs=10), teacher, (64, 64)))
        >>> cost.steps(1600), cost.flops > cost.forward_flops > 0
        (1000, True)
    """
    return [_stage_cost(method, stage) for stage in method.stages()]


def _stage_cost(method: Method, stage: Stage) -> StageCost:
    height, width = method.input_size
    images = torch.randint(0, 256, (_COUNTED, 3, height, width), dtype=torch.uint8)
    batch = Batch(images=images, labels=torch.zeros(_COUNTED, dtype=torch.long))
    weights = {p.untyped_storage().data_ptr() for p in method.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            total = method.loss(batch, stage)["total"]
        forward = counter.get_total_flops()
        total.backward()
    return StageCost(
        stage,
        sum(p.numel() for p in method.parameters()),
        sum(p.numel() for group in stage.groups for p in group.parameters()),
        counter.get_total_flops() / _COUNTED,
        forward / _COUNTED,
        sum(kept.values()) / _COUNTED,
    )
