"""Scores of several kinds of distance: units, and from where labelled anomalies count."""

from __future__ import annotations

import pytest
import torch

from blemish.methods.anomem.blocks import LABELLED, DeviationScores, Kinds


def flat(*values: float) -> torch.Tensor:
    """One map of a single position per image: ``(N, 1, 1, 1)``."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def fitted(**weights: float) -> DeviationScores:
    given = {"plain_weight": 0.0, "labelled_weight": 2.0, **weights}
    scores = DeviationScores(1, top_share=1.0, **given)
    good: Kinds = (flat(1.0, 3.0), flat(10.0, 30.0), flat(4.0, 6.0))  # deviations 1, 10 and 1
    scores.fit([scores.moments([good])])
    return scores


def test_every_kind_counts_in_deviations_over_good_images() -> None:
    score, amap = fitted(plain_weight=0.5)([(flat(7.0), flat(50.0), flat(99.0))], (1, 1))
    assert score.item() == pytest.approx(7.0 + 0.5 * 5.0)
    assert amap.item() == pytest.approx((7.0 - 2.0) + 0.5 * (5.0 - 2.0))


def test_the_labelled_distance_counts_once_there_were_labels_and_above_good_images() -> None:
    scores = fitted()
    images: list[Kinds] = [(flat(0.0, 0.0, 0.0), flat(0.0, 0.0, 0.0), flat(5.9, 6.5, 9.0))]
    assert scores(images, (1, 1))[0].tolist() == [0.0, 0.0, 0.0]
    scores.has_labels()
    score, amap = scores(images, (1, 1))
    assert score.tolist() == pytest.approx([0.0, 2 * 0.5, 2 * 3.0])  # the mean is 5, a deviation 1
    assert (amap.flatten() + 2.0).tolist() == pytest.approx([0.0, 2 * 0.5, 2 * 3.0])


def test_that_labels_were_seen_is_kept_with_the_model() -> None:
    scores = fitted()
    scores.has_labels()
    other = DeviationScores(1, plain_weight=0.0, labelled_weight=2.0, top_share=1.0)
    other.load_state_dict(scores.state_dict())
    images: list[Kinds] = [(flat(0.0), flat(0.0), flat(9.0))]
    assert torch.equal(other(images, (1, 1))[0], scores(images, (1, 1))[0])
    assert len(images[0]) - 1 == LABELLED
