"""An exact confidence interval for a share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.errors import ConfigError, DataError
from blemish.metrics.interval import Interval
from blemish.metrics.ranking import NAN


def binomial_interval(count: int, total: int, *, level: float = 0.95) -> Interval:
    """The share ``count / total`` with its Clopper-Pearson interval.

    The limits are the shares at which so many, or so few, would turn up with a probability of
    only (1 - level) / 2. The interval covers the true share with at least the stated probability
    for every total, small ones included, if the images are independent.

    C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26, 1934.

    Args:
        count: How many of them.
        total: Of how many.
        level: Confidence level in (0, 1).

    Returns:
        Estimate and limits, all ``nan`` if the total is 0.

    Raises:
        ConfigError: If the level is not in (0, 1).
        DataError: If the count is negative or above the total.

    Example:
        >>> from blemish.metrics.binomial import binomial_interval
        >>> estimate, low, high = binomial_interval(0, 20)
        >>> estimate, low, round(high, 3)
        (0.0, 0.0, 0.168)
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"The confidence level is {level}; expected one in (0, 1), such as 0.95.")
    if not 0 <= count <= total:
        raise DataError(f"A share of {count} in {total} was asked for; expected 0 to {total}.")
    if total == 0:
        return Interval(NAN, NAN, NAN)
    tail = (1.0 - level) / 2.0
    ways = log_binomials(total)
    low = 0.0 if count == 0 else _crossing(ways, count, tail)
    # So few successes are so many failures.
    high = 1.0 if count == total else 1.0 - _crossing(ways, total - count, tail)
    return Interval(count / total, low, high)


def log_factorials(n: int) -> NDArray[np.float64]:
    """ln 0!, ln 1!, … ln n!: ``(n + 1,)``.

    Example:
        >>> from blemish.metrics.binomial import log_factorials
        >>> log_factorials(2).round(3).tolist()
        [0.0, 0.0, 0.693]
    """
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))))


def log_binomials(n: int) -> NDArray[np.float64]:
    """The logarithm of n over i for i = 0 … n: ``(n + 1,)``.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.binomial import log_binomials
        >>> np.exp(log_binomials(3)).round().tolist()
        [1.0, 3.0, 3.0, 1.0]
    """
    factorials = log_factorials(n)
    return factorials[n] - factorials - factorials[::-1]


def _crossing(log_ways: NDArray[np.float64], count: int, tail: float) -> float:
    """The share p at which P(X >= count) = tail; the probability rises with p."""
    n = len(log_ways) - 1
    i = np.arange(count, n + 1)
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2.0
        probability = np.exp(log_ways[count:] + i * np.log(p) + (n - i) * np.log1p(-p)).sum()
        if probability < tail:
            low = p
        else:
            high = p
    return (low + high) / 2.0
