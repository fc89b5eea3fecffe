"""Simulation: limits for 1 % from 8 to 98 good scores, and the rate at which good ones exceed them.

    python benchmarks/simulate_tail.py RESULT [--draws 2000]

Scores are drawn from distributions whose tail is known, so that the realised rate of each limit is
exact. Compared: the largest score, which is what is guaranteed; the exponential tail of
``blemish.calibration.tail``; the same with the mean put in as if it were known; a generalised
Pareto tail by probability-weighted moments (Hosking & Wallis 1987) and by maximum likelihood
(SciPy). None is put below the largest score. RESULT is JSON: per method, number of scores and
distribution the mean, median and 90 % point of the realised rate in percent.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from scipy import stats

from blemish.benchmark.result_file import write_result
from blemish.calibration.tail import estimated_limit

RATE = 0.01
COUNTS = (8, 15, 25, 40, 60, 98)
DISTRIBUTIONS = {
    "uniform": stats.uniform(),
    "normal": stats.norm(),
    "Weibull, shape 2": stats.weibull_min(2),
    "gamma, shape 2": stats.gamma(2),
    "exponential": stats.expon(),
    "Gumbel": stats.gumbel_r(),
    "lognormal, 0.5": stats.lognorm(0.5),
    "lognormal, 1": stats.lognorm(1),
    "t, 5": stats.t(5),
    "t, 3": stats.t(3),
}
#: Fits by maximum likelihood are slow.
FEWER = 10


def excesses(scores: np.ndarray, k: int) -> tuple[float, np.ndarray, float]:
    """Threshold, excesses over it ``(k,)``, and the share of those above it beyond the limit."""
    threshold = float(scores[-k - 1])
    return threshold, scores[-k:] - threshold, RATE * (len(scores) + 1) / (k + 1)


def plug_in(scores: np.ndarray) -> float:
    threshold, over, share = excesses(scores, max(3, math.isqrt(len(scores))))
    return threshold + over.mean() * math.log(1 / share)


def pareto(threshold: float, shape: float, scale: float, share: float) -> float:
    if abs(shape) < 1e-6:
        return threshold + scale * math.log(1 / share)
    return threshold + scale / shape * (share**-shape - 1)


def by_moments(scores: np.ndarray) -> float:
    threshold, over, share = excesses(scores, len(scores) // 2)
    weights = 1 - (np.arange(1, len(over) + 1) - 0.35) / len(over)
    first, second = over.mean(), (over * weights).mean()
    shape = min(max(2 - first / max(first - 2 * second, 1e-12), -0.5), 0.5)
    return pareto(threshold, shape, first * (1 - shape), share)


def by_likelihood(scores: np.ndarray) -> float:
    threshold, over, share = excesses(scores, len(scores) // 2)
    shape, _, scale = stats.genpareto.fit(over, floc=0)
    return pareto(threshold, min(shape, 1.0), scale, share)


METHODS = {
    "largest": lambda scores: float(scores[-1]),
    "exponential": lambda scores: estimated_limit(scores.tolist(), RATE),
    "exponential, mean put in": plug_in,
    "Pareto, moments": by_moments,
    "Pareto, likelihood": by_likelihood,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    found: dict[str, dict[int, dict[str, list[float]]]] = {name: {} for name in METHODS}
    for n in COUNTS:
        for kind, distribution in DISTRIBUTIONS.items():
            draws = np.sort(distribution.rvs((options.draws, n), random_state=rng), axis=1)
            for name, method in METHODS.items():
                some = draws[:: FEWER if name == "Pareto, likelihood" else 1]
                limits = np.array([max(method(scores), scores[-1]) for scores in some])
                rates = 100 * distribution.sf(limits)
                found[name].setdefault(n, {})[kind] = [
                    round(float(value), 3)
                    for value in (rates.mean(), np.median(rates), np.quantile(rates, 0.9))
                ]
        print(f"n = {n}")
        for name, by_count in found.items():
            means = [value[0] for value in by_count[n].values()]
            worst = max(value[2] for value in by_count[n].values())
            print(
                f"  {name:25} mean over distributions {np.mean(means):5.2f} %, "
                f"{min(means):.2f} – {max(means):.2f}; worst 90 % point {worst:.1f} %"
            )
    content = {"rate": RATE, "draws": options.draws, "percent": found}
    write_result(options.result, content)


if __name__ == "__main__":
    main()
