"""Estimated duration: what a training has to do, said before it begins."""

from __future__ import annotations

import time

import torch

from blemish._progress import Progress, duration
from blemish.methods.base import Method

#: Passes of which the fastest counts; one more before them prepares the kernels.
_PASSES = 2


def announce_plan(
    method: Method, images: int, size: tuple[int, int], progress: Progress, *, in_tiles: bool
) -> None:
    """Say how many pictures and steps there are, and how long the first of it takes here.

    The teacher is timed on an empty picture. What a step takes is known after the first two, and
    then said with the time that is left. Nothing is timed that will not be shown.

    Args:
        method: As built, before its training.
        images: Number of pictures that train.
        size: ``(H, W)`` of the model's input.
        progress: Where it is said.
        in_tiles: Whether each picture is several inputs.
    """
    if progress.quiet:
        return
    said = []
    if method.uses_teacher:
        text = f"{images} pictures{' in tiles' if in_tiles else ''} through the teacher"
        if not in_tiles:
            text += f", about {duration(images * _seconds_per_picture(method, size))} on this CPU"
        said.append(text)
    lengths = [
        f"{stage.total_steps:,} steps of {stage.batch_size} pictures ({stage.name})"
        for stage in (stage.settled(images) for stage in method.stages())
    ]
    said.append(", ".join(lengths) or "statistics, with no training step")
    progress.announce(f"To do: {'; then '.join(said)}.")


def _seconds_per_picture(method: Method, size: tuple[int, int]) -> float:
    device = next(method.teacher.parameters()).device
    picture = torch.full((1, 3, *size), 127, dtype=torch.uint8, device=device)
    times = []
    with torch.inference_mode():
        for _ in range(1 + _PASSES):
            begun = time.perf_counter()
            method.teacher(picture)
            times.append(time.perf_counter() - begun)
    return min(times[1:])
