from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest as Reference

from blemish.methods.radar.isolation_forest import IsolationForest


@pytest.mark.parametrize("count", [2, 3, 12, 100, 700])
@pytest.mark.parametrize("features", [1, 2, 5])
def test_scores_are_scikit_learns(count: int, features: int) -> None:
    rng = np.random.default_rng(count)
    known = rng.normal(size=(count, features)).astype(np.float32)
    known[: count // 3] = np.round(known[: count // 3], 1)  # equal values, cuts between them
    forest = IsolationForest(features, trees=30)
    forest.fit(known, seed=4)
    sample = min(256, count)
    reference = Reference(n_estimators=30, max_samples=sample, random_state=4).fit(known)
    asked = np.concatenate([known, 3 * rng.normal(size=(300, features)).astype(np.float32)])
    found = forest(torch.from_numpy(asked)).numpy()
    np.testing.assert_allclose(found, -reference.score_samples(asked), atol=1e-6)


def test_a_point_on_a_cut_goes_where_scikit_learn_sends_it() -> None:
    known = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    forest = IsolationForest(2, trees=20)
    forest.fit(known, seed=1)
    reference = Reference(n_estimators=20, max_samples=50, random_state=1).fit(known)
    # The two float32 next to every cut, where a rounded threshold would tip the wrong way.
    cuts = np.concatenate([tree.tree_.threshold for tree in reference.estimators_])
    near = cuts.astype(np.float32)
    sides = [near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))]
    values = np.concatenate(sides)
    asked = np.stack([values, values[::-1]], 1)
    found = forest(torch.from_numpy(asked)).numpy()
    np.testing.assert_allclose(found, -reference.score_samples(asked), atol=1e-6)


def test_beyond_all_points_the_score_stands_still_and_the_distance_grows() -> None:
    known = np.random.default_rng(2).uniform(size=(40, 2))
    forest = IsolationForest(2)
    forest.fit(known)
    asked = torch.tensor([[0.5, 0.5], [2.0, 0.5], [9.0, 0.5], [0.5, -9.0]])
    scores, beyond = forest(asked), forest.beyond(asked)
    assert scores[1] == scores[2]
    width = float(known[:, 0].max() - known[:, 0].min())
    assert beyond[0] == 0
    assert float(beyond[2] - beyond[1]) == pytest.approx(7 / width, rel=1e-4)
    assert float(beyond[3]) > 8


def test_it_survives_as_tensors_alone() -> None:
    forest, other = IsolationForest(2, trees=7), IsolationForest(2, trees=7)
    forest.fit(np.random.default_rng(0).normal(size=(300, 2)))
    other.load_state_dict(forest.state_dict())
    asked = torch.randn(50, 2)
    assert torch.equal(forest(asked), other(asked))
    assert torch.equal(forest.beyond(asked), other.beyond(asked))


def test_a_forest_needs_two_finite_points() -> None:
    forest = IsolationForest(2)
    with pytest.raises(ValueError, match="at least 2"):
        forest.fit(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="NaN"):
        forest.fit([[0.0, np.nan], [1.0, 1.0]])


def test_equal_points_give_finite_scores() -> None:
    forest = IsolationForest(2)
    forest.fit(np.ones((5, 2)))
    asked = torch.tensor([[1.0, 1.0], [2.0, 1.0]])
    assert forest(asked).isfinite().all()
    assert forest.beyond(asked)[1] > forest.beyond(asked)[0] == 0
