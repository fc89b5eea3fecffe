"""Confidence intervals: of the AUROC, and of a share."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from numpy.typing import ArrayLike

from blemish.errors import ConfigError, DataError, MissingExtraError
from blemish.metrics.ranking import NAN, Ranking


class Interval(NamedTuple):
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


def auroc_interval(scores: ArrayLike, labels: ArrayLike, *, level: float = 0.95) -> Interval:
    """The AUROC with an approximate two-sided confidence interval (Newcombe's method 5).

    The limits are the two values t of the true area for which the estimate lies z standard errors
    away, where the variance at t is Hanley and McNeil's with both class sizes replaced by their
    mean::

        V(t) = t (1 - t) (1 + c (1 - t) / (2 - t) + c t / (1 + t)) / (m n),   c = (m + n) / 2 - 1

    Unlike DeLong's interval it does not shrink to a point when all defective images score above
    all good ones, which small test sets of inspection often show. It treats images as independent;
    it is meant for images and not for pixels, which are not.

    R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2: asymptotic methods and evaluation", Statistics in Medicine 25, 2006.

    Args and errors as in `auroc`, and a `ConfigError` if the level is not in (0, 1). All ``nan``
    if one class is missing.

    Example:
        >>> from blemish.metrics import auroc_interval
        >>> estimate, low, high = auroc_interval(range(20), [0] * 10 + [1] * 10)
        >>> estimate, round(low, 2), high
        (1.0, 0.8, 1.0)
    """
    _check_level(level)
    ranking = Ranking.from_scores(scores, labels)
    if ranking.one_class_only:
        return Interval(NAN, NAN, NAN)
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    m, n = ranking.positives, ranking.negatives
    c = (m + n) / 2.0 - 1.0
    estimate = ranking.auroc()

    def outside(t: float) -> bool:
        factor = 1.0 + c * (1.0 - t) / (2.0 - t) + c * t / (1.0 + t)
        return abs(estimate - t) > z * sqrt(t * (1.0 - t) * factor / (m * n))

    low = 0.0 if estimate == 0.0 else _border(outside, 0.0, estimate)
    high = 1.0 if estimate == 1.0 else _border(outside, 1.0, estimate)
    return Interval(estimate, low, high)


def _border(outside: Callable[[float], bool], far: float, near: float) -> float:
    """Bisects between a value outside the interval and one inside to the last bit that matters."""
    for _ in range(60):
        middle = (far + near) / 2.0
        if outside(middle):
            far = middle
        else:
            near = middle
    return near


def binomial_interval(count: int, total: int, *, level: float = 0.95) -> Interval:
    """The share ``count / total`` with its Clopper-Pearson interval.

    The limits are the shares at which so many, or so few, would turn up with a probability of
    only (1 - level) / 2. The interval covers the true share with at least the stated probability
    for every total, small ones included, if the images are independent.

    C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26, 1934.

    All ``nan`` if the total is 0.

    Raises:
        ConfigError: If the level is not in (0, 1).
        DataError: If the count is negative or above the total.
        MissingExtraError: If SciPy is not installed.

    Example:
        >>> from blemish.metrics import binomial_interval
        >>> estimate, low, high = binomial_interval(0, 20)
        >>> estimate, low, round(high, 3)
        (0.0, 0.0, 0.168)
    """
    _check_level(level)
    if not 0 <= count <= total:
        raise DataError(f"A share of {count} in {total} was asked for; expected 0 to {total}.")
    if total == 0:
        return Interval(NAN, NAN, NAN)
    try:
        from scipy.special import betaincinv  # not in the base package
    except ModuleNotFoundError as error:
        raise MissingExtraError("The interval of a share", "train") from error

    tail = (1.0 - level) / 2.0
    low = betaincinv(count, total - count + 1, tail) if count else 0.0
    high = betaincinv(count + 1, total - count, 1.0 - tail) if count < total else 1.0
    return Interval(count / total, float(low), float(high))


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ConfigError(f"The confidence level is {level}; expected one in (0, 1), such as 0.95.")
