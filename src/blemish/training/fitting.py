"""From a data set to a trained method: what trains, what is set aside, at which input size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
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
from blemish.teachers.teacher import Weights, build_teacher
from blemish.training.train import TrainingOptions, TrainingReport, train


@dataclass(frozen=True)
class Learned:
    """A trained method and what is to be known of its training.

    Attributes:
        method: Trained, not calibrated.
        preprocessing: Gives its input.
        products: Names of the products it was trained on.
        held: Good samples that it has not seen, to calibrate on.
        images: Number of good images that trained.
        defects: Number of labelled defects that trained.
        input_images: Smallest and largest size ``(H, W)`` of the good training images.
        failures: Path and reason of each image that could not be read.
        report: Losses and more.
    """

    method: Method
    preprocessing: Preprocessing
    products: tuple[str, ...]
    held: list[Sample]
    images: int
    defects: int
    input_images: tuple[tuple[int, int], tuple[int, int]]
    failures: tuple[tuple[Path, str], ...]
    report: TrainingReport


def learn(
    data_set: DataSet,
    defects: Sequence[Sample],
    config: MethodConfig,
    *,
    build: Callable[[Any, Any, tuple[int, int]], Method],
    teacher: str,
    teacher_weights: Weights,
    image_size: tuple[int, int] | None,
    bit_depth: int,
    hold_out_share: float,
    options: TrainingOptions,
    keep_work: bool,
    progress: Progress,
) -> Learned:
    """Train a method on the good training images of a data set.

    Args:
        data_set: Its good validation images are held out; without any, a share of the training
            images is.
        defects: Labelled defects, for a method that uses them.
        config: Settings of the method.
        build: The method's class.
        teacher, teacher_weights: See :func:`blemish.teachers.teacher.build_teacher`.
        image_size: Input size ``(H, W)``, ``None`` to follow the images.
        bit_depth: Bits used in 16-bit images.
        hold_out_share: Share of the good training images to hold out.
        options: How to train.
        keep_work: Whether ``options.work_dir`` is the user's; otherwise a temporary folder is
            used.
        progress: Where progress is shown.

    Raises:
        DataError: No good images, or too few.
        TrainingInterruptedError: After Ctrl-C.

    Example: see :class:`blemish.Detector`.
    """
    failures: list[tuple[Path, str]] = []
    good, sizes = good_training_samples(data_set, failures)
    validation = [s for s in data_set.split("validation").samples if s.is_good]
    kept, held = good, validation
    if not validation:
        kept, held = hold_out(good, hold_out_share, options.seed, training=defects)
    check_apart(good, defects)
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
        work = nullcontext(str(options.work_dir)) if keep_work else tempfile.TemporaryDirectory()
        with work as folder:
            options = replace(options, work_dir=Path(folder))
            report = train(method, [*kept, *defects], preprocessing, options, progress=progress)
    paths = {sample.path for sample in defects}
    unread = sum(path in paths for path, _ in report.failures)
    return Learned(
        method,
        preprocessing,
        tuple(dict.fromkeys(sample.product for sample in kept)),
        held,
        len(kept) - len(report.failures) + unread,
        len(defects) - unread,
        (min(sizes), max(sizes)),
        (*failures, *report.failures),
        report,
    )


def check_labels_are_used(name: str) -> None:
    """Labelled defects are never dropped in silence.

    Raises:
        ConfigError: The method learns from good images alone.

    Example:
        >>> from blemish.training.fitting import check_labels_are_used
        >>> from blemish.errors import ConfigError
        >>> try:
        ...     check_labels_are_used("rd")
        ... except ConfigError as error:
        ...     str(error).split(". ")[0]
        'rd learns from good images only and cannot use labelled defects'
    """
    if not method_class(name).uses_labelled_anomalies:
        able = [other for other, known in usable_methods() if known.uses_labelled_anomalies]
        raise ConfigError(
            f"{name} learns from good images only and cannot use labelled defects. Leave them out, "
            f"or use a method that learns from them: {', '.join(able)}."
        )


def check_apart(good: Sequence[Sample], defects: Sequence[Sample]) -> None:
    """No image is both.

    Raises:
        DataError: Naming the first that is.
    """
    known = {s.path.resolve() for s in good if s.image is None}
    for sample in defects:
        if sample.image is None and sample.path.resolve() in known:
            raise DataError(
                f"{sample.path} is among the good images and among the labelled defects. "
                "Take it out of one of them."
            )
