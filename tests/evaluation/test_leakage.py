"""Leakage against a loop over images and positions, and at its two ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from blemish.evaluation.leakage import LeakageSum, total

SHAPES = ((4, 8, 8), (6, 4, 4))


def pairs(seed: int, count: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    made = [[torch.randn(count, *shape, generator=generator) for shape in SHAPES] for _ in range(2)]
    return list(zip(*made, strict=True))


def masks(count: int = 3) -> Tensor:
    made = torch.zeros(count, 16, 16)
    for image in range(count):
        made[image, 2 : 7 + image, 5:11] = 1
    return made


def n(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def test_the_figures_are_those_of_a_slow_loop() -> None:
    clean, bad, at = pairs(0), pairs(1), masks()
    summed = LeakageSum(2)
    summed.add(clean, bad, at)
    found = summed.result()
    for level, (_, height, width) in enumerate(SHAPES):
        follows = change = to_anomalous = to_clean = weight = 0.0
        cell = 16 // height
        for image in range(3):
            for y in range(height):
                for x in range(width):
                    window = at[image, y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
                    w = float(window.mean())
                    f, s = (n(v[image, :, y, x].numpy()) for v in clean[level])
                    f_bad, s_bad = (n(v[image, :, y, x].numpy()) for v in bad[level])
                    follows += w * float((s_bad - s) @ (f_bad - f))
                    change += w * float((f_bad - f) @ (f_bad - f))
                    to_anomalous += w * float(s_bad @ f_bad)
                    to_clean += w * float(s_bad @ f)
                    weight += w
        assert found.copied[level] == pytest.approx(follows / change, abs=1e-5)
        assert found.to_anomalous[level] == pytest.approx(to_anomalous / weight, abs=1e-5)
        assert found.to_clean[level] == pytest.approx(to_clean / weight, abs=1e-5)


def test_a_student_that_ignores_the_anomaly_and_one_that_copies_it() -> None:
    clean = [(f, f) for f, _ in pairs(0)]
    bad = [f for f, _ in pairs(1)]
    ignores, copies = LeakageSum(2), LeakageSum(2)
    ignores.add(clean, [(f_bad, f) for f_bad, (f, _) in zip(bad, clean, strict=True)], masks())
    copies.add(clean, [(f_bad, f_bad) for f_bad in bad], masks())
    assert ignores.result().copied == pytest.approx((0.0, 0.0), abs=1e-6)
    assert ignores.result().to_clean == pytest.approx((1.0, 1.0), abs=1e-6)
    assert copies.result().copied == pytest.approx((1.0, 1.0), abs=1e-6)
    assert copies.result().to_anomalous == pytest.approx((1.0, 1.0), abs=1e-6)


def test_only_the_masked_area_counts_and_parts_add_up() -> None:
    clean, bad, at = pairs(0), pairs(1), masks()
    elsewhere = [(f.clone(), s.clone()) for f, s in bad]
    elsewhere[0][1][:, :, -1, -1] = 100.0  # outside of every mask
    one, other = LeakageSum(2), LeakageSum(2)
    one.add(clean, bad, at)
    other.add(clean, elsewhere, at)
    assert one.result() == other.result()
    parts = [LeakageSum(2), LeakageSum(2)]
    for part, rows in zip(parts, (slice(0, 1), slice(1, 3)), strict=True):
        part.add(
            [(f[rows], s[rows]) for f, s in clean], [(f[rows], s[rows]) for f, s in bad], at[rows]
        )
    assert total(parts).result().copied == pytest.approx(one.result().copied, abs=1e-6)
    assert np.isnan(LeakageSum(1).result().copied).all()
