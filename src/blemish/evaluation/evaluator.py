"""Evaluation on labelled images: image, pixel and logical metrics, operating point."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration, Limits
from blemish.data.images.reading import read_mask
from blemish.data.layouts import read_defects_config
from blemish.data.sample import Sample
from blemish.errors import DataError, ImageError
from blemish.evaluation.promised_power import (
    PromisedLimits,
    PromisedPower,
    mean_power,
    promised_power,
)
from blemish.metrics import (
    MEAN_AD_METRICS,
    Confusion,
    Curve,
    PixelAccumulator,
    SproAccumulator,
    auroc,
    confusion,
    image_metrics,
    loco_image_auroc,
    mean_ad,
)
from blemish.metrics.pixel import Compatibility
from blemish.metrics.score_store import Mode
from blemish.results import Prediction

Metrics = dict[str, float]
_LOCO = ("good", "logical_anomalies", "structural_anomalies")


@dataclass(frozen=True)
class KindResult:
    """One defect kind of a product; shares of verdicts are ``nan`` without calibration."""

    images: int
    image_auroc: float  # good images of the product against this kind
    found: float  # share with verdict ``defect``
    flagged: float  # share with verdict ``defect`` or ``unsure``


@dataclass(frozen=True)
class ProductResult:
    """One product's figures; a metric that its images do not allow is ``nan``.

    Attributes:
        product: Name.
        good, defective: Numbers of images measured.
        masked: Number of defective images with a ground-truth mask.
        metrics: The seven of mAD by name; ``sample_auroc``, ``sample_ap`` and ``sample_f1_max``
            where several images show one part (Real-IAD); for MVTec LOCO also ``logical``,
            ``structural``, ``mean`` and ``pooled`` of image AUROC and AU-sPRO.
        operating: Counts of right and wrong verdicts at the calibrated limit, defect or not.
        kinds: By defect kind.
        problems: What kept a metric from being computed, one sentence each.
        error_bounds: Measured in bounded memory: how far each metric so measured can be from the
            exact one; empty where all are exact.
        power: What the limits for 1 % and 5 % find and stop; empty without calibration.
    """

    product: str
    good: int
    defective: int
    masked: int
    metrics: Mapping[str, float]
    operating: Confusion | None
    kinds: Mapping[str, KindResult]
    problems: tuple[str, ...] = ()
    error_bounds: Mapping[str, float] = field(default_factory=dict)
    power: tuple[PromisedPower, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """All products' figures and their unweighted means.

    Attributes:
        products: In order of appearance.
        mean: Mean of each metric over the products that have it.
        covered: For each metric, the number of products behind its mean.
        mean_ad: mAD over all products; ``nan`` unless each has all seven metrics.
        failures: Path and reason of each image that could not be read.
        mean_ad_ader: mAD with ADer's pixel F1-max in place of the exact one; ``None`` where that
            was not asked for.
        error_bounds: Measured in bounded memory: how far each mean so measured, and ``mean_ad``,
            can be from the exact one; else empty.
        power: Mean of the products' power at 1 % and 5 %; empty without calibration.
        unlearned: Products that the model never learned, which are in no mean.
    """

    products: tuple[ProductResult, ...]
    mean: Mapping[str, float]
    covered: Mapping[str, int]
    mean_ad: float
    failures: tuple[tuple[Path, str], ...] = ()
    mean_ad_ader: float | None = None
    error_bounds: Mapping[str, float] = field(default_factory=dict)
    power: tuple[PromisedPower, ...] = ()
    unlearned: tuple[str, ...] = ()


class Evaluator:
    """Takes predictions with their samples one by one; keeps pixels, many of them in a file.

    Args:
        histogram: Measure pixels in bounded memory, with a stated error; see
            :class:`blemish.metrics.PixelAccumulator`.
        compatibility: ``ader`` adds the metric ``pixel_f1_max_ader``, F1-max as the framework ADer
            computes it, and mAD with it.
        calibration: The limits that judged the images, for the power at 1 % and 5 %.
        learned: Products that the model knows; means leave others out, unless all are others.

    Raises:
        ConfigError: Another compatibility, or ``ader`` in bounded memory.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.data.sample import Sample
        >>> from blemish.evaluation.evaluator import Evaluator
        >>> from blemish.results import Prediction
        >>> evaluator = Evaluator()
        >>> for label, score in ((0, 0.1), (1, 0.7)):
        ...     sample = Sample(Path("x.png"), "nut", "test", label)
        ...     evaluator.add(sample, Prediction(None, "nut", score, np.zeros((4, 4), "f4")))
        >>> evaluator.compute().mean["image_auroc"]
        1.0
    """

    def __init__(
        self,
        *,
        histogram: bool = False,
        compatibility: Compatibility = "none",
        calibration: Calibration | None = None,
        learned: Iterable[str] = (),
    ) -> None:
        self.mode: Mode = "histogram" if histogram else "exact"
        self.compatibility = compatibility
        self._limits = None if calibration is None else PromisedLimits(calibration)
        self._products: dict[str, _Product] = {}
        self._learned = frozenset(learned)
        PixelAccumulator(self.mode, compatibility=compatibility)  # refuses what cannot be had

    def add(self, sample: Sample, prediction: Prediction) -> None:
        """Take one labelled image's prediction; unlabelled ones are left out."""
        if sample.label is None:
            return
        if sample.product not in self._products:
            product = _Product(sample.product, self.mode, self.compatibility)
            self._products[sample.product] = product
        limits = None if self._limits is None else self._limits.of(prediction)
        self._products[sample.product].add(sample, prediction, limits)

    def pro_curves(self) -> dict[str, Curve]:
        """The PRO curve of each product that has masks, thinned for plotting."""
        products = self._products.items()
        return {name: product.pro_curve() for name, product in products if product.masked}

    def compute(self, failures: Iterable[tuple[Path, str]] = ()) -> Evaluation:
        """The figures of all that was added.

        Raises:
            DataError: No labelled image was added.
        """
        failures = tuple(failures)
        if not self._products:
            why = f"could be read: {failures[0][1]}" if failures else "was found."
            raise DataError(f"No labelled test image {why} Nothing can be measured.")
        everything = tuple(product.compute() for product in self._products.values())
        results = tuple(r for r in everything if r.product in self._learned)
        results = results or everything
        names = dict.fromkeys(name for result in results for name in result.metrics)
        mean, covered, bounds = {}, {}, {}
        for name in names:
            having = [r for r in results if math.isfinite(r.metrics.get(name, np.nan))]
            values = [r.metrics[name] for r in having]
            mean[name] = float(np.mean(values)) if values else math.nan
            covered[name] = len(values)
            if any(name in r.error_bounds for r in having):
                bounds[name] = float(np.mean([r.error_bounds[name] for r in having]))
        measured = [result.metrics for result in results]
        overall = mean_ad(measured)
        if self.mode == "histogram" and math.isfinite(overall):
            image_level = dict.fromkeys(MEAN_AD_METRICS, 0.0)  # is never binned
            bounds["mean_ad"] = mean_ad([{**image_level, **r.error_bounds} for r in results])
        return Evaluation(
            everything,
            mean,
            covered,
            overall,
            failures,
            mean_ad(measured, compatibility="ader") if self.compatibility == "ader" else None,
            bounds,
            mean_power([result.power for result in results]),
            tuple(r.product for r in everything if r not in results),
        )


