"""What a trained model and an exported one do alike: judge images, set limits, be measured.

Torch-free. The two differ in how a network's raw output is computed, and in nothing after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from blemish._progress import Progress
from blemish.calibration.limits import Calibration, CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import ImageSource, TrainingSource, images_to_judge, training_data
from blemish.evaluation.evaluator import Evaluation, Evaluator
from blemish.inspection.network import Network
from blemish.inspection.pipeline import OnError, judge_samples
from blemish.metrics.pixel import Compatibility
from blemish.results import Prediction

__all__ = ["Inspector", "OnError"]


class Inspector(ABC):
    """A model that judges images.

    Attributes:
        products: Names of the products it was trained on.
        calibration: Its limits, ``None`` before calibration: predictions then have no verdict.
        bit_depth: Bits used in 16-bit images.

    Example: see :class:`blemish.detector.Detector` and :class:`blemish.runtime.ExportedDetector`.
    """

    products: tuple[str, ...]
    calibration: Calibration | None
    bit_depth: int

    @property
    @abstractmethod
    def branch_names(self) -> tuple[str, ...]:
        """Names of the method's branches, empty where it has one only."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the model file, whole or not at all."""

    @abstractmethod
    def ready(self) -> tuple[Network, Preprocessing]:
        """What judges pixels, and what makes pixels of an image.

        Raises:
            ConfigError: The model is not trained yet.
        """

    def judge_samples(
        self,
        samples: Iterable[Sample],
        *,
        calibration: Calibration | None,
        batch_size: int = 8,
        on_error: OnError | None = None,
    ) -> Iterator[tuple[Sample, Prediction]]:
        """:func:`blemish.inspection.pipeline.judge_samples` with this model."""
        network, preprocessing = self.ready()
        return judge_samples(
            network,
            preprocessing,
            samples,
            calibration=calibration,
            batch_size=batch_size,
            on_error=on_error,
        )

    def predict(
        self,
        images: ImageSource | Sequence[Sample],
        *,
        product: str | None = None,
        batch_size: int = 8,
        on_error: OnError | None = None,
    ) -> Iterator[Prediction]:
        """Judge images, in order, one :class:`~blemish.results.Prediction` each.

        Args:
            images: Files, folders, arrays or samples.
            product: Product of images that do not say theirs.
            batch_size: Images per forward pass.
            on_error: Called with path and error of each unreadable image, which is then left
                out; ``None`` raises.
        """
        pairs = self.judge_samples(
            _of_product(images_to_judge(images, bit_depth=self.ready()[1].bit_depth), product),
            calibration=self.calibration,
            batch_size=batch_size,
            on_error=on_error,
        )
        return (prediction for _, prediction in pairs)

    def calibrate(
        self,
        good: ImageSource | Sequence[Sample],
        *,
        false_alarm_rate: float = 0.01,
        unsure_rate: float | None = None,
        product: str | None = None,
        progress: Progress | None = None,
        on_error: OnError | None = None,
    ) -> list[str]:
        """Set the limits from good images that training has not seen. Cheap and repeatable.

        Args:
            good: Good images.
            false_alarm_rate: Share of good parts that may be called defective.
            unsure_rate: Share of good parts that may be called at least unsure.
            product: Product of images that do not say theirs.
            progress: Where progress is shown.
            on_error: Called for each unreadable image; ``None`` raises.

        Returns:
            What the user should know about the limits, one sentence each.
        """
        samples = _of_product(images_to_judge(good, bit_depth=self.ready()[1].bit_depth), product)
        pairs = self.judge_samples(samples, calibration=None, on_error=on_error)
        progress = progress or Progress(quiet=True)
        records = [
            CalibrationRecord(
                product=p.product,
                score=p.score,
                peak=float(p.anomaly_map.max()),
                branches=p.branches,
                map_low=float(np.median(p.anomaly_map)),
                image=p.path.name if p.path else "",
            )
            for _, p in progress.track(pairs, "Calibrating", len(samples))
        ]
        self.calibration = calibrate(
            records, false_alarm_rate=false_alarm_rate, unsure_rate=unsure_rate
        )
        return self.calibration.notes()

    def evaluate(
        self,
        data: TrainingSource,
        *,
        layout: str = "auto",
        histogram: bool = False,
        compatibility: Compatibility = "none",
        progress: Progress | None = None,
    ) -> Evaluation:
        """Measure the model on the labelled test images of a data set.

        Metrics are computed on raw scores; the limits decide only the operating point.

        Args:
            data: A folder in any known layout, a data set, or an array ``(N, H, W[, C])``.
            layout: Name of the layout, ``auto`` to recognise it.
            histogram: Measure pixels in bounded memory with a stated error bound.
            compatibility: ``ader`` adds pixel F1-max as the framework ADer computes it.
            progress: Where progress is shown.

        Raises:
            ConfigError: Another compatibility, or ``ader`` in bounded memory.
            DataError: No labelled test images.
        """
        failures: dict[Path, str] = {}
        evaluator = Evaluator(histogram=histogram, compatibility=compatibility)
        for sample, prediction in self.judge_test_images(
            data,
            layout=layout,
            on_error=lambda path, error: failures.__setitem__(path, str(error)),
            progress=progress,
        ):
            evaluator.add(sample, prediction)
        return evaluator.compute(failures.items())

    def judge_test_images(
        self,
        data: TrainingSource,
        *,
        layout: str = "auto",
        on_error: OnError | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[Sample, Prediction]]:
        """Judge the labelled test images of a data set, each beside what is known of it.

        Args as for :meth:`evaluate` and :meth:`predict`.
        """
        data_set = training_data(data, layout=layout, bit_depth=self.ready()[1].bit_depth)
        samples = [s for s in data_set.split("test").samples if s.label is not None]
        pairs = self.judge_samples(samples, calibration=self.calibration, on_error=on_error)
        return (progress or Progress(quiet=True)).track(pairs, "Evaluating", len(samples))


def _of_product(samples: list[Sample], product: str | None) -> list[Sample]:
    """The samples, with ``product`` where they do not say their own."""
    if product is None:
        return samples
    return [s if s.product else replace(s, product=product) for s in samples]
