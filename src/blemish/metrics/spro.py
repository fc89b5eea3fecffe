"""Saturated per-region overlap (sPRO), and MVTec LOCO AD's split of anomalies.

P. Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly
Detection and Localization", IJCV 2022, and its official evaluation: the unit is one ground-truth
PNG, the *channel*, which annotates one defect and is never split into connected components. Its
pixel value selects a rule of ``defects_config.json``. As the overlap counts fully once the
saturation area is found, only that many of a channel's highest scores matter, each worth one
over the saturation area; so AU-sPRO is the same sum as AUPRO over fewer pixels.

Logical and structural anomalies are measured each against the good images. The headline of the
data set is the *mean* of the two, half their sum. The metric over both kinds pooled is another
number, weighted by how many images each has, and is reported as ``pooled``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.errors import DataError
from blemish.metrics.bounds import overlap_bound
from blemish.metrics.inputs import check_fpr_limit, check_same_shape, map_values
from blemish.metrics.overlap import overlap_area
from blemish.metrics.ranking import Ranked, auroc
from blemish.metrics.score_store import DEFAULT_BINS, Mode, score_store
from blemish.metrics.stored_ranking import ranking_of

LocoKind = Literal["good", "logical_anomalies", "structural_anomalies"]
LOCO_KINDS = ("good", "logical_anomalies", "structural_anomalies")
SPRO_FPR_LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)

_SPLITS = {
    "logical": ("logical_anomalies",),
    "structural": ("structural_anomalies",),
    "pooled": ("logical_anomalies", "structural_anomalies"),
}


@dataclass(frozen=True)
class SaturationRule:
    """One entry of ``defects_config.json``.

    Example:
        >>> from blemish.metrics import SaturationRule
        >>> SaturationRule("scratch", 255, 0.5, True).saturation_area(401)
        200
    """

    defect_name: str  # for messages
    pixel_value: int  # of the defect's pixels in its PNG, 1 to 255
    saturation_threshold: float  # a share in (0, 1] of the defect's area, or a number of pixels
    relative: bool  # which of the two

    def saturation_area(self, area: int) -> int:
        """Pixels that count as the whole defect: ``int(t·A)`` if relative, else ``min(t, A)``.

        At least 1, because a defect of which no pixel is needed cannot be measured.
        """
        if self.relative:
            return max(int(self.saturation_threshold * area), 1)
        return max(min(int(self.saturation_threshold), area), 1)


def parse_defects_config(entries: Sequence[Mapping[str, Any]]) -> dict[int, SaturationRule]:
    """The rules of a parsed ``defects_config.json``, by pixel value.

    Raises:
        DataError: If an entry lacks a field or holds an impossible value, or two entries share a
            pixel value.

    Example:
        >>> from blemish.metrics import parse_defects_config
        >>> parse_defects_config([{"defect_name": "missing_pin", "pixel_value": 255,
        ...     "saturation_threshold": 2000, "relative_saturation": False}])[255].relative
        False
    """
    rules: dict[int, SaturationRule] = {}
    for entry in entries:
        names = ("defect_name", "pixel_value", "saturation_threshold", "relative_saturation")
        fields: Any = entry if isinstance(entry, Mapping) else {}
        values = [fields.get(name) for name in names]
        allowed = ((str,), (int,), (int, float), (bool,))
        if any(type(value) not in types for value, types in zip(values, allowed, strict=True)):
            raise DataError(
                f"An entry of defects_config.json is {entry!r}; expected defect_name (text), "
                "pixel_value (a whole number), saturation_threshold (a number) and "
                "relative_saturation (true or false). Take the file of the data set."
            )
        rule = SaturationRule(*values)
        most = 1.0 if rule.relative else sys.float_info.max
        if not (1 <= rule.pixel_value <= 255 and 0.0 < rule.saturation_threshold <= most):
            raise DataError(
                f"The defect {rule.defect_name!r} has pixel value {rule.pixel_value} and "
                f"saturation {rule.saturation_threshold}; expected a value of 1 to 255, and a "
                "share in (0, 1] (relative) or a positive number of pixels (absolute)."
            )
        if rule.pixel_value in rules:
            raise DataError(
                f"The defects {rules[rule.pixel_value].defect_name!r} and {rule.defect_name!r} "
                f"share the pixel value {rule.pixel_value}; expected distinct values."
            )
        rules[rule.pixel_value] = rule
    return rules


def channel_rule(channel: NDArray[Any], rules: Mapping[int, SaturationRule]) -> SaturationRule:
    """The rule that a channel's pixel value selects; `DataError` if there is not exactly one."""
    values = np.unique(channel[channel != 0])
    if len(values) != 1:
        raise DataError(
            f"A ground-truth channel holds the defect values {values[:5].tolist()}; expected "
            "exactly one value besides zero. Pass one PNG per defect, unscaled and unblended."
        )
    value = int(values[0])
    if value not in rules:
        raise DataError(
            f"A ground-truth channel has the pixel value {value}; defects_config.json knows "
            f"{sorted(rules)}. Check that both belong to the same category."
        )
    return rules[value]


