"""Simulation: the limit between two ranks beside the k-th largest good score, by realised rate.

    python benchmarks/simulate_limits.py RESULT [--draws 20000]

Good scores are drawn from distributions whose tail is known, so that the realised rate of each
limit is exact: ten with one peak, from uniform to heavy-tailed, and three of which a small share of
good parts lies apart, under another light say, which have a second one. Compared: the k-th largest
of n, k = floor(rate (n + 1)), and ``blemish.calibration.conformal.limit_at``. RESULT is JSON: per
rate and n the mean realised rate of either in percent, by distribution.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from simulate_tail import DISTRIBUTIONS

from blemish.benchmark.result_file import write_result
from blemish.calibration.conformal import limit_at, limit_rank

RATES = (0.01, 0.05)
COUNTS = (24, 30, 60, 110, 150, 180, 267, 500)
#: Share of good parts that lie apart by twenty deviations.
APART = (0.01, 0.03, 0.06)


def drawn(kind: str, draws: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Good scores, ascending. (draws, n)"""
    if kind in DISTRIBUTIONS:
        return np.sort(DISTRIBUTIONS[kind].rvs((draws, n), random_state=rng), axis=1)
    share = float(kind.split()[0]) / 100
    apart = rng.random((draws, n)) < share
    return np.sort(rng.normal(size=(draws, n)) + 20.0 * apart, axis=1)


def above(kind: str, limits: np.ndarray) -> np.ndarray:
    """Share of good parts above each limit."""
    if kind in DISTRIBUTIONS:
        return np.asarray(DISTRIBUTIONS[kind].sf(limits))
    share, normal = float(kind.split()[0]) / 100, DISTRIBUTIONS["normal"]
    return np.asarray((1 - share) * normal.sf(limits) + share * normal.sf(limits - 20.0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--draws", type=int, default=20_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    kinds = [*DISTRIBUTIONS, *(f"{100 * share:g} % apart" for share in APART)]
    found: dict[str, dict[int, dict[str, list[float]]]] = {}
    for rate in RATES:
        for n in COUNTS:
            k = max(limit_rank(rate, n), 1)
            row = found.setdefault(f"{rate:g}", {}).setdefault(n, {})
            for kind in kinds:
                scores = drawn(kind, options.draws, n, rng)
                between = np.array([limit_at(rate, good) for good in scores])
                row[kind] = [
                    round(100 * float(above(kind, limits).mean()), 3)
                    for limits in (scores[:, -k], between)
                ]
            one = np.array([row[kind] for kind in DISTRIBUTIONS])
            two = np.array([row[kind] for kind in kinds[len(DISTRIBUTIONS) :]])
            print(
                f"{100 * rate:g} % of {n}: whole rank {one[:, 0].mean():.2f}, between ranks "
                f"{one[:, 1].mean():.2f} ({one[:, 1].min():.2f} – {one[:, 1].max():.2f}); parts "
                f"apart: {two[:, 0].max():.2f}, {two[:, 1].max():.2f} at worst"
            )
    write_result(options.result, {"draws": options.draws, "percent": found})


if __name__ == "__main__":
    main()
