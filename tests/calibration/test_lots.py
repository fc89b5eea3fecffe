"""Lots: the rule against simulation and step by step."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.calibration.conformal import p_value
from blemish.calibration.lots import false_discoveries
from blemish.errors import ConfigError


def test_the_false_discovery_rate_is_kept_with_shared_good_images() -> None:
    rng = np.random.default_rng(1)
    shares, found = [], []
    for _ in range(300):
        good = tuple(np.sort(rng.normal(size=200)))
        scores = np.concatenate([rng.normal(size=80), rng.normal(3.5, size=20)])
        called = false_discoveries([p_value(s, good) for s in scores], 0.2)
        shares.append(called[:80].sum() / max(1, called.sum()))
        found.append(called[80:].mean())
    assert np.mean(shares) < 0.2  # promised is 0.2 times the share of good parts
    assert np.mean(found) > 0.5  # and it is no rule that calls nothing


def test_it_is_benjamini_and_hochberg_step_by_step() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        p = rng.choice(np.arange(1, 21) / 20, size=12)
        ordered = np.sort(p)
        best = max([k for k in range(1, 13) if ordered[k - 1] <= 0.3 * k / 12 + 1e-12], default=0)
        expected = p <= (ordered[best - 1] if best else -1)
        assert (false_discoveries(list(p), 0.3) == expected).all()


@pytest.mark.parametrize(("values", "rate"), [([0.1], 0.0), ([0.1], 1.0), ([0.0], 0.1), ([2], 0.1)])
def test_what_is_no_rate_or_p_value_is_refused(values: list[float], rate: float) -> None:
    with pytest.raises(ConfigError):
        false_discoveries(values, rate)
