"""Inspector: what a trained model and an exported one do alike: judge, set limits, be measured.

Torch-free. The two differ in what computes the network's output, and in nothing after it.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from blemish._progress import Important, Progress
from blemish.calibration import Calibration, How, calibrate
from blemish.calibration.good_scores import as_measured
from blemish.data.good_images import good_images
from blemish.data.images.preprocess import Preprocessing
from blemish.data.known_products import as_learned
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import (
    ImageSource,
    TrainingSource,
    images_to_judge,
    training_data,
)
from blemish.errors import (
    BundleError,
    CalibrationError,
    ConfigError,
    DataError,
    MissingExtraError,
)
from blemish.evaluation.evaluator import Evaluation, Evaluator
from blemish.evaluation.learned_defects import without_learned
from blemish.inspection.good_groups import GoodGroups
from blemish.inspection.good_records import good_records, to_exclude
from blemish.inspection.judging_model import JudgingModel
from blemish.inspection.learned_images import learned_note, not_learned
from blemish.inspection.network import Network
from blemish.inspection.pipeline import OnError
from blemish.metrics.pixel import Compatibility
from blemish.model_file.bundle import Bundle, ExportEntry, Manifest, read_model
from blemish.model_file.new_limits import write_limits
from blemish.results import Prediction
from blemish.runtime.networks import build_network

__all__ = ["ExportedDetector", "Inspector", "OnError", "open_model"]


class Inspector(JudgingModel):
    """A model that judges images.

    Attributes:
        method_name: Name of the system.
        products: Names of the products it was trained on.
        bit_depth: Bits used in 16-bit images.
        manifest: What its file says of it, ``None`` where it was not read from a file.
    """

    method_name: str = ""
    products: tuple[str, ...]
    bit_depth: int
    manifest: Manifest | None = None

    def __repr__(self) -> str:
        limits = "not calibrated"
        if self.calibration is not None:
            n, rate = self.calibration.n, self.calibration.false_alarm_rate
            limits = f"calibrated on {n} good images at {100 * rate:.3g} %"
        products = ", ".join(self.products) or "no products"
        return f"<{type(self).__name__} {self.method_name!r} of {products}; {limits}>"

    @property
    @abstractmethod
    def branch_names(self) -> tuple[str, ...]:
        """Names of the method's branches, empty where it has one only."""

    @property
    @abstractmethod
    def recognises(self) -> bool:
        """Whether it says by itself which of its products a picture shows."""

    @property
    def aligns(self) -> bool:
        """Whether it turns pictures back to a reference before it judges them."""
        return self.ready()[1].alignment is not None

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the model file, whole or not at all."""

    def calibrate(
        self,
        good: ImageSource,
        *,
        how: How = "replace",
        false_alarm_rate: float | None = None,
        unsure_rate: float | None = None,
        estimate: bool | None = None,
        product: str | None = None,
        group: str = "auto",
        progress: Progress | None = None,
        on_error: OnError | None = None,
    ) -> list[str]:
        """Set the limits from good images that training has not seen. Cheap and repeatable.

        Products that no image shows keep the limits they have, images that calibrate already the
        scores.

        Args:
            good: Good images, or a data set, whose good ones are taken without those of its test;
                with ``exclude`` the ones to take out.
            how: ``replace`` the product's good images by these, ``join`` them, or ``exclude``
                these from them; see :func:`blemish.calibration.calibrate`.
            false_alarm_rate: Share of good parts that may be called defective; where not given as
                it was, at first 1 %.
            unsure_rate: Share of good parts that may be called at least unsure.
            estimate: Estimate the limits for which there are too few good images, without
                guarantee; where not given as it was, at first not.
            product: Product of images that do not say theirs; a model of one product needs none,
                one that recognises products says it of each where none is named.
            group: What part, strip or lot images are of, see
                :func:`blemish.data.grouping.grouped`; those that trained do not calibrate.
            progress: Where progress is shown.
            on_error: Called for each unreadable image; ``None`` raises.

        Returns:
            What the user should know about the limits, one sentence each.
        """
        if product is None and len(self.products) == 1:
            product = self.products[0]
        depth, said = self.ready()[1].bit_depth, list[str]()
        if how == "exclude":
            samples = images_to_judge(good, product=product, bit_depth=depth)
            records = to_exclude(samples, self.calibration)
        else:
            folders = self._training.get("product_folders", {})
            samples, said = good_images(
                good, self.products, folders=folders, product=product, bit_depth=depth
            )
            samples, learned = not_learned(samples, self._training, self.calibration)
            said += learned
            groups = GoodGroups(samples, group, self.training)
            records = good_records(
                self.judge_samples,
                groups,
                progress=progress or Progress(quiet=True),
                on_error=on_error,
                recognise=product is None and self.recognises,
            )
            if self.calibration is not None:
                records = as_measured(self.calibration.groups, records)
            records = groups.unlearned(records, self.calibration)
            said += groups.notes
        self.calibration = calibrate(
            records,
            current=self.calibration,
            how=how,
            false_alarm_rate=false_alarm_rate,
            unsure_rate=unsure_rate,
            estimate=estimate,
        )
        trained = how != "replace" and bool(self._training.get("cross_fitted"))
        notes = [*said, *self.calibration.notes(learned=trained)]
        unknown = sorted({r.product for r in records if r.product} - set(self.products))
        if how != "exclude" and unknown:
            notes.append(
                f"Training has not seen the product {', '.join(unknown)}, which has limits of its "
                f"own now. This model knows {', '.join(self.products) or 'none'}."
            )
        kept = [name for name in self.calibration.products if name in self.products]
        if how != "exclude" and kept and any(record.product is None for record in records):
            notes.append(
                Important(
                    f"{', '.join(kept)} keep the limits they had. Nothing says which product the "
                    "new images show, so that they count for images of unknown product alone. If "
                    "they show one, set its limits with --product NAME."
                )
            )
        return notes

    def forget_limits(self) -> None:
        """Predictions have no verdict until it is calibrated again."""
        self.calibration = None

    def evaluate(
        self,
        data: TrainingSource,
        *,
        layout: str = "auto",
        histogram: bool = False,
        compatibility: Compatibility = "none",
        progress: Progress | None = None,
        on_note: Callable[[str], None] = warnings.warn,
    ) -> Evaluation:
        """Measure the model on the labelled test images of a data set.

        Metrics are computed on raw scores; the limits decide only operating point and power.
        Labelled defects that it has learned from are left out.

        Args:
            data: A folder in any known layout, a data set, or an array ``(N, H, W[, C])``.
            layout: Name of the layout, ``auto`` to recognise it.
            histogram: Measure pixels in bounded memory with a stated error bound.
            compatibility: ``ader`` adds pixel F1-max as the framework ADer computes it.
            progress: Where progress is shown.
            on_note: Told what is left out.

        Raises:
            ConfigError: Another compatibility, or ``ader`` in bounded memory.
            DataError: No labelled test images.
        """
        failures: dict[Path, str] = {}
        evaluator = Evaluator(
            histogram=histogram,
            compatibility=compatibility,
            calibration=self.calibration,
            learned=self.products,
        )
        for sample, prediction in self.judge_test_images(
            data,
            layout=layout,
            on_error=lambda path, error: failures.__setitem__(path, str(error)),
            progress=progress,
            on_note=on_note,
        ):
            evaluator.add(sample, prediction)
        return evaluator.compute(failures.items())

    def as_learned(self, data_set: DataSet) -> tuple[DataSet, list[str]]:
        """The data set with products called as this model calls them, and a note on each.

        A product keeps its name, and its limits, when a folder of the same name appears elsewhere
        in the data; see :mod:`blemish.data.known_products`.
        """
        return as_learned(data_set, self.products, self._training.get("product_folders", {}))

    @property
    def _training(self) -> Mapping[str, Any]:
        manifest = {} if self.manifest is None else self.manifest.training
        return getattr(self, "training", None) or manifest

    def judge_test_images(
        self,
        data: TrainingSource,
        *,
        layout: str = "auto",
        on_error: OnError | None = None,
        progress: Progress | None = None,
        on_note: Callable[[str], None] = warnings.warn,
    ) -> Iterator[tuple[Sample, Prediction]]:
        """Judge the labelled test images of a data set, each beside what is known of it.

        Args as for :meth:`evaluate` and :meth:`predict`.
        """
        data_set = training_data(data, layout=layout, bit_depth=self.ready()[1].bit_depth)
        data_set, _ = self.as_learned(data_set)
        samples = [s for s in data_set.split("test").samples if s.label is not None]
        if not samples:
            raise DataError(
                f"No labelled test image in {data_set.root} (layout {data_set.layout}), so nothing "
                "can be measured. Expected good and defective ones, as in test/good and "
                "test/<defect>; images without labels are for: blemish predict"
            )
        samples, left_out = without_learned(samples, self.training)
        for note in filter(None, (left_out, learned_note(samples, self.training))):
            on_note(note)
        if not samples:
            raise DataError(f"{left_out} Nothing is left to measure in {data_set.root}.")
        pairs = self.judge_samples(samples, calibration=self.calibration, on_error=on_error)
        return (progress or Progress(quiet=True)).track(pairs, "Evaluating", len(samples))


class ExportedDetector(Inspector):
    """An exported model: judges images as the trained one does, without torch.

    Predicts, calibrates and evaluates as :class:`blemish.Detector` does, by the same lines;
    :func:`open_model` opens one.

    Args:
        path: Its file, named in errors.
        bundle: The file's content.
        runtime: ``threads`` and ``provider``, as in :func:`open_model`.

    Raises:
        BundleError: The content is no exported model that can run here.
        MissingExtraError: It needs OpenVINO, which is not installed.
        ConfigError: The provider is not there.

    Example: see ``docs/export.md``.
    """

    manifest: Manifest

    def __init__(self, path: str | Path, bundle: Bundle, **runtime: Any) -> None:
        self.manifest = manifest = bundle.manifest
        if manifest.export is None:
            raise BundleError(f"{path} is a trained model. Open it with blemish.open_model().")
        self._files: Mapping[str, bytes] = dict(bundle.files)
        try:
            self.preprocessing = Preprocessing.from_json(manifest.preprocessing)
            self.calibration = None
            if manifest.calibration is not None:
                self.calibration = Calibration.from_json(manifest.calibration)
        except (ConfigError, CalibrationError) as error:
            raise BundleError(f"{path} cannot be used: {error}") from error
        format, branches = manifest.export.format, manifest.export.branches
        try:
            self.network = build_network(
                format, self._files, branches, products=manifest.products, **runtime
            )
        except BundleError as error:
            raise BundleError(f"{path} cannot be used: {error}") from error
        self.method_name, self.products = manifest.method, manifest.products
        self.training = manifest.training
        self.bit_depth = self.preprocessing.bit_depth

    @property
    def export(self) -> ExportEntry:
        """What the graph is: format, precision, and what the comparison with torch found."""
        assert self.manifest.export is not None  # checked when it was opened
        return self.manifest.export

    @property
    def branch_names(self) -> tuple[str, ...]:
        return self.export.branches

    @property
    def recognises(self) -> bool:
        return self.network.recognises

    def ready(self) -> tuple[Network, Preprocessing]:
        return self.network, self.preprocessing

    def save(self, path: str | Path) -> None:
        """Write the model with its limits as they are now: ``.onnx`` bare, else as a bundle.

        Raises:
            ConfigError: The folder cannot be written to, or a graph of another format is to be
                written as ``.onnx``.
        """
        self.manifest = write_limits(path, Bundle(self.manifest, self._files), self.calibration)


def open_model(
    path: str | Path, *, device: str = "cpu", threads: int | None = None, provider: str = "auto"
) -> Inspector:
    """Open a model file: a trained model in torch, an exported one in its own runtime.

    Args:
        path: What ``blemish fit`` or ``blemish export`` wrote.
        device: Of a trained model: ``auto``, ``cpu`` or ``cuda``.
        threads: Threads of an exported model's network; ``None`` for all cores.
        provider: Where ONNX Runtime computes, see :mod:`blemish.runtime.providers`; ``auto`` for
            the first accelerator that is there and gives what the CPU gives, else the CPU.

    Raises:
        BundleError: The file is missing, damaged, altered, or of another schema.
        MissingExtraError: It is a trained model and torch is not installed, or in OpenVINO's
            format and OpenVINO is not.
        ConfigError: Device or provider are unknown or not there, or a provider that was named
            gives other outputs than the CPU.

    Example:
        >>> from blemish import open_model
        >>> from blemish.errors import BundleError
        >>> try:
        ...     open_model("missing.blemish")
        ... except BundleError as error:
        ...     print(error)
        missing.blemish does not exist. Expected a model file, as `blemish fit` writes it.
    """
    bundle = read_model(path)
    if bundle.manifest.export is not None:
        if device not in ("cpu", "auto"):
            raise ConfigError(
                f"device={device}: an exported model runs on the CPU, or where --provider "
                "says. Use that, or the trained model it was made from."
            )
        return ExportedDetector(path, bundle, threads=threads, provider=provider)
    if provider != "auto":
        raise ConfigError(
            f"provider={provider}: {path} is a trained model, which runs in torch; there it is "
            "--device. Providers are for models that `blemish export` wrote."
        )
    try:
        from blemish.detector import Detector
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("blemish"):
            raise
        raise MissingExtraError(
            f"{path} is a trained model, not an exported one. Opening it", "train"
        ) from error
    return Detector.from_bundle(path, bundle, device=device)