def saturated_scores(
    values: NDArray[np.float32], area: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A defect's ``area`` highest scores, each worth ``1 / area``."""
    if area < len(values):
        values = np.partition(values, len(values) - area)[len(values) - area :].copy()
    return values, np.full(len(values), 1.0 / area)


def spro(prediction: NDArray[np.bool_], channel: NDArray[Any], rule: SaturationRule) -> float:
    """sPRO of one defect: ``min(|prediction ∩ defect| / saturation area, 1)``.

    The prediction is ``(H, W)`` bool, the channel ``(H, W)``, non-zero where the defect is; an
    empty channel or another shape is a `DataError`.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import SaturationRule, spro
        >>> found = np.array([[True, False, False, False]])
        >>> spro(found, np.full((1, 4), 255), SaturationRule("dent", 255, 0.5, True))
        0.5
    """
    if prediction.shape != channel.shape or not channel.any():
        raise DataError(
            f"The prediction has shape {prediction.shape}, the channel {channel.shape} with "
            f"{int(np.count_nonzero(channel))} defective pixels; expected equal shapes and a "
            "defect."
        )
    defect = channel != 0
    found = int(np.count_nonzero(prediction & defect))
    return min(found / rule.saturation_area(int(np.count_nonzero(defect))), 1.0)


def _check_kind(kind: str) -> None:
    if kind not in LOCO_KINDS:
        raise DataError(
            f"The kind of an image is {kind!r}; expected one of {', '.join(LOCO_KINDS)}, the "
            "names of MVTec LOCO's test folders."
        )


def _with_mean(by_split: dict[str, float]) -> dict[str, float]:
    return {
        "logical": by_split["logical"],
        "structural": by_split["structural"],
        "mean": (by_split["logical"] + by_split["structural"]) / 2.0,
        "pooled": by_split["pooled"],
    }


def loco_image_auroc(scores: ArrayLike, kinds: Sequence[str]) -> dict[str, float]:
    """Image AUROC of good against each kind of anomaly, their mean, and both kinds pooled.

    Scores are ``(N,)``, kinds of `LOCO_KINDS`, the names of the test folders. ``nan`` where a kind
    or the good images are missing; NaN, an unknown kind or different lengths are a `DataError`.

    Example:
        >>> from blemish.metrics import loco_image_auroc
        >>> loco_image_auroc([1, 2, 0, 3], ["good", "good", "logical_anomalies",
        ...                                 "structural_anomalies"])
        {'logical': 0.0, 'structural': 1.0, 'mean': 0.5, 'pooled': 0.5}
    """
    for kind in kinds:
        _check_kind(kind)
    values, names = np.asarray(scores, dtype=np.float64), np.asarray(kinds, dtype=np.str_)
    if values.shape != names.shape:
        raise DataError(
            f"There are scores of shape {values.shape} and kinds of shape {names.shape}; expected "
            "one kind per score."
        )
    result: dict[str, float] = {}
    for split, members in _SPLITS.items():
        use = np.isin(names, ("good", *members))  # (N,)
        result[split] = auroc(values[use], names[use] != "good")
    return _with_mean(result)


class SproAccumulator:
    """AU-sPRO of a stream of maps of one MVTec LOCO category.

    Args:
        rules: By pixel value, from `parse_defects_config`.
        mode: ``exact`` keeps 4 bytes per normal pixel and 12 per pixel of a saturation area, many
            of them in a temporary file; ``histogram`` keeps at most ``max_bins`` bins for each of
            five sets of pixels.
        max_bins: Histogram mode only.

    Raises:
        ConfigError: On an unknown mode.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import SaturationRule, SproAccumulator
        >>> spro = SproAccumulator({255: SaturationRule("dent", 255, 0.5, True)})
        >>> channel = np.array([[0, 0, 255, 255]], np.uint8)
        >>> spro.add(np.array([[0, 1, 0.5, 2]], "f4"), [channel], "structural_anomalies")
        >>> spro.add(np.zeros((1, 4), "f4"), [], "good")
        >>> spro.compute()[0.05]["structural"]
        1.0
    """

    def __init__(
        self,
        rules: Mapping[int, SaturationRule],
        mode: Mode = "exact",
        *,
        max_bins: int = DEFAULT_BINS,
    ) -> None:
        self._rules = dict(rules)
        self._normal = {kind: score_store(mode, max_bins=max_bins) for kind in LOCO_KINDS}
        self._defects = {kind: score_store(mode, max_bins=max_bins) for kind in LOCO_KINDS[1:]}
        self._rankings: dict[str, Ranked] | None = None

    def add(
        self,
        anomaly_map: NDArray[Any],
        channels: Sequence[NDArray[Any]],
        kind: LocoKind,
        *,
        roi: NDArray[np.bool_] | None = None,
    ) -> None:
        """Takes one image, of the kind that its test folder is named after.

        Its channels are ``(H, W)`` integers as its map, one per ground-truth PNG with its values
        unchanged; none for a good image. A pixel is normal if no channel marks it. Outside ``roi``
        ``(H, W)`` pixels are neither, and a defect is what of it lies inside.

        Raises:
            DataError: On NaN, an unknown kind, channels for a good image or none for an anomalous
                one, differing shapes, or a pixel value without a rule. Nothing is taken then.
        """
        _check_kind(kind)
        if (kind == "good") != (len(channels) == 0):
            raise DataError(
                f"An image of kind {kind!r} has {len(channels)} ground-truth channels; expected "
                "none for good and at least one for anomalous images."
            )
        values = map_values(anomaly_map)  # (H, W)
        if roi is not None:
            check_same_shape(values, roi, what="the region of interest")
        inside = True if roi is None else roi
        if kind == "good":
            self._normal[kind].add(values[inside].ravel())
        else:
            defective = np.zeros(values.shape, np.bool_)  # (H, W), the union of the channels
            entries = []
            for position, channel in enumerate(channels):
                array = np.asarray(channel)
                check_same_shape(values, array, what=f"ground-truth channel {position}")
                rule, defect = channel_rule(array, self._rules), (array != 0) & inside
                if not defect.any():
                    continue
                area = rule.saturation_area(int(np.count_nonzero(defect)))
                entries.append(saturated_scores(values[defect], area))
                defective |= defect
            for scores, weights in entries:
                self._defects[kind].add(scores, weights)
            self._normal[kind].add(values[inside & ~defective])
        self._rankings = None

    def rankings(self) -> dict[str, Ranked]:
        """The ordered counts for ``logical``, ``structural`` and ``pooled``, e.g. for curves."""
        if self._rankings is None:
            normal = {kind: store.tables() for kind, store in self._normal.items()}
            defects = {kind: store.tables() for kind, store in self._defects.items()}
            self._rankings = {
                split: ranking_of(
                    [table for kind in ("good", *kinds) for table in normal[kind]],
                    [table for kind in kinds for table in defects[kind]],
                )
                for split, kinds in _SPLITS.items()
            }
        return self._rankings

    def let_go(self) -> None:
        """Free memory and disk of the ordered counts; who asks again waits for them again."""
        self._rankings = None

    def compute(self, limits: Sequence[float] = SPRO_FPR_LIMITS) -> dict[float, dict[str, float]]:
        """AU-sPRO by limit, each with ``logical``, ``structural``, ``mean`` and ``pooled``.

        Limits are false-positive rates in (0, 1]; 0.05 is the data set's headline.
        """
        return self._by_limit(limits, overlap_area)

    def error_bounds(
        self, limits: Sequence[float] = SPRO_FPR_LIMITS
    ) -> dict[float, dict[str, float]]:
        """For each value of `compute` the largest possible error; all 0 in exact mode."""
        return self._by_limit(limits, overlap_bound)

    def _by_limit(
        self, limits: Sequence[float], measure: Callable[[Ranked, float], float]
    ) -> dict[float, dict[str, float]]:
        return {
            check_fpr_limit(limit): _with_mean(
                {split: measure(r, limit) for split, r in self.rankings().items()}
            )
            for limit in limits
        }
