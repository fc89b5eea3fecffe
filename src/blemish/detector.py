"""The one door: learn from good images, judge new ones, save, load."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blemish.bundle import read_bundle, write_bundle
from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.data.holdout import good_training_samples, hold_out
from blemish.data.pixels import check_bit_depth
from blemish.data.preprocess import Preprocessing, choose_input_size
from blemish.data.sample import Sample
from blemish.data.sources import ImageSource, TrainingSource, images_to_judge, training_data
from blemish.devices import resolve_device
from blemish.errors import BundleError, CalibrationError, ConfigError
from blemish.evaluation import Evaluation, Evaluator
from blemish.fit_report import NOT_CALIBRATED, FitReport
from blemish.inference import OnError, judge_samples, predict_samples
from blemish.methods import build_method, method_class
from blemish.methods.base import Method, parse_settings
from blemish.model_state import describe_method, pack_weights, unpack_method
from blemish.progress import Progress
from blemish.results import Prediction
from blemish.teachers import DEFAULT_TEACHER, Weights, build_teacher
from blemish.training import TrainingOptions, train


class Detector:
    """Visual anomaly detection: show it good parts, it finds what is wrong with the others.

    Args:
        method: Name of the system, see :data:`blemish.methods.METHODS`.
        teacher: Name of the teacher, see :func:`blemish.teachers.build_teacher`.
        teacher_weights: ``pretrained``, a local file, or ``random``.
        image_size: Input size: a side, ``(H, W)``, or ``None`` to follow the images.
        bit_depth: Bits used in 16-bit images.
        settings: Values of the method's config, e.g. ``{"steps": 200}``.

    Raises:
        ConfigError: An unknown method, setting, size or bit depth.

    Example:
        >>> import numpy as np
        >>> from blemish import Detector
        >>> from blemish.progress import Progress
        >>> good = np.random.default_rng(0).integers(90, 110, (24, 64, 64, 3)).astype(np.uint8)
        >>> detector = Detector("rd", settings={"steps": 2, "batch_size": 4})
        >>> report = detector.fit(good, false_alarm_rate=0.2, progress=Progress(quiet=True))
        >>> prediction = next(detector.predict(good[0]))
        >>> prediction.anomaly_map.shape, prediction.verdict in ("ok", "unsure", "defect")
        ((64, 64), True)
    """

    def __init__(
        self,
        method: str = "rd",
        *,
        teacher: str = DEFAULT_TEACHER,
        teacher_weights: Weights | str = "pretrained",
        image_size: int | tuple[int, int] | None = None,
        bit_depth: int = 16,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.method_name = method
        self.settings = dict(settings or {})
        self.config = parse_settings(method_class(method).config_class, self.settings)
        self.teacher_name = teacher
        self.teacher_weights: Weights = (
            teacher_weights
            if teacher_weights in ("pretrained", "random")
            else Path(teacher_weights)
        )
        self.bit_depth = check_bit_depth(bit_depth)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if self.image_size is not None:
            Preprocessing(*self.image_size)
        self.method: Method | None = None
        self.preprocessing: Preprocessing | None = None
        self.products: tuple[str, ...] = ()
        self.calibration: Calibration | None = None
        self.training: dict[str, Any] = {}

    def fit(
        self,
        data: TrainingSource,
        *,
        layout: str = "auto",
        false_alarm_rate: float = 0.01,
        unsure_rate: float | None = None,
        hold_out_share: float = 0.2,
        seed: int = 0,
        work_dir: str | Path | None = None,
        resume: bool = False,
        restart: bool = False,
        cache_dir: str | Path | None = None,
        cache_budget_gib: float = 8.0,
        device: str = "auto",
        precision: str = "32-true",
        progress: Progress | None = None,
    ) -> FitReport:
        """Learn from good images, then calibrate on good images held out.

        One model is trained for all products of the data set. Where the data set has good
        validation images, those calibrate; otherwise a seeded share of the training images does.

        Args:
            data: A folder in any known layout, a data set, or an array ``(N, H, W[, C])``.
            layout: Name of the layout, ``auto`` to recognise it.
            false_alarm_rate: Share of good parts that may be called defective.
            unsure_rate: Share of good parts that may be called at least unsure.
            hold_out_share: Share of the good training images set aside for calibration.
            seed: The same seed gives the same weights on the same machine's CPU.
            work_dir: Where checkpoints go; ``None``: a temporary folder, no resuming.
            resume, restart: Go on from a checkpoint in ``work_dir``, or throw it away.
            cache_dir: Where feature caches are kept for further trainings.
            cache_budget_gib: Largest feature cache on disk.
            device: ``auto``, ``cpu`` or ``cuda``.
            precision: ``32-true`` or ``bf16-mixed``.
            progress: Where progress is shown.

        Raises:
            DataError: No good images, or too few.
            ConfigError: A rate, share, seed, device or precision that cannot be used.
            TrainingInterruptedError: After Ctrl-C; the checkpoint in ``work_dir`` is whole.
        """
        started = time.monotonic()
        progress = progress or Progress()
        # Impossible rates are refused now, not after the training.
        record = CalibrationRecord(None, score=0.0, peak=0.0)
        calibrate([record], false_alarm_rate=false_alarm_rate, unsure_rate=unsure_rate)
        options = TrainingOptions(
            work_dir=Path(work_dir or "."),
            seed=seed,
            resume=resume,
            restart=restart,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            cache_budget_gib=cache_budget_gib,
            device=device,
            precision=precision,
        )
        data_set = training_data(data, layout=layout, bit_depth=self.bit_depth)
        failures: list[tuple[Path, str]] = []
        good, sizes = good_training_samples(data_set, failures)
        validation = [s for s in data_set.split("validation").samples if s.is_good]
        kept, held = (good, validation) if validation else hold_out(good, hold_out_share, seed)
        side = min(256, max(64, -(-max(map(max, sizes)) // 16) * 32))
        preprocessing = Preprocessing(
            *(self.image_size or choose_input_size(sizes, side=side)), bit_depth=self.bit_depth
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            teacher = build_teacher(self.teacher_name, weights=self.teacher_weights)
            torch.manual_seed(seed)
            method = build_method(self.method_name, self.settings, teacher, preprocessing.size)
            with tempfile.TemporaryDirectory() if work_dir is None else nullcontext(work_dir) as d:
                options = replace(options, work_dir=Path(d))
                report = train(method, kept, preprocessing, options, progress=progress)
        # Only now: a training that fails or is stopped leaves this detector as it was.
        self.method, self.preprocessing, self.calibration = _ready(method), preprocessing, None
        self.products = tuple(dict.fromkeys(sample.product for sample in kept))
        failures += report.failures
        notes = list(data_set.problems)
        unreadable: list[tuple[Path, str]] = []
        try:
            notes += self.calibrate(
                held,
                false_alarm_rate=false_alarm_rate,
                unsure_rate=unsure_rate,
                progress=progress,
                on_error=lambda path, error: unreadable.append((path, str(error))),
            )
        except CalibrationError:
            if len(unreadable) < len(held):
                raise
            notes.append(NOT_CALIBRATED)
        failures += unreadable
        seconds = time.monotonic() - started
        counts = (len(kept) - len(report.failures), self.calibration.n if self.calibration else 0)
        self.training = {
            "seed": seed,
            "training_images": counts[0],
            "calibration_images": counts[1],
            "input_images": [list(min(sizes)), list(max(sizes))],
            "layout": data_set.layout,
            "precision": precision,
            "seconds": round(seconds, 1),
        }
        return FitReport(
            *counts,
            self.products,
            data_set.layout,
            tuple(failures),
            tuple(notes),
            seconds,
            report,
        )

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
            false_alarm_rate, unsure_rate: As in :meth:`fit`.
            product: Product of images that do not say theirs.
            on_error: Called for each unreadable image; ``None`` raises.

        Returns:
            What the user should know about the limits, one sentence each.
        """
        method, preprocessing = self._trained()
        samples = _of_product(images_to_judge(good, bit_depth=preprocessing.bit_depth), product)
        predictions = predict_samples(
            method, preprocessing, samples, calibration=None, on_error=on_error
        )
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
            for p in progress.track(predictions, "Calibrating", len(samples))
        ]
        self.calibration = calibrate(
            records, false_alarm_rate=false_alarm_rate, unsure_rate=unsure_rate
        )
        return self.calibration.notes()

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
        method, preprocessing = self._trained()
        samples = _of_product(images_to_judge(images, bit_depth=preprocessing.bit_depth), product)
        return predict_samples(
            method,
            preprocessing,
            samples,
            calibration=self.calibration,
            batch_size=batch_size,
            on_error=on_error,
        )

    def evaluate(
        self,
        data: TrainingSource,
        *,
        layout: str = "auto",
        histogram: bool = False,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Measure the detector on the labelled test images of a data set.

        Metrics are computed on raw scores; the limits decide only the operating point.

        Args:
            data: As for :meth:`fit`.
            layout: Name of the layout, ``auto`` to recognise it.
            histogram: Measure pixels in bounded memory with a stated error bound.
            progress: Where progress is shown.

        Raises:
            DataError: No labelled test images.
        """
        failures: dict[Path, str] = {}
        evaluator = Evaluator(histogram=histogram)
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
        method, preprocessing = self._trained()
        data_set = training_data(data, layout=layout, bit_depth=self.bit_depth)
        samples = [s for s in data_set.split("test").samples if s.label is not None]
        pairs = judge_samples(
            method, preprocessing, samples, calibration=self.calibration, on_error=on_error
        )
        return (progress or Progress(quiet=True)).track(pairs, "Evaluating", len(samples))

    def save(self, path: str | Path) -> None:
        """Write the model file, whole or not at all.

        Raises:
            ConfigError: Nothing is trained yet, or the folder cannot be written to.
        """
        method, preprocessing = self._trained()
        manifest = describe_method(
            self.method_name,
            method,
            preprocessing,
            products=self.products,
            calibration=self.calibration,
            training=self.training,
        )
        write_bundle(path, manifest, pack_weights(method))

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Detector:
        """Read a model file; needs neither the training data nor the internet.

        Raises:
            BundleError: The file is missing, damaged, altered or of a newer schema, or describes
                a model that this version does not know.
            ConfigError: The device is unknown or not there.
        """
        device = resolve_device(device)
        bundle = read_bundle(path)
        manifest = bundle.manifest
        try:
            preprocessing = Preprocessing.from_json(manifest.preprocessing)
            detector = cls(
                manifest.method,
                teacher=manifest.teacher.name,
                image_size=preprocessing.size,
                bit_depth=preprocessing.bit_depth,
                settings=manifest.config,
            )
            if manifest.calibration is not None:
                detector.calibration = Calibration.from_json(manifest.calibration)
        except (ConfigError, CalibrationError) as error:
            raise BundleError(f"{path} cannot be used: {error}") from error
        method = unpack_method(path, bundle, preprocessing)
        detector.method = _ready(method).to(device)
        detector.preprocessing = preprocessing
        detector.products = manifest.products
        detector.training = manifest.training
        return detector

    def _trained(self) -> tuple[Method, Preprocessing]:
        if self.method is None or self.preprocessing is None:
            raise ConfigError("This detector is not trained yet. Call fit(), or Detector.load().")
        return self.method, self.preprocessing


def _ready(method: Method) -> Method:
    """Ready to predict: a trained and a loaded method compute with the same memory layout."""
    return method.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _of_product(samples: list[Sample], product: str | None) -> list[Sample]:
    """The samples, with ``product`` where they do not say their own."""
    if product is None:
        return samples
    return [s if s.product else replace(s, product=product) for s in samples]
