"""Timing of teachers: milliseconds of a forward pass here, before anything is learned."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from blemish.teachers.teacher import build_teacher

_ROUNDS = 9


def time_teachers(
    inputs: Sequence[tuple[str, tuple[int, int]]], *, seconds: float = 1.5
) -> tuple[list[float], int]:
    """Milliseconds that one picture takes through each teacher, in eager PyTorch, on the CPU.

    The fastest of up to nine passes, taken in turn, so that what else the machine does counts
    little; how many there were is returned too. The weights are random: the time of a pass does not
    depend on them.

    Args:
        inputs: Name of the teacher and ``(H, W)`` of its input.
        seconds: Time for all of it, the building included; one pass each is timed in any case.

    Raises:
        ConfigError: An unknown teacher, or one that does not take the size.
        MissingExtraError: A teacher whose package is not installed.

    Example:
        >>> from blemish.teachers.timing import time_teachers
        >>> sizes = [(64, 64), (512, 512)]
        >>> times, passes = time_teachers([("efficientnet_lite0", size) for size in sizes])
        >>> times[0] < times[1]
        True
    """
    end = time.perf_counter() + seconds
    times: dict[tuple[str, tuple[int, int]], list[float]] = {one: [] for one in inputs}
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        teachers = {
            name: build_teacher(name, weights="random").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for name in dict.fromkeys(name for name, _ in inputs)
        }
        for name, size in times:
            teachers[name].level_sizes(size)
        for done in range(1 + _ROUNDS):  # the first also chooses and prepares the kernels
            if done > 1 and time.perf_counter() >= end:
                break
            for name, size in times:
                picture = torch.full((1, *size, 3), 127, dtype=torch.uint8).permute(0, 3, 1, 2)
                begun = time.perf_counter()
                teachers[name](picture)
                times[name, size].append(time.perf_counter() - begun)
    timed = {one: passes[1:] for one, passes in times.items()}
    return [1e3 * min(timed[one]) for one in inputs], min(map(len, timed.values()))
