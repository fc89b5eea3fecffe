"""Leakage against a slow loop, separability by halves, separation by its definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, norm
from sklearn.metrics import silhouette_score
from torch import Tensor

from blemish.evaluation.diagnostic_measures import LeakageSum, separability, separation, total

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


def clusters(distance: float, sizes: tuple[int, ...] = (20, 10)) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    vectors = [rng.normal(distance * i, 1, (size, 3)) for i, size in enumerate(sizes)]
    return np.concatenate(vectors), [f"product{i}" for i, n in enumerate(sizes) for _ in range(n)]


def test_clusters_apart_are_pure_and_equal_ones_are_not() -> None:
    apart = separability(*clusters(50.0))
    alike = separability(*clusters(0.0))
    assert apart is not None
    assert alike is not None
    assert apart.purity == 1.0
    assert apart.silhouette > 0.9
    assert 0.2 < alike.purity < 0.8
    assert abs(alike.silhouette) < 0.1
    assert apart.chance == pytest.approx(20 / 30)
    assert apart.images == 30


def test_purity_judges_every_image_by_the_other_half() -> None:
    vectors, products = clusters(1.5)
    found = separability(vectors, products, seed=3)
    labels = np.array(products)
    rng = np.random.default_rng(3)
    half = np.zeros(len(labels), int)
    for name in ("product0", "product1"):
        rows = rng.permutation(np.flatnonzero(labels == name))
        half[rows[: len(rows) // 2]] = 1
    own = 0
    for row, vector in enumerate(vectors):
        distances = {
            name: np.linalg.norm(vector - vectors[(labels == name) & (half != half[row])].mean(0))
            for name in ("product0", "product1")
        }
        own += min(distances, key=lambda name: distances[name]) == labels[row]
    assert found is not None
    assert found.purity == pytest.approx(own / len(labels))
    assert found.purity < 1
    assert found.silhouette == pytest.approx(silhouette_score(vectors, labels))


def test_outliers_of_their_own_half_cannot_vote_for_themselves() -> None:
    # Two images per product: each mean is the one other image, here on the wrong side.
    vectors = np.array([[0.0], [10.0], [9.0], [1.0]])
    found = separability(vectors, ["nut", "nut", "bolt", "bolt"])
    assert found is not None
    assert found.purity in (0.0, 0.5, 1.0)
    assert found.purity < 1.0


def test_one_product_has_nothing_to_be_told_from() -> None:
    assert separability(np.ones((5, 3)), ["nut"] * 5) is None
    assert separability(np.ones((3, 3)), ["nut", "nut", "bolt"]) is None


def test_normal_scores_give_the_textbook_figures() -> None:
    points = (np.arange(4000) + 0.5) / 4000
    good, bad = norm.ppf(points), norm.ppf(points) + 1.5
    found = separation(good, bad)
    assert found.effect_size == pytest.approx(1.5, abs=0.01)
    assert found.overlap == pytest.approx(2 * norm.cdf(-0.75), abs=0.01)


def test_the_overlap_is_the_complement_of_kolmogorov_and_smirnovs_statistic() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        good, bad = rng.integers(0, 9, 12).astype(float), rng.integers(2, 12, 7).astype(float)
        assert separation(good, bad).overlap == pytest.approx(1 - ks_2samp(good, bad).statistic)


def test_the_effect_size_pools_both_variances() -> None:
    good, bad = [1.0, 2.0, 3.0, 6.0], [4.0, 9.0]
    mean = sum(good) / 4, sum(bad) / 2
    squares = sum((x - mean[0]) ** 2 for x in good) + sum((x - mean[1]) ** 2 for x in bad)
    expected = (mean[1] - mean[0]) / math.sqrt(squares / 4)
    assert separation(good, bad).effect_size == pytest.approx(expected)


def test_what_cannot_be_given_is_nan() -> None:
    assert math.isnan(separation([1.0], [2.0]).effect_size)
    assert separation([1.0], [2.0]).overlap == 0.0
    assert math.isnan(separation([1.0, 1.0], [2.0, 2.0]).effect_size)
    assert math.isnan(separation([], [2.0]).overlap)
