"""Coverage as a statistic: false alarms on new good parts, counted over many calibrations.

Each trial draws good scores, calibrates, and judges one new good part. The number of alarms is
binomial; by the promise its probability is at most α, and at least ⌊α(n + 1)⌋ / (n + 1), where no
scores are equal and their density falls; where they are equal at most (⌊α(n + 1)⌋ + 1) / (n + 1).
A test rejects with a probability of 1e-4 where the promise holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from blemish.calibration import CalibrationRecord, calibrate

DOUBT = 1e-4
Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, Draw] = {
    "skewed": lambda rng, n: rng.lognormal(sigma=1.5, size=n),
    "ties": lambda rng, n: rng.poisson(2.0, size=n).astype(float),
}


def check(alarms: int, trials: int, rate: float, n: int, *, ties: bool = False) -> None:
    """Of too few parts the largest score is the limit, as a note on the calibration says."""
    whole = math.floor(rate * (n + 1) + 1e-9)
    least = max(1, whole) / (n + 1)
    assert alarms <= binom.ppf(1 - DOUBT, trials, max(least, rate))
    assert ties or alarms >= binom.ppf(DOUBT, trials, least)


def alarms(groups: list[np.ndarray], product: int | None, new: float, rate: float) -> bool:
    """Whether a new part of a product, ``None`` of one that nobody knows, is called defective."""
    records = [
        CalibrationRecord(None if len(groups) == 1 else f"part {k}", score, score)
        for k, scores in enumerate(groups)
        for score in scores.tolist()
    ]
    made = calibrate(records, false_alarm_rate=rate)
    name = None if len(groups) == 1 else ("new" if product is None else f"part {product}")
    limit = made.limits(name).defect
    return limit is not None and new > limit


@pytest.mark.parametrize(
    ("n", "rate", "trials"),
    [
        (1, 0.5, 2000),
        (2, 0.4, 2000),
        (5, 0.05, 500),
        (19, 0.05, 2000),
        (100, 0.1, 600),
        pytest.param(1000, 0.1, 120, marks=pytest.mark.slow),  # 100 are as exact
    ],
)
@pytest.mark.parametrize("name", DRAWS)
def test_limits_from_parts_left_out_of_the_training(
    name: str, n: int, rate: float, trials: int
) -> None:
    rng, draw = np.random.default_rng(n), DRAWS[name]
    found = sum(alarms([draw(rng, n)], None, draw(rng, 1)[0], rate) for _ in range(trials))
    if name == "ties" and rate * (n + 1) > 1:
        rate = math.ceil(rate * (n + 1) - 1e-9) / (n + 1)
    check(found, trials, rate, n, ties=name == "ties")


@pytest.mark.parametrize("product", [0, 1])
def test_limits_per_product(product: int) -> None:
    """Products of other scores and other numbers of parts: each has its own promise."""
    rng, trials, sizes = np.random.default_rng(product), 1500, (9, 30)
    found = 0
    for _ in range(trials):
        groups = [rng.normal(10.0 * k, 1.0 + k, size) for k, size in enumerate(sizes)]
        found += alarms(groups, product, rng.normal(10.0 * product, 1.0 + product), 0.2)
    check(found, trials, 0.2, sizes[product])


def test_pooled_limits_for_a_part_of_any_of_the_products() -> None:
    """An unknown name is judged by all scores, of parts that come as those did."""
    rng, trials, n = np.random.default_rng(5), 1500, 39
    found = 0
    for _ in range(trials):
        of = rng.integers(0, 2, n + 1)
        scores = rng.normal(3.0 * of, 1.0)
        groups = [scores[:-1][of[:-1] == k] for k in range(2)]
        found += alarms(groups, None, scores[-1], 0.1)
    check(found, trials, 0.1, n)
