from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from blemish.data.planted import KINDS, plant_anomaly
from blemish.errors import ConfigError

Pixels = NDArray[np.uint8]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_only_the_mask_and_its_soft_edge_change(
    kind: str, seed: int, draw_part: Callable[..., Pixels]
) -> None:
    good = draw_part(seed, size=96)
    before = good.copy()
    bad, mask = plant_anomaly(good, np.random.default_rng(seed), kind=kind)
    assert np.array_equal(good, before)
    assert bad.shape == good.shape
    assert bad.dtype == np.uint8
    assert mask.shape == good.shape[:2]
    assert mask.dtype == np.bool_
    changed = (bad != good).any(-1)
    assert changed[mask].any()
    assert not changed[~binary_dilation(mask, iterations=4)].any()
    assert 0.001 < mask.mean() < 0.1


def test_stains_and_scratches_are_visible(draw_part: Callable[..., Pixels]) -> None:
    for seed, kind in enumerate(("stain", "scratch", "rough") * 3):
        good = draw_part(seed, size=96)
        bad, mask = plant_anomaly(good, np.random.default_rng(seed), kind=kind)
        assert np.abs(bad.astype(int) - good)[mask].mean() > 5, (kind, seed)


def test_the_generator_decides_everything(draw_part: Callable[..., Pixels]) -> None:
    good = draw_part(0)
    first, again, other = (
        plant_anomaly(good, np.random.default_rng(seed))[0] for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_kind_is_drawn(
    draw_part: Callable[..., Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def watched(kind: str, plant: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*args: Any) -> Any:
            drawn.append(kind)
            return plant(*args)

        return watch

    for kind, plant in list(KINDS.items()):
        monkeypatch.setitem(KINDS, kind, watched(kind, plant))
    rng = np.random.default_rng(0)
    for _ in range(40):
        plant_anomaly(draw_part(0), rng)
    assert set(drawn) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 8), (32, 200), (1, 1)])
def test_any_size_can_carry_one(kind: str, shape: tuple[int, int]) -> None:
    good = np.full((*shape, 3), 128, np.uint8)
    for seed in range(3):
        bad, mask = plant_anomaly(good, np.random.default_rng(seed), kind=kind)
        assert bad.shape == good.shape
        assert mask.shape == shape


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'scratch'"):
        plant_anomaly(np.zeros((8, 8, 3), np.uint8), np.random.default_rng(0), kind="scratches")