class _Product:
    """What has been added of one product."""

    def __init__(self, product: str, mode: Mode, compatibility: Compatibility) -> None:
        self.product, self.mode = product, mode
        self.pixels = PixelAccumulator(mode, compatibility=compatibility)
        self.spro: SproAccumulator | None = None
        self._looked_for_rules = False
        self.scores: list[float] = []
        self.kinds: list[str] = []
        self.verdicts: list[str | None] = []
        self.parts: list[str | None] = []
        self.limits: list[tuple[Limits, ...]] = []
        self.curve: Curve | None = None  # once computed
        self.masked = 0
        self.unmasked: Counter[str] = Counter()
        self.problems: list[str] = []
        self.unusable: list[tuple[str, str]] = []  # images whose masks are no use, and why
        self.ignored = 0

    def add(
        self, sample: Sample, prediction: Prediction, limits: tuple[Limits, ...] | None
    ) -> None:
        kind = "good" if sample.is_good else sample.defect_kind or "defect"
        if _only_ignored(sample, prediction):
            self.ignored += 1
            return
        self.scores.append(prediction.score)
        self.kinds.append(kind)
        self.verdicts.append(prediction.verdict)
        self.parts.append(sample.part)
        if limits is not None:
            self.limits.append(limits)
        if not sample.is_good and not sample.mask_paths:
            self.unmasked[kind] += 1
            return
        try:
            size = (prediction.anomaly_map.shape[0], prediction.anomaly_map.shape[1])
            channels = [read_mask(path, expected_size=size) for path in sample.mask_paths]
            union = np.any(channels, axis=0) if channels else None  # (H, W)
            self.curve = None
            self.pixels.add(prediction.anomaly_map, union, roi=prediction.roi)
        except (DataError, ImageError) as error:
            self.unusable.append((sample.path.name, str(error)))
            return
        self.masked += bool(channels)
        if kind not in _LOCO:
            return
        if not self._looked_for_rules:
            self._looked_for_rules = True
            self.spro = self._spro_of(sample)
        if self.spro is not None:
            try:
                self.spro.add(
                    prediction.anomaly_map,
                    channels,
                    kind,  # type: ignore[arg-type]
                    roi=prediction.roi,
                )
            except DataError as error:
                self.problems.append(f"{sample.path.name} is left out of AU-sPRO: {error}")

    def _spro_of(self, sample: Sample) -> SproAccumulator | None:
        """For a category of MVTec LOCO, recognised by its saturation thresholds."""
        # test/<kind>/<image> and ground_truth/… lie in the category's folder.
        category = sample.path.parent.parent.parent
        if not (category / "defects_config.json").is_file():
            return None
        try:
            return SproAccumulator(read_defects_config(category), self.mode)
        except DataError as error:
            self.problems.append(f"AU-sPRO cannot be given: {error}")
            return None

    def pro_curve(self) -> Curve:
        """The PRO curve, thinned: what stays of the ordered counts, which take much memory."""
        if self.curve is None:
            self.curve = self.pixels.pro_curve()
            self.pixels.let_go()
        return self.curve

    def compute(self) -> ProductResult:
        scores, kinds = np.asarray(self.scores), np.asarray(self.kinds)
        labels = kinds != "good"
        problems = list(self.problems)
        if self.unusable:
            name, why = self.unusable[0]
            count = len(self.unusable)
            which = name if count == 1 else f"{count} images, such as {name},"
            are = "is" if count == 1 else "are"
            problems.append(f"{which} {are} left out of the pixel metrics: {why}")
        if self.ignored:
            problems.append(
                f"Left out, as their defects lie where nothing is looked at: {self.ignored} images."
            )
        metrics = dict.fromkeys(MEAN_AD_METRICS, math.nan)
        if self.pixels.compatibility == "ader":
            metrics["pixel_f1_max_ader"] = math.nan
        bounds: Metrics = {}
        metrics.update(image_metrics(scores, labels))
        if self.masked:
            metrics.update(self.pixels.compute())
            bounds.update(self.pixels.error_bounds())
            self.pro_curve()
        metrics.update(self._part_metrics(scores, labels))
        if not labels.any() or labels.all():
            only = "good" if not labels.any() else "defective"
            problems.append(f"All {len(labels)} test images are {only}: no metric can be given.")
        elif not self.masked:
            has = "a mask that can be used" if self.unusable else "a mask"
            problems.append(f"No defective image has {has}: no pixel metric can be given.")
        elif self.unmasked:
            listed = ", ".join(f"{count} of {kind}" for kind, count in self.unmasked.items())
            problems.append(f"Without a mask, left out of the pixel metrics: {listed}.")
        if self.spro is not None:
            of_loco = np.isin(kinds, _LOCO)
            by_kind = loco_image_auroc(scores[of_loco], kinds[of_loco].tolist())
            metrics.update({f"image_auroc_{name}": value for name, value in by_kind.items()})
            for figures, found in (
                (metrics, self.spro.compute()),
                (bounds, self.spro.error_bounds()),
            ):
                for limit, values in found.items():
                    figures.update({f"au_spro_{limit:g}_{n}": v for n, v in values.items()})
            self.spro.let_go()
        judged = None not in self.verdicts
        alarms = np.asarray([verdict == "defect" for verdict in self.verdicts])
        flags = np.asarray([verdict in ("defect", "unsure") for verdict in self.verdicts])
        results = {}
        for kind in dict.fromkeys(self.kinds):
            of_kind = kinds == kind
            if kind != "good":
                use = of_kind | ~labels
                results[kind] = KindResult(
                    int(of_kind.sum()),
                    auroc(scores[use], labels[use]),
                    float(alarms[of_kind].mean()) if judged else math.nan,
                    float(flags[of_kind].mean()) if judged else math.nan,
                )
        return ProductResult(
            self.product,
            int((~labels).sum()),
            int(labels.sum()),
            self.masked,
            metrics,
            confusion(alarms.astype(float), labels, threshold=0.5) if judged else None,
            results,
            tuple(problems),
            bounds if self.mode == "histogram" else {},
            promised_power(scores, labels, self.limits) if self.limits else (),
        )

    def _part_metrics(self, scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> Metrics:
        """Sample-level metrics where several images show one physical part (Real-IAD's views).

        A part's score is the largest of its images' scores, and it is defective if one image is.
        """
        named = [(part, row) for row, part in enumerate(self.parts) if part is not None]
        if not named:
            return {}
        rows: dict[str, list[int]] = {}
        for part, row in named:
            rows.setdefault(part, []).append(row)
        part_scores = [scores[of_part].max() for of_part in rows.values()]
        part_labels = [bool(labels[of_part].any()) for of_part in rows.values()]
        metrics = image_metrics(part_scores, part_labels)
        return {name.replace("image_", "sample_"): value for name, value in metrics.items()}


def _only_ignored(sample: Sample, prediction: Prediction) -> bool:
    """Whether all defects of a picture lie outside of what is looked at of it."""
    roi = prediction.roi
    if roi is None or sample.is_good or not sample.mask_paths:
        return False
    try:
        masks = [read_mask(path, expected_size=roi.shape) for path in sample.mask_paths]
    except (DataError, ImageError):
        return False  # said where the pixels are measured
    union = np.any(masks, axis=0)
    return bool(union.any() and not (union & roi).any())
