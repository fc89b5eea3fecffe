"""Pixel metrics of a stream of anomaly maps: AUROC, AP, F1-max and AUPRO from one ordering.

All pixels of a category are pooled. Normal pixels are sorted as bare float32; defective ones, few
of them, are sorted with the share they add to their component's coverage. All four metrics then
read the same counts.

ADer's F1-max, for comparison with figures published in that framework: J. Zhang et al., "ADer: A
Comprehensive Benchmark for Multi-class Visual Anomaly Detection", 2024, and its public evaluator.
All maps of a category are scaled together to [0, 1] by their smallest and largest pixel; F1 is
taken at the 21 thresholds 0, 0.05, …, 1 with a *strict* comparison, and 1e-8 is added to the
denominators. The result depends on the extreme pixels and is at most the exact F1-max (but for
that 1e-8).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blemish.errors import ConfigError, DataError
from blemish.metrics import bounds
from blemish.metrics.curves import Curve, pro_curve, ranking_roc_curve
from blemish.metrics.inputs import check_fpr_limit, check_same_shape, map_values
from blemish.metrics.overlap import component_weights, overlap_area
from blemish.metrics.ranking import NAN, F1Max, Ranked
from blemish.metrics.score_store import DEFAULT_BINS, Mode, score_store
from blemish.metrics.score_table import ScoreTable
from blemish.metrics.stored_ranking import ranking_of

Compatibility = Literal["none", "ader"]

_EPSILON = 1e-8


class PixelAccumulator:
    """Takes anomaly maps and masks one by one and measures them at the end.

    Args:
        mode: ``exact`` keeps every pixel, 4 bytes per normal and 12 per defective one: beyond a few
            pictures in temporary files (:mod:`blemish.metrics.exact_scores`,
            :mod:`blemish.metrics.stored_ranking`), to which `compute` adds 36 bytes per defective
            one. ``histogram`` keeps at most ``max_bins`` bins
            for the normal and as many for the defective pixels, whatever their number;
            `error_bounds` then says how far the results can be off.
        fpr_limit: False-positive rate to which AUPRO is integrated.
        max_bins: Histogram mode only.
        compatibility: ``ader`` adds ``pixel_f1_max_ader``, computed as ADer does; exact mode only.

    Raises:
        ConfigError: On an unknown mode or compatibility, or ``ader`` in histogram mode.
        DataError: If ``fpr_limit`` is outside (0, 1].

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import PixelAccumulator
        >>> mask = np.zeros((4, 4), bool)
        >>> mask[1:3, 1:3] = True
        >>> pixels = PixelAccumulator()
        >>> pixels.add(mask.astype("f4") + 0.1, mask)
        >>> pixels.add(np.zeros((2, 6), "f4"), None)  # a good image, of another size
        >>> pixels.compute()["pixel_aupro"]
        1.0
    """

    def __init__(
        self,
        mode: Mode = "exact",
        *,
        fpr_limit: float = 0.3,
        max_bins: int = DEFAULT_BINS,
        compatibility: Compatibility = "none",
    ) -> None:
        if compatibility not in ("none", "ader"):
            raise ConfigError(f'Compatibility is {compatibility!r}; expected "none" or "ader".')
        if compatibility == "ader" and mode != "exact":
            raise ConfigError(
                'Compatibility "ader" needs mode "exact": its 21 thresholds depend on the smallest '
                "and largest pixel, which a stream only knows at its end."
            )
        self.fpr_limit = check_fpr_limit(fpr_limit)
        self.compatibility = compatibility
        self._normal = score_store(mode, max_bins=max_bins)
        self._defective = score_store(mode, max_bins=max_bins)
        self._ranking: Ranked | None = None

    def add(
        self,
        anomaly_map: NDArray[Any],
        mask: NDArray[Any] | None,
        *,
        roi: NDArray[np.bool_] | None = None,
    ) -> None:
        """Takes one image.

        Args:
            anomaly_map: ``(H, W)`` raw, higher is worse; held as float32.
            mask: ``(H, W)``, anything but zero is defective; ``None`` for a good image.
            roi: ``(H, W)``; pixels outside are neither normal nor defective, and a component is
                what of it lies inside. ``None``: all count.

        Raises:
            DataError: On NaN in the map, a wrong shape, or shapes that differ. Nothing is taken
                of such an image.
            MissingExtraError: If the mask holds a defect and SciPy is not installed.
        """
        values = map_values(anomaly_map)  # (H, W)
        if roi is not None:
            check_same_shape(values, roi, what="the region of interest")
        inside = True if roi is None else roi
        if mask is None:
            self._normal.add(values[inside].ravel())
        else:
            mask = np.asarray(mask)
            check_same_shape(values, mask)
            defective = (mask != 0) & inside  # (H, W)
            weights = component_weights(defective)
            if len(weights) == 0:
                self._normal.add(values[inside].ravel())
            else:
                self._normal.add(values[inside & ~defective])
                self._defective.add(values[defective], weights)
        self._ranking = None

    def ranking(self) -> Ranked:
        """The ordered counts all results come from; kept until the next `add` or `let_go`."""
        if self._ranking is None:
            self._ranking = ranking_of(self._normal.tables(), self._defective.tables())
        return self._ranking

    def let_go(self) -> None:
        """Free memory and disk of the ordered counts; who asks again waits for them again."""
        self._ranking = None

    def compute(self) -> dict[str, float]:
        """``pixel_auroc``, ``pixel_ap``, ``pixel_f1_max`` and ``pixel_aupro``.

        All are ``nan`` while there is no defective or no normal pixel.
        """
        ranking = self.ranking()
        results = {
            "pixel_auroc": ranking.auroc(),
            "pixel_ap": ranking.average_precision(),
            "pixel_f1_max": ranking.f1_max().f1,
            "pixel_aupro": overlap_area(ranking, self.fpr_limit),
        }
        if self.compatibility == "ader":
            results["pixel_f1_max_ader"] = _ader_f1_max_of_tables(
                self._normal.tables(), self._defective.tables()
            )
        return results

    def error_bounds(self) -> dict[str, float]:
        """For each key of `compute` the largest possible error; all 0 in exact mode."""
        ranking = self.ranking()
        result = {
            "pixel_auroc": bounds.auroc_bound(ranking),
            "pixel_ap": bounds.average_precision_bound(ranking),
            "pixel_f1_max": bounds.f1_max_bound(ranking),
            "pixel_aupro": bounds.overlap_bound(ranking, self.fpr_limit),
        }
        if self.compatibility == "ader":
            result["pixel_f1_max_ader"] = 0.0
        return result

    def f1_max(self) -> F1Max:
        """Pixel F1-max with its threshold (in histogram mode the lower end of a bin)."""
        return self.ranking().f1_max()

    def roc_curve(self, *, points: int = 500) -> Curve:
        """The pixel ROC curve, thinned for plotting; empty while one class is missing."""
        return ranking_roc_curve(self.ranking(), points=points)

    def pro_curve(self, *, points: int = 500) -> Curve:
        """The PRO curve over the full range, thinned; empty while one class is missing."""
        return pro_curve(self.ranking(), points=points)


def accumulate_pixels(
    maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any] | None], into: PixelAccumulator
) -> PixelAccumulator:
    """Adds all maps with their masks; an error names the position of the map."""
    if len(maps) != len(masks):
        raise DataError(
            f"There are {len(maps)} anomaly maps and {len(masks)} masks; expected one mask per "
            "map, None for a good image."
        )
    for position, (anomaly_map, mask) in enumerate(zip(maps, masks, strict=True)):
        try:
            into.add(anomaly_map, mask)
        except DataError as error:
            raise DataError(f"Map {position}: {error}") from error
    return into


def aupro(
    maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any] | None], *, fpr_limit: float = 0.3
) -> float:
    """Area under the per-region-overlap curve (AUPRO), exact.

    The mean over all connected components (8-connectivity, per image) of the fraction a threshold
    covers, against the false-positive rate over all normal pixels, integrated up to ``fpr_limit``
    and divided by it. P. Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.

    Args:
        maps: ``(H, W)`` each, sizes may differ.
        masks: ``(H, W)`` each, non-zero is defective; ``None`` for a good image.
        fpr_limit: In (0, 1].

    ``nan`` without a defective or without a normal pixel. NaN, differing shapes or a limit outside
    (0, 1] are a `DataError`.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import aupro
        >>> mask = np.array([[1, 1, 0, 0, 0, 1]], bool)  # components of 2 and 1 pixels
        >>> aupro([np.array([[5, 1, 3, 3, 0, 4]])], [mask], fpr_limit=1.0)
        0.8333333333333334
    """
    pixels = accumulate_pixels(maps, masks, PixelAccumulator(fpr_limit=fpr_limit))
    return overlap_area(pixels.ranking(), pixels.fpr_limit)


def ader_f1_max(maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any] | None]) -> float:
    """Pixel F1-max after ADer, over all pixels of a category.

    Args as in `aupro`; infinite values are a `DataError` too. ``nan`` without a defective or
    without a normal pixel, or if all are equal (scaling then divides by zero).

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import ader_f1_max
        >>> anomaly_map = np.array([[0.0, 0.50, 0.52, 1.0]], "f4")
        >>> anomaly_map[0, 1] = 0.51  # between the same two thresholds as the defect
        >>> round(ader_f1_max([anomaly_map], [np.array([[0, 0, 1, 1]])]), 6)
        0.8
    """
    pixels = accumulate_pixels(maps, masks, PixelAccumulator(compatibility="ader"))
    return pixels.compute()["pixel_f1_max_ader"]


def _ader_f1_max_of_tables(normal: list[ScoreTable], defective: list[ScoreTable]) -> float:
    """`ader_f1_max` of pixels already in order, in one table or more."""
    normals, defectives = (sum(t.total for t in tables) for tables in (normal, defective))
    if normals == 0 or defectives == 0:
        return NAN
    # Not all at a time: tables may lie on disk.
    reach = [(v[0], v[-1]) for t in (*normal, *defective) if t.total for v in (t.values,)]
    low = min(first for first, _ in reach)
    span = max(last for _, last in reach) - low
    if not np.isfinite(span):
        raise DataError(
            'The maps hold infinite pixels, which "ader" cannot scale to [0, 1]; expected finite '
            "ones. Leave the compatibility out: the exact F1-max allows infinities."
        )
    if span == 0:
        return NAN

    thresholds = np.arange(0.0, 1.0 + 1e-3, 0.05)  # 21 values

    def above(tables: list[ScoreTable]) -> NDArray[np.int64]:
        # Scaling keeps the order, so the sorted pixels are searched without scaling all of them,
        # and each is scaled in float32 exactly as the whole map would be.
        counts = np.zeros(len(thresholds), np.int64)
        for values in (t.values for t in tables):
            ends = [bisect_right(values, t, key=lambda v: (v - low) / span) for t in thresholds]
            counts += len(values) - np.array(ends)
        return counts

    best = 0.0
    for tp, fp in zip(above(defective), above(normal), strict=True):
        precision = tp / (tp + fp + _EPSILON)
        recall = tp / (defectives + _EPSILON)
        best = max(best, 2.0 * precision * recall / (precision + recall + _EPSILON))
    return float(best)
