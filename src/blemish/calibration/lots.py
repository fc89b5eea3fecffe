"""Lots: which of many parts are called defective, by Benjamini and Hochberg's rule.

It is for conformal p-values, each the probability that a good picture looks as odd.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blemish.errors import ConfigError


def false_discoveries(p_values: Sequence[float], rate: float) -> NDArray[np.bool_]:
    """Which of many are called defective so that at most ``rate`` of those called are good.

    Benjamini and Hochberg's rule, which keeps the false discovery rate, in the mean over lots, also
    for conformal p-values that share their good images (Bates et al., *Testing for outliers with
    conformal p-values*, Annals of Statistics 2023).

    Args:
        p_values: ``(n,)``, of pictures or parts.
        rate: Share of good ones among those called, in (0, 1).

    Returns:
        ``(n,)`` bool.

    Raises:
        ConfigError: A rate outside (0, 1), or a p-value outside (0, 1].

    Example:
        >>> from blemish.calibration.lots import false_discoveries
        >>> false_discoveries([0.01, 0.02, 0.03, 0.5, 0.9], 0.1).tolist()
        [True, True, True, False, False]
    """
    if not 0 < rate < 1:
        raise ConfigError(f"{rate} is no false discovery rate. Expected one between 0 and 1.")
    values = np.asarray(p_values, np.float64)
    if not ((values > 0) & (values <= 1)).all():
        raise ConfigError("A p-value lies outside of (0, 1].")
    ordered = np.sort(values)
    bound = rate * np.arange(1, len(values) + 1) / max(1, len(values))
    passed = np.flatnonzero(ordered <= bound + 1e-12)
    return values <= (ordered[passed[-1]] if passed.size else -1.0)
