"""The saturated per-region overlap (sPRO) of MVTec LOCO AD.

P. Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly
Detection and Localization", IJCV 2022, and its official evaluation: the unit is one ground-truth
PNG, the *channel*, which annotates one defect and is never split into connected components. Its
pixel value selects a rule of ``defects_config.json``. As the overlap counts fully once the
saturation area is found, only that many of a channel's highest scores matter, each worth one
over the saturation area; so AU-sPRO is the same sum as AUPRO over fewer pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import DataError


@dataclass(frozen=True)
class SaturationRule:
    """One entry of ``defects_config.json``.

    Attributes:
        defect_name: For messages.
        pixel_value: Value of the defect's pixels in its PNG, 1 to 255.
        saturation_threshold: A share in (0, 1] if ``relative``, else a number of pixels.
        relative: Whether the threshold is a share of the defect's area.

    Example:
        >>> from blemish.metrics import SaturationRule
        >>> SaturationRule("scratch", 255, 0.5, True).saturation_area(401)
        200
    """

    defect_name: str
    pixel_value: int
    saturation_threshold: float
    relative: bool

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
        try:
            rule = SaturationRule(
                str(entry["defect_name"]),
                int(entry["pixel_value"]),
                float(entry["saturation_threshold"]),
                bool(entry["relative_saturation"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"An entry of defects_config.json is {entry!r}; expected defect_name, pixel_value, "
                "saturation_threshold and relative_saturation. Take the file of the data set."
            ) from error
        most = 1.0 if rule.relative else float("inf")
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
    """The rule that a channel's pixel value selects.

    Args:
        channel: ``(H, W)`` integers, zero and exactly one other value.
        rules: By pixel value, from `parse_defects_config`.

    Raises:
        DataError: If the channel is empty, has several values, or one without a rule.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import SaturationRule
        >>> from blemish.metrics.saturation import channel_rule
        >>> rules = {7: SaturationRule("dent", 7, 0.5, True)}
        >>> channel_rule(np.array([[0, 7]], np.uint8), rules).defect_name
        'dent'
    """
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
    """A defect's ``area`` highest scores, each worth ``1 / area``.

    Args:
        values: ``(A,)`` scores of the defect's pixels.
        area: Saturation area, 1 to A.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.saturation import saturated_scores
        >>> scores, weights = saturated_scores(np.array([1, 9, 5], "f4"), 2)
        >>> sorted(scores.tolist()), weights.tolist()
        ([5.0, 9.0], [0.5, 0.5])
    """
    if area < len(values):
        values = np.partition(values, len(values) - area)[len(values) - area :].copy()
    return values, np.full(len(values), 1.0 / area)


def spro(prediction: NDArray[np.bool_], channel: NDArray[Any], rule: SaturationRule) -> float:
    """sPRO of one defect: ``min(|prediction ∩ defect| / saturation area, 1)``.

    Args:
        prediction: ``(H, W)`` bool, the pixels called defective.
        channel: ``(H, W)``, non-zero is the defect.
        rule: Its saturation rule.

    Raises:
        DataError: If the shapes differ or the channel is empty.

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
