"""Detector: the one door, to learn from good images, judge new ones, save and load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from safetensors.torch import save as save_tensors

from blemish._progress import Progress
from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing, check_bit_depth
from blemish.data.images.roi_source import RoiSource, as_region
from blemish.data.sample import Sample
from blemish.data.sources import ImageSource, TrainingSource, labelled_defects, training_data
from blemish.errors import BundleError, CalibrationError, ConfigError
from blemish.inspection.network import Network
from blemish.inspector import Inspector
from blemish.methods.base import Method
from blemish.methods.input_choice import InputChoice
from blemish.methods.registry import method_class, method_name
from blemish.methods.settings import parse_settings
from blemish.methods.speeds import choose_speed
from blemish.model_file.bundle import Bundle, Manifest, TeacherEntry, read_bundle, write_bundle
from blemish.model_file.versions import installed
from blemish.teachers.teacher import Teacher, Weights
from blemish.training.devices import resolve_device
from blemish.training.distributed import Processes, is_beside_another
from blemish.training.fit_report import FitReport
from blemish.training.framing import Aligned, CropTo
from blemish.training.labelled_defects import check_labels_are_used
from blemish.training.learning import LearnReport, check_learns_on, learn_more
from blemish.training.method_network import MethodNetwork
from blemish.training.method_weights import WEIGHTS, rebuilt, to_predict
from blemish.training.options import TrainingOptions
from blemish.training.train import NOT_CALIBRATED, learn

_RECORDED = ("blemish", "torch", "numpy", "pillow", "lightning", "timm")


class Detector(Inspector):
    """Visual anomaly detection: show it good parts, it finds what is wrong with the others.

    Args:
        method: Name of the system, see :func:`blemish.methods.names`, or its class.
        speed: Teacher and input size in one word: ``fast``, ``balanced``, ``best``. ``None``:
            ``balanced`` for ``trio``; the papers' protocol, ``efficientnet_lite0`` at 256²,
            for the other methods.
        teacher: Name of the teacher, see :func:`blemish.teachers.teacher.build_teacher`, or a
            :class:`~blemish.teachers.teacher.Teacher`; opening the model file then needs its name
            registered. It wins over the speed's.
        teacher_weights: ``pretrained``, a local file, or ``random``.
        image_size: Input size: a side or ``(H, W)``, which wins over the speed's; ``None``: by the
            speed and the images.
        tile: Side or ``(H, W)`` of tiles that large pictures are cut into, in place of being scaled
            to the input; ``auto``: of the speed's size, where pictures are larger.
        overlap, scale, coarse: How they are cut, and whether the whole is looked at too; see
            :class:`blemish.methods.input_choice.InputChoice`.
        bit_depth: Bits used in 16-bit images.
        preset: Named settings: ``light``, or ``paper``: the paper's, with its teacher and input.
        settings: Values of the method's config, e.g. ``{"sigma": 2}``; they win over the preset's.

    Raises:
        ConfigError: An unknown method, speed, preset, setting, size or bit depth; tiles that cannot
            be.

    Example:
        >>> import numpy as np
        >>> from blemish import Detector
        >>> from blemish._progress import Progress
        >>> good = np.random.default_rng(0).integers(90, 110, (24, 64, 64, 3)).astype(np.uint8)
        >>> detector = Detector()
        >>> _ = detector.fit(good, false_alarm_rate=0.2, progress=Progress(quiet=True))
        >>> prediction = detector.inspect(good[0])
        >>> prediction.anomaly_map.shape, prediction.verdict in ("ok", "unsure", "defect")
        ((64, 64), True)
    """

    def __init__(
        self,
        method: str | type[Method] = "trio",
        *,
        speed: str | None = None,
        teacher: str | Teacher | None = None,
        teacher_weights: Weights | str = "pretrained",
        image_size: int | tuple[int, int] | None = None,
        tile: int | tuple[int, int] | str | None = None,
        overlap: int | None = None,
        scale: float | None = None,
        coarse: bool = False,
        bit_depth: int = 16,
        preset: str = "light",
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._method_class = method_class(method) if isinstance(method, str) else method
        self.method_name = method if isinstance(method, str) else method_name(method)
        self.settings = dict(settings or {})
        self.asked = parse_settings(self._method_class.config_class, self.settings, preset=preset)
        #: What was asked of the input.
        self.input = InputChoice.of(image_size, tile, overlap, scale, coarse)
        #: The point of the dial, and what of it counts.
        self.speed = choose_speed(
            self._method_class, speed, preset, teacher=teacher, image_size=self.input.named
        )
        self.config = self.input.looks(self.asked, self.speed.point)
        self.teacher = self.speed.point.teacher if teacher is None else teacher
        self.teacher_weights: Weights = (
            teacher_weights
            if teacher_weights in ("pretrained", "random")
            else Path(teacher_weights)
        )
        self.bit_depth = check_bit_depth(bit_depth)
        self.method: Method | None = None
        self.preprocessing: Preprocessing | None = None
        self.products: tuple[str, ...] = ()
        self.calibration: Calibration | None = None
        self.training: dict[str, Any] = {}
        self._fit_report: FitReport | None = None

    def __repr__(self) -> str:
        untrained = f"<Detector {self.method_name!r}, not trained yet>"
        return untrained if self.method is None else super().__repr__()

    def fit(
        self,
        data: TrainingSource,
        *,
        defects: ImageSource | None = None,
        roi: RoiSource = None,
        align: Aligned = False,
        crop_to: CropTo = None,
        layout: str = "auto",
        false_alarm_rate: float = 0.01,
        unsure_rate: float | None = None,
        hold_out_share: float | None = None,
        group: str = "auto",
        seed: int | None = None,
        training: TrainingOptions | None = None,
        progress: Progress | None = None,
        callbacks: Sequence[Any] = (),
    ) -> Detector:
        """Learn from good images, then calibrate on good images held out.

        One model is trained for all products. The good validation images calibrate, and those of
        training beside them where the method measures each by the others (``trio``); else, without
        validation images, a seeded share of the training images is held out.

        Args:
            data: A folder in any known layout, a data set, good images in a list or as an array.
            defects: A few labelled defects, for a method that learns from them (``anomem``), or
                weighs its measures by them (``trio``): files, folders, an array, samples, or a data
                set of which the defects are taken. :meth:`evaluate` leaves their files out.
            roi: What is looked at, the rest ignored: a file or mask ``(H, W)``, also by product, as
                :func:`blemish.data.images.roi_source.region_of_interest` reads them, or its result.
            align: Whether pictures are turned back to a good one first, or products that are.
            crop_to: ``part`` to crop pictures to it. Both: ``docs/alignment.md``.
            layout: Name of the layout, ``auto`` to recognise it.
            false_alarm_rate: Share of good parts that may be called defective.
            unsure_rate: Share of good parts that may be called at least unsure.
            hold_out_share: Share of the good training images set aside for calibration; where
                given, no method measures its own training images.
            group: What keeps images on one side of training and calibration: a regular expression
                for their names, a table, ``auto``, ``none``; see
                :func:`blemish.data.grouping.grouped`.
            seed: Short for ``training=TrainingOptions(seed=…)``; replaces the seed in there.
            training: Seed, devices, checkpoints, cache; see :class:`blemish.TrainingOptions`.
            progress: Where progress is shown.
            callbacks: Lightning's callbacks, called in every stage.

        Returns:
            Itself; what was done and what there is to know is in :attr:`fit_report`.

        Raises:
            DataError: No good images, or too few; defects that are none.
            ConfigError: Defects for a method that cannot use them; a rate, share or seed that
                cannot be used; a device that is not there.
            TrainingInterruptedError: After Ctrl-C; the checkpoint in ``work_dir`` is whole.
        """
        started = time.monotonic()
        # Impossible rates are refused now, not after the training.
        record = CalibrationRecord(None, score=0.0, peak=0.0)
        calibrate([record], false_alarm_rate=false_alarm_rate, unsure_rate=unsure_rate)
        options = TrainingOptions.of(training, seed, callbacks)
        progress = Processes.of(options).progress(progress)
        with Processes.of(options).log(options) as log:
            if defects is not None:
                tiled = self.input.tile is not None
                check_labels_are_used(self.method_name, self._method_class, tiled=tiled)
            data_set = training_data(data, layout=layout, bit_depth=self.bit_depth)
            product = data_set.products[0] if len(data_set.products) == 1 else ""
            labelled: tuple[Sample, ...] = ()
            if defects is not None:
                labelled = labelled_defects(defects, product=product, bit_depth=self.bit_depth)
            method, preprocessing, held, report = learn(
                data_set,
                labelled,
                self.config,
                build=self._method_class,
                teacher=self.teacher,
                teacher_weights=self.teacher_weights,
                choice=self.input,
                speed=self.speed.point,
                bit_depth=self.bit_depth,
                hold_out_share=hold_out_share,
                group=group,
                options=options,
                progress=progress,
                roi=as_region(roi),
                align=align,
                crop_to=crop_to,
                log=log,
            )
            # Only now: a training that fails or is stopped leaves this detector as it was.
            self.method, self.preprocessing = to_predict(method), preprocessing
            self.calibration, self.products, self.manifest = None, report.products, None
            self.training = {}
            notes = [self.speed.note] if self.speed.note else []
            unreadable: list[tuple[Path, str]] = []
            out_of_fold = report.training.out_of_fold
            if out_of_fold:
                self.calibration = calibrate(
                    out_of_fold, false_alarm_rate=false_alarm_rate, unsure_rate=unsure_rate
                )
            limits = self.calibration
            told = [NOT_CALIBRATED] if limits is None else limits.notes(learned=True)
            try:
                if held or not out_of_fold:
                    told = self.calibrate(
                        held,
                        how="join" if out_of_fold else "replace",
                        false_alarm_rate=false_alarm_rate,
                        unsure_rate=unsure_rate,
                        progress=progress,
                        on_error=lambda path, error: unreadable.append((path, str(error))),
                    )
            except CalibrationError:
                if len(unreadable) < len(held):
                    raise
            notes += told
            self._fit_report = report = replace(
                report,
                calibration_images=self.calibration.n if self.calibration else 0,
                failures=(*report.failures, *unreadable),
                notes=(*report.notes, *notes),
                seconds=time.monotonic() - started,
            )
            self.training = {**report.to_json(options), "speed": self.speed.to_json()}
            log.end(self.calibration, report.figures())
        return self

    @property
    def fit_report(self) -> FitReport:
        """What the last :meth:`fit` did; a file does not hold it."""
        if self._fit_report is None:
            raise ConfigError("Nothing was learned here yet, so there is no report. Call fit().")
        return self._fit_report

    def learn(
        self,
        good: TrainingSource,
        *,
        product: str | None = None,
        layout: str = "auto",
        group: str = "auto",
        training: TrainingOptions | None = None,
        progress: Progress | None = None,
    ) -> LearnReport:
        """Add good images of known products, or of new ones, without the images of :meth:`fit`.

        Args:
            good: A folder in any known layout, a data set, or an array ``(N, H, W[, C])``.
            product: Which one they show, where folders do not say it; a model of one needs none.
            layout: Name of the layout, ``auto`` to recognise it.
            group: As for :meth:`fit`; ``auto``: as the product was grouped then.
            training: Seed and feature cache; see :class:`blemish.TrainingOptions`.
            progress: Where progress is shown.

        Raises:
            ConfigError: The method cannot learn on, or the product is not known.
            DataError: No good images, or none that can be read.
        """
        method, preprocessing = self._trained()
        check_learns_on(self.method_name, self._method_class)
        data_set, said = self.as_learned(
            training_data(good, layout=layout, bit_depth=self.bit_depth)
        )
        data_set = replace(data_set, problems=(*data_set.problems, *said))
        options, progress = training or TrainingOptions(), progress or Progress()
        learned, limits, report = learn_more(
            method,
            preprocessing,
            self.calibration,
            data_set,
            product=product,
            group=group,
            trained=self.training.get("groups", {}),
            options=options,
            progress=progress,
        )
        # Only now: learning that fails or is stopped leaves this detector as it was.
        self.method, self.calibration, self.products = to_predict(learned), limits, learned.products
        self.training = report.added_to(self.training, options)
        return report

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Names of the method's branches, empty where it has, or is left, one only."""
        return (self._method_class if self.method is None else self.method).branch_names

    @property
    def recognises(self) -> bool:
        return self.method is not None and self.method.recognises

    def ready(self) -> tuple[Network, Preprocessing]:
        method, preprocessing = self._trained()
        return MethodNetwork(method, small_passes=bool(preprocessing.tiling)), preprocessing

    def save(self, path: str | Path) -> None:
        """Write the model file, whole or not at all; of several processes the first one does.

        Raises:
            ConfigError: Nothing is trained yet, or the folder cannot be written to.
        """
        method, preprocessing = self._trained()
        if is_beside_another():
            return
        own, limits = method.teacher, self.calibration
        entry = TeacherEntry(name=own.name, sha256=own.digest, pretrained=own.pretrained)
        manifest = Manifest(
            method=self.method_name,
            config=method.config.to_json(),
            teacher=entry,
            preprocessing=preprocessing.to_json(),
            products=self.products,
            calibration=None if limits is None else limits.to_json(),
            training=self.training,
            versions=installed(_RECORDED),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        tensors = {key: value.cpu().contiguous() for key, value in method.inference_state().items()}
        self.manifest = write_bundle(path, manifest, {WEIGHTS: save_tensors(tensors)})

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Detector:
        """Read a model file; needs neither the training data nor the internet.

        Raises:
            BundleError: The file is missing, damaged, altered or of a newer schema, or describes
                a model that this version does not know.
            ConfigError: The device is unknown or not there.
        """
        return cls.from_bundle(path, read_bundle(path), device=device)

    @classmethod
    def from_bundle(cls, path: str | Path, bundle: Bundle, *, device: str = "cpu") -> Detector:
        """A model from its file's content; ``path`` is named in errors, which are those of load."""
        device = resolve_device(device)
        manifest = bundle.manifest
        if manifest.kind != "trained":
            raise BundleError(
                f"{path} is an exported model: it predicts, but holds no trained weights. Open it "
                "with blemish.open_model(), or give the trained model it was made from."
            )
        try:
            method_class(manifest.method)
        except ConfigError as error:
            raise BundleError(f"{path} cannot be used: {error}") from error
        try:
            preprocessing = Preprocessing.from_json(manifest.preprocessing)
            detector = cls(
                manifest.method,
                teacher=manifest.teacher.name,
                **preprocessing.as_asked(),
                bit_depth=preprocessing.bit_depth,
                settings=manifest.config,
            )
            if manifest.calibration is not None:
                detector.calibration = Calibration.from_json(manifest.calibration)
        except (ConfigError, CalibrationError) as error:
            written = f"{manifest.created[:10]} by blemish {manifest.versions.get('blemish', '?')}"
            raise BundleError(
                f"{path} cannot be used: {error} The file was written on {written}; train the "
                "model again with this version."
            ) from error
        method = rebuilt(path, bundle, detector._method_class, detector.config, preprocessing)
        detector.method = to_predict(method).to(device)
        detector.preprocessing = preprocessing
        detector.products = method.products = manifest.products
        detector.training = manifest.training
        detector.manifest = manifest
        return detector

    def _trained(self) -> tuple[Method, Preprocessing]:
        if self.method is None or self.preprocessing is None:
            raise ConfigError("This detector is not trained yet. Call fit(), or Detector.load().")
        return self.method, self.preprocessing
