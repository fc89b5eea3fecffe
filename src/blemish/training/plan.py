"""Estimated duration: what a training has to do, and how long it takes here, said before it begins.

The teacher is timed on an empty picture, a step of each stage on a copy of the method. Nothing is
timed that will not be shown.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from blemish._progress import Progress, duration
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import HOLD_OUT_SHARE, Sample, hold_out
from blemish.data.sources import learnable_input
from blemish.errors import ImageError
from blemish.inspection.pipeline import decoder_threads
from blemish.methods.base import Method
from blemish.methods.registry import method_class
from blemish.teachers.teacher import build_teacher
from blemish.training.batches import StepBatches, TrainingBatches, caches, device_of, rows_of
from blemish.training.distributed import Processes
from blemish.training.feature_cache import is_cached
from blemish.training.options import TrainingOptions
from blemish.training.step import TRIED, seconds_per_step
from blemish.training.tile_sample import choose_tiles

if TYPE_CHECKING:
    from blemish.detector import Detector

#: Passes of which the fastest counts; one more before them prepares the kernels.
_PASSES = 2
#: Fewer steps are not tried before: the first of them say it as soon.
_FEWEST_STEPS = 10 * TRIED


def announce_plan(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    options: TrainingOptions,
    progress: Progress,
    *,
    device: str,
    cache_dir: Path,
    processes: Processes,
    done: int = 0,
    checkpoints: Sequence[Path] = (),
) -> None:
    """Say how many pictures and steps there are, and about how long they take on this machine.

    Args:
        method: As built, before its training; it stays as it is.
        samples: That train.
        preprocessing: How a picture becomes the input.
        options: Of the training.
        progress: Where it is said.
        device: Where it trains.
        cache_dir: Where features would be kept, or are from an earlier training.
        processes: That share each step.
        done: Stages that an earlier training has finished.
        checkpoints: Of stages that it has begun, perhaps; of these only the steps are told.
    """
    if progress.quiet:
        return
    tiles = choose_tiles(samples, preprocessing, seed=options.seed)
    rows, pictures = rows_of(samples, preprocessing, tiles)
    budget = options.cache_budget_gib * 2**30
    cached = caches(method, preprocessing, len(rows), cache_dir, budget)
    begun = [n for n, path in enumerate(checkpoints) if path.is_file()]
    said: list[str] = []
    if not (cached and is_cached(method.teacher, samples, preprocessing, cache_dir, tiles)):
        said += _teacher_passes(method, samples, len(rows))
    with processes.own_cores():
        said += _stages(
            method,
            rows,
            pictures,
            preprocessing,
            options,
            device,
            cached,
            skip=done,
            begun=begun,
            processes=processes.count,
        )
    how = f" Steps in {options.precision}." if options.precision != "32-true" else ""
    progress.announce(f"To do: {_sentence(device, *said)}{how if method.stages() else ''}")


def foreseen(
    detector: Detector, samples: Sequence[Sample], sizes: Sequence[tuple[int, int]]
) -> str:
    """What learning from good pictures would have to do, and about how long it takes here.

    Args:
        detector: Not trained; of a registered method, and a teacher by its name.
        samples: The good training pictures.
        sizes: Of each ``(H, W)``.

    Raises:
        ConfigError, MissingExtraError: As from building its teacher.
    """
    config, build = detector.config.settled(sizes), method_class(detector.method_name)
    preprocessing = detector.input.preprocessing(
        detector.speed.point, config, sizes, detector.bit_depth
    )
    with torch.random.fork_rng(devices=[]):
        # Random weights: the time of a pass does not depend on them.
        teacher = build_teacher(detector.teacher, weights="random")
        method = build(config, teacher, preprocessing.size)
    kept = list(samples) if build.cross_fits else hold_out(list(samples), HOLD_OUT_SHARE, 0)[0]
    cached = method.uses_cached_features
    said = _teacher_passes(method, kept, len(kept))
    options = TrainingOptions()
    device = device_of(method)
    said += _stages(method, kept, None, preprocessing, options, device, cached)
    return f"Learning from them: {_sentence(device, *said)}"


def _teacher_passes(method: Method, samples: Sequence[Sample], inputs: int) -> list[str]:
    if not method.uses_teacher:
        return []
    tiled = inputs > len(samples)
    many = f"{len(samples):,} pictures" + (f" in {inputs:,} tiles" if tiled else "")
    seconds = _seconds_per_picture(method)
    about = f"about {duration(inputs * seconds)}"
    products = Counter(sample.product for sample in samples)
    copies = 0 if tiled else sum(map(method.most_copies, products.values()))
    if 2 * copies > inputs:
        about += f", or {duration((inputs + copies) * seconds)} if turned they look as good,"
    return [f"{many} through the teacher, {about}"]


def _stages(
    method: Method,
    rows: Sequence[Sample],
    pictures: Sequence[int] | None,
    preprocessing: Preprocessing,
    options: TrainingOptions,
    device: str,
    cached: bool,
    *,
    skip: int = 0,
    begun: Sequence[int] = (),
    processes: int = 1,
) -> list[str]:
    """What the stages have to do, in one part."""
    data = TrainingBatches(rows, pictures)
    training = data.set_aside(method.held_out_share, options.seed)[0]
    labelled = [row for row in training if data.labels[row]]
    reading = 0.0
    if not cached and preprocessing.tiling is None:
        threads = decoder_threads() if options.workers is None else options.workers
        reading = _seconds_of_reading(rows, preprocessing) / max(1, threads)
    said = []
    for position, stage in list(enumerate(method.stages()))[skip:]:
        # As in the training: those that come beside the good images do not lengthen it.
        images = len(training) - (len(labelled) if stage.anomaly_share > 0 else 0)
        stage = stage.settled(images)
        joining = StepBatches(training, stage, (0, 0), 0, anomalies=labelled).labelled
        text = f"{_counted(stage.total_steps)} of {stage.batch_size} pictures ({stage.name})"
        if position in begun:
            text = f"what is left of {text}"
        elif stage.total_steps >= _FEWEST_STEPS:
            seconds = reading * (stage.batch_size + joining) / processes
            with suppress(Exception):  # the training itself says what is wrong
                seconds += seconds_per_step(
                    method,
                    position,
                    images=images,
                    cached=cached,
                    labelled=joining,
                    device=device,
                    precision=options.precision,
                    processes=processes,
                )
                text += f", about {duration(stage.total_steps * seconds)}"
        said.append(text)
    return [", ".join(said) or "statistics, with no training step"]


def _sentence(device: str, *parts: str) -> str:
    where = "this machine's CPU" if device == "cpu" else "this machine"
    text = "; then ".join(parts)
    before, about, after = text.rpartition(", about ")
    time, separator, rest = after.partition(";")
    return f"{before}{about}{time} on {where}{separator}{rest}." if about else f"{text}."


def _counted(steps: int) -> str:
    return f"{steps:,} step{'s' * (steps != 1)}"


def _seconds_per_picture(method: Method) -> float:
    device = next(method.teacher.parameters()).device
    pictures = [
        torch.full((1, 3, *size), 127, dtype=torch.uint8, device=device)
        for size in method.input_sizes
    ]
    # Of joined networks the first alone takes the looks after the first.
    networks = [method.teacher, *[method.teacher.first] * len(pictures[1:])]
    times = []
    with torch.inference_mode():
        for _ in range(1 + _PASSES):
            begun = time.perf_counter()
            for network, picture in zip(networks, pictures, strict=True):
                float(network(picture)[-1].sum())  # waits for a GPU
            times.append(time.perf_counter() - begun)
    return min(times[1:])


def _seconds_of_reading(samples: Sequence[Sample], preprocessing: Preprocessing) -> float:
    """Of the first picture that can be read."""
    for sample in samples:
        begun = time.perf_counter()
        try:
            learnable_input(sample, preprocessing)
        except ImageError:
            continue
        return time.perf_counter() - begun
    return 0.0
