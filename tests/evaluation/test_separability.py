"""Separability of products in a vector space."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from blemish.evaluation.separability import separability


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
