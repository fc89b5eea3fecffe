"""Look-alike products: the limits of each that a picture may show judge, the strictest count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from blemish.calibration.limits import Calibration
from blemish.results import Branch, Verdict

_SEVERITY: dict[Verdict | None, int] = {None: 0, "ok": 1, "unsure": 2, "defect": 3}


class Findings(NamedTuple):
    """What limits say of a picture's scores; fields as in :class:`blemish.results.Prediction`."""

    p_value: float
    verdict: Verdict
    times_limit: float | None
    branches: dict[str, Branch]


def judged_as(
    calibration: Calibration, product: str | None, rival: str | None
) -> tuple[str | None, ...]:
    """The products whose limits judge a picture; a rival without limits of its own is none."""
    return (product, rival) if rival in calibration.products else (product,)


def strictest(
    calibration: Calibration,
    products: Sequence[str | None],
    score: float,
    branches: Mapping[str, float] | None = None,
) -> Findings:
    """The verdict of the strictest limits, under which fewest defects escape.

    Good pictures that may show either of two products are then called ``defect`` up to twice as
    often as the rate says: at most as often as by the one limit or by the other.

    Args:
        calibration: The limits.
        products: One product; several where the picture may show any of them.
        score: Raw anomaly score.
        branches: Raw scores of the method's branches, each judged by the strictest of its limits.

    Raises:
        CalibrationError: A score is not a finite number.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.strictest import strictest
        >>> left = [CalibrationRecord("left", s, s) for s in range(99)]
        >>> both = calibrate([*left, *(CalibrationRecord("right", 2 * s, s) for s in range(99))])
        >>> [strictest(both, (name,), 120.0).verdict for name in ("left", "right")]
        ['defect', 'ok']
        >>> strictest(both, ("right", "left"), 120.0).verdict
        'defect'
    """
    whole = [
        Branch(score, *calibration.judge(score, product), calibration.limits(product).times(score))
        for product in products
    ]
    each = [calibration.judge_branches(branches or {}, product) for product in products]
    worst = max(whole, key=_strictness)
    assert worst.p_value is not None and worst.verdict is not None  # noqa: PT018
    return Findings(
        worst.p_value,
        worst.verdict,
        worst.times_limit,
        {name: max((judged[name] for judged in each), key=_strictness) for name in each[0]},
    )


def withheld(findings: Findings) -> Findings:
    """The same with every verdict ``unsure``: of a picture for which the limits were not made."""
    unsure = {
        name: branch if branch.verdict is None else replace(branch, verdict="unsure")
        for name, branch in findings.branches.items()
    }
    return findings._replace(verdict="unsure", branches=unsure)


def _strictness(judged: Branch) -> tuple[int, float, float]:
    p_value = 1.0 if judged.p_value is None else judged.p_value
    times = float("-inf") if judged.times_limit is None else judged.times_limit
    return _SEVERITY[judged.verdict], -p_value, times
