"""Image-level AUROC, AP and F1-max against scikit-learn, with ties, and the edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from blemish.metrics import auroc, average_precision, f1_max, image_metrics

# Few distinct values, so that ties within and across the classes are the rule.
tied_scores = st.sampled_from([-np.inf, -7.5, -1e-30, -0.0, 0.0, 1e-30, 0.1, 0.3, 1e9, np.inf])


@st.composite
def labelled(draw: st.DrawFn) -> tuple[NDArray, NDArray]:
    size = draw(st.integers(2, 25))
    elements = draw(st.sampled_from([tied_scores, st.floats(-1e6, 1e6)]))
    scores = draw(hnp.arrays(np.float64, size, elements=elements))
    labels = draw(hnp.arrays(np.bool_, size))
    labels[0], labels[1] = True, False
    return scores, labels


def ranks(scores: NDArray) -> NDArray:
    """scikit-learn refuses infinities; ranks keep every order and tie."""
    return np.unique(scores, return_inverse=True)[1]


@given(labelled())
@settings(max_examples=150, deadline=None)
@config_context(skip_parameter_validation=True, assume_finite=True)  # most of their time
def test_equal_to_scikit_learn(case: tuple[NDArray, NDArray]) -> None:
    scores, labels = case
    precision, recall, _ = precision_recall_curve(labels, ranks(scores))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, ranks(scores)), abs=1e-12)
    assert average_precision(scores, labels) == pytest.approx(
        average_precision_score(labels, ranks(scores)), abs=1e-12
    )
    best = f1_max(scores, labels)
    assert best.f1 == pytest.approx(f1.max(), abs=1e-12)
    called = scores >= best.threshold  # the threshold reaches the value it is reported with
    assert best.f1 == pytest.approx(
        2 * (called & labels).sum() / (called.sum() + labels.sum()), abs=1e-12
    )


@given(labelled())
@settings(max_examples=50, deadline=None)
def test_auroc_is_the_share_of_pairs_in_order(case: tuple[NDArray, NDArray]) -> None:
    scores, labels = case
    pairs = [
        0.5 if bad == good else float(bad > good)
        for bad in scores[labels]
        for good in scores[~labels]
    ]
    assert auroc(scores, labels) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_f1_threshold_is_the_highest_of_equals() -> None:
    # F1 is 2/3 at 4 (one found of two) and again at 1 (both found, two false alarms)
    assert f1_max([4, 3, 2, 1], [1, 0, 0, 1]) == (pytest.approx(2 / 3), 4.0)


def test_constant_scores() -> None:
    labels = [0, 0, 0, 1]
    assert auroc([7] * 4, labels) == 0.5
    assert average_precision([7] * 4, labels) == 0.25  # the prevalence
    assert f1_max([7] * 4, labels) == (pytest.approx(0.4), 7.0)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_only_is_undefined(labels: list[int]) -> None:
    scores = [0.1, 0.2, 0.3][: len(labels)]
    assert math.isnan(auroc(scores, labels))
    assert math.isnan(average_precision(scores, labels))
    assert all(math.isnan(value) for value in f1_max(scores, labels))
    assert all(math.isnan(value) for value in image_metrics(scores, labels).values())


def test_huge_raw_scores_do_not_saturate() -> None:
    scores, labels = [1e30, 2e30, 3e30, 4e30], [0, 1, 0, 1]
    assert auroc(scores, labels) == 0.75


def test_integer_scores_and_labels() -> None:
    assert auroc(np.array([1, 2, 3], np.int32), np.array([0, 1, 1], np.uint8)) == 1.0
