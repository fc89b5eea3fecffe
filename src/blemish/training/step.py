"""Training step: its optimiser and clipping, and how long one takes here, tried before any counts.

What is tried is a copy, with random numbers of its own: the training that follows is, to the last
bit, the one that it would have been.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from blemish.methods.base import Batch, Method, Stage
from blemish.nn.precision import DOUBLE

#: Steps that are tried. The faster of them counts, for the first also prepares the kernels.
TRIED = 2
#: Seconds of the first step beyond which it is the only one: preparing is then little of it.
_LONG = 5.0


def optimiser_of(stage: Stage) -> torch.optim.Optimizer:
    """The optimiser of a stage, with a group of parameters for each of its groups."""
    return stage.optimizer(
        [
            {"params": group.parameters(), "lr": group.learning_rate, **group.options}
            for group in stage.groups
        ]
    )


def clip_gradients(stage: Stage) -> None:
    """Shorten the gradients of each group that has a largest norm."""
    for group in stage.groups:
        if group.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(group.parameters(), group.clip_norm)


def seconds_per_step(
    method: Method,
    position: int,
    *,
    images: int,
    cached: bool,
    labelled: int = 0,
    device: str = "cpu",
    precision: str = "32-true",
    processes: int = 1,
) -> float:
    """Seconds of one optimiser step of a stage here, on made-up pictures or features.

    Args:
        method: As built, before its training; it stays as it is.
        position: Of the stage in ``method.stages()``.
        images: Number of images that train, from which lengths in epochs follow.
        cached: Whether steps are given the teacher's features, in place of pictures.
        labelled: Labelled anomalies that join each batch.
        device: Where it trains.
        precision: Lightning's precision.
        processes: That share each batch: the step is one's part of it.

    Example:
        >>> from blemish.methods.rd.config import RDConfig
        >>> from blemish.methods.rd.model import RD
        >>> from blemish.teachers.teacher import build_teacher
        >>> from blemish.training.step import seconds_per_step
        >>> method = RD(RDConfig(batch_size=2), build_teacher(weights="random"), (64, 64))
        >>> 0 < seconds_per_step(method, 0, images=10, cached=True) < 60
        True
    """
    gpus = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=gpus), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in the training
        trial = copy.deepcopy(method).to(device)
        if precision == DOUBLE:
            trial.double()
        if device != "mps":
            trial.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        stage = trial.stages()[position].settled(images)
        good, labelled = (-(-count // processes) for count in (stage.batch_size, labelled))
        with _numbers(precision, torch.device(device).type):
            batch = _made_up(trial, good, labelled, device, cached=cached)
        optimiser = optimiser_of(stage)
        times = []
        for step in range(TRIED):
            begun = time.perf_counter()
            optimiser.zero_grad()
            with _numbers(precision, torch.device(device).type):
                total = trial.loss(batch, stage)["total"]
            total.backward()
            clip_gradients(stage)
            optimiser.step()
            trial.after_step(stage, step)
            float(total.detach())  # waits for a GPU
            times.append(time.perf_counter() - begun)
            if times[0] > _LONG:
                break
    return min(times)


@contextmanager
def _numbers(precision: str, kind: str) -> Iterator[None]:
    """What a step computes with, as Lightning sets it."""
    before = torch.get_default_dtype()
    if precision == DOUBLE:
        torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16-mixed"):
            yield
    finally:
        torch.set_default_dtype(before)


def _made_up(method: Method, good: int, labelled: int, device: str, *, cached: bool) -> Batch:
    count = good + labelled
    labels = torch.zeros(count, dtype=torch.long, device=device)
    labels[good:] = 1
    known = {"products": ("",) * count, "parts": tuple(f"row {n}" for n in range(count))}
    if not cached:
        pixels = torch.randint(0, 256, (count, 3, *method.input_size), dtype=torch.uint8)
        return Batch(images=pixels.to(device), labels=labels, **known)  # type: ignore[arg-type]
    sizes = zip(method.teacher.channels, method.level_sizes, strict=True)
    features = tuple(torch.rand(count, width, *size).to(device) for width, size in sizes)
    return Batch(features=features, labels=labels, **known)  # type: ignore[arg-type]
