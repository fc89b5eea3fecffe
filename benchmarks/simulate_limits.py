"""Simulation: the limit between two ranks beside the k-th largest good score, by realised rate.

    python benchmarks/simulate_limits.py RESULT [--draws 20000]

Good scores are drawn from distributions whose tail is known, so that the realised rate of each
limit is exact: ten with one peak, from uniform to heavy-tailed; nine of which a share of good
parts lies apart, under another light say, which have a second one; and two that pile up at an upper
end, as scores that saturate do. Compared: the k-th largest of n, k = floor(rate (n + 1)), and
``blemish.calibration.conformal.limit_at``. RESULT is JSON: per rate and n the mean realised rate of
either in percent, by distribution, and the largest standard error of these means.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats
from simulate_tail import DISTRIBUTIONS

from blemish.benchmark.result_file import write_result
from blemish.calibration.conformal import limit_at, limit_rank

RATES = (0.01, 0.05)
COUNTS = (24, 30, 60, 110, 150, 180, 267, 500)
#: Share of good parts that lie apart by twenty deviations.
APART = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15)
PILED = {"beta 5, 0.2": stats.beta(5, 0.2), "beta 1, 0.1": stats.beta(1, 0.1)}


class Apart(NamedTuple):
    """Normal scores, of which a share lies apart; drawn and asked as SciPy's distributions are."""

    share: float
    by: float = 20.0

    def rvs(self, size: tuple[int, int], random_state: np.random.Generator) -> np.ndarray:
        apart = random_state.random(size) < self.share
        return random_state.normal(size=size) + self.by * apart

    def sf(self, limits: np.ndarray) -> np.ndarray:
        normal = stats.norm()
        return (1 - self.share) * normal.sf(limits) + self.share * normal.sf(limits - self.by)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--draws", type=int, default=20_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    apart_by = {f"{100 * share:g} % apart": Apart(share) for share in APART}
    known = {**DISTRIBUTIONS, **apart_by, **PILED}
    groups = [[*DISTRIBUTIONS], [*apart_by], [*PILED]]
    found: dict[str, dict[int, dict[str, list[float]]]] = {}
    errors = []
    for rate in RATES:
        for n in COUNTS:
            k = max(limit_rank(rate, n), 1)
            row = found.setdefault(f"{rate:g}", {}).setdefault(n, {})
            for kind, distribution in known.items():
                scores = np.sort(distribution.rvs((options.draws, n), random_state=rng), axis=1)
                between = np.array([limit_at(rate, good) for good in scores])
                rates = [100 * distribution.sf(limits) for limits in (scores[:, -k], between)]
                errors.append(max(float(r.std()) for r in rates) / options.draws**0.5)
                row[kind] = [round(float(r.mean()), 3) for r in rates]
            one, apart, piled = (np.array([row[kind] for kind in group]) for group in groups)
            print(
                f"{100 * rate:g} % of {n}: whole rank {one[:, 0].mean():.2f}, between ranks "
                f"{one[:, 1].mean():.2f} ({one[:, 1].min():.2f} – {one[:, 1].max():.2f}); at worst "
                f"{apart[:, 1].max():.2f} with parts apart, {piled[:, 1].max():.2f} piled up"
            )
    content = {"draws": options.draws, "groups": groups, "percent": found}
    write_result(options.result, {**content, "largest_standard_error": round(max(errors), 4)})


if __name__ == "__main__":
    main()
