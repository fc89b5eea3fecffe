"""Fitting: from a data set to a trained method; what trains, what is set aside, at which size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from blemish._progress import Progress
from blemish.data.holdout import good_training_samples, hold_out
from blemish.data.images.preprocess import Preprocessing, choose_input_size
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError
from blemish.methods.base import Method
from blemish.methods.registry import method_class, usable_methods
from blemish.methods.settings import MethodConfig
from blemish.teachers.teacher import Teacher, Weights, build_teacher
from blemish.training.train import TrainingOptions, TrainingReport, train

#: Said when no limits could be set because there was nothing to set them from.
NOT_CALIBRATED = (
    "Not calibrated, so no verdicts: no readable good image could be set aside. Run "
    "`blemish calibrate` with good images that training has not seen."
)


@dataclass(frozen=True)
class FitReport:
    """What :meth:`Detector.fit` did."""

    training_images: int  # good images that trained
    calibration_images: int
    products: tuple[str, ...]
    layout: str  # the one that was recognised
    failures: tuple[tuple[Path, str], ...]  # path and reason of images that cannot be read
    notes: tuple[str, ...]  # what the user should know, one sentence each
    seconds: float  # wall time
    training: TrainingReport = field(repr=False)
    labelled_defects: int = 0  # those that trained
    input_images: tuple[tuple[int, int], ...] = ()  # smallest and largest (H, W) of the good ones


def learn(
    data_set: DataSet,
    defects: Sequence[Sample],
    config: MethodConfig,
    *,
    build: Callable[[Any, Any, tuple[int, int]], Method],
    teacher: str | Teacher,
    teacher_weights: Weights,
    image_size: tuple[int, int] | None,
    bit_depth: int,
    hold_out_share: float,
    options: TrainingOptions,
    progress: Progress,
) -> tuple[Method, Preprocessing, list[Sample], FitReport]:
    """Train a method on the good training images of a data set, and on labelled defects.

    Returns:
        The method, not calibrated; its preprocessing; the good samples it has not seen, which are
        the good validation images or a share of the training images; and the report.

    Raises:
        DataError: No good images, or too few, or a good image among the defects.
        TrainingInterruptedError: After Ctrl-C.
    """
    failures: list[tuple[Path, str]] = []
    good, sizes = good_training_samples(data_set, failures)
    kept, held = good, [s for s in data_set.split("validation").samples if s.is_good]
    if not held:
        kept, held = hold_out(good, hold_out_share, options.seed, training=defects)
    _check_apart(good, defects)
    config = config.settled(sizes)
    side = config.input_side(max(map(max, sizes)))
    preprocessing = Preprocessing(
        *(image_size or choose_input_size(sizes, side=side)), bit_depth=bit_depth
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        frozen = build_teacher(teacher, weights=teacher_weights)
        torch.manual_seed(options.seed)
        method = build(config, frozen, preprocessing.size)
        training = train(method, [*kept, *defects], preprocessing, options, progress=progress)
    paths = {sample.path for sample in defects}
    unread = sum(path in paths for path, _ in training.failures)
    report = FitReport(
        training_images=len(kept) - len(training.failures) + unread,
        calibration_images=0,
        products=tuple(dict.fromkeys(sample.product for sample in kept)),
        layout=data_set.layout,
        failures=(*failures, *training.failures),
        notes=(*data_set.problems, *method.notes()),
        seconds=training.seconds,
        training=training,
        labelled_defects=len(defects) - unread,
        input_images=(min(sizes), max(sizes)),
    )
    return method, preprocessing, held, report


def check_labels_are_used(name: str, method: type[Method] | None = None) -> None:
    """Labelled defects are never dropped in silence: refused where a method cannot use them.

    ``method`` is the class where it is at hand; it may be one that no name leads to.

    Raises:
        ConfigError: The method learns from good images alone.
    """
    if not (method or method_class(name)).uses_labelled_anomalies:
        able = [other for other, known in usable_methods() if known.uses_labelled_anomalies]
        raise ConfigError(
            f"{name} learns from good images only and cannot use labelled defects. Leave them out, "
            f"or use a method that learns from them: {', '.join(able)}."
        )


def _check_apart(good: Sequence[Sample], defects: Sequence[Sample]) -> None:
    known = {s.path.resolve() for s in good if s.image is None}
    for sample in defects:
        if sample.image is None and sample.path.resolve() in known:
            raise DataError(
                f"{sample.path} is among the good images and among the labelled defects. "
                "Take it out of one of them."
            )
