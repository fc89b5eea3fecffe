"""sPRO against hand-computed cases and loops, and MVTec LOCO's split."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from metric_reference import au_spro_by_loops
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from blemish.metrics import (
    SPRO_FPR_LIMITS,
    SaturationRule,
    SproAccumulator,
    loco_image_auroc,
    parse_defects_config,
    pro_curve,
    spro,
)

CONFIG = [
    {"defect_name": "scratch", "pixel_value": 255, "saturation_threshold": 1.0,
     "relative_saturation": True},
    {"defect_name": "missing", "pixel_value": 254, "saturation_threshold": 2000,
     "relative_saturation": False},
    {"defect_name": "swap", "pixel_value": 253, "saturation_threshold": 0.5,
     "relative_saturation": True},
    {"defect_name": "few", "pixel_value": 252, "saturation_threshold": 3,
     "relative_saturation": False},
]  # fmt: skip
RULES = parse_defects_config(CONFIG)


def channel(shape: tuple[int, int], region: tuple[slice, slice], value: int) -> NDArray:
    result = np.zeros(shape, np.uint8)
    result[region] = value
    return result


def test_half_of_a_fully_relative_region() -> None:
    truth = channel((50, 50), np.s_[:20, :20], 255)  # 400 pixels
    found = np.zeros((50, 50), bool)
    found[:10, :20] = True
    assert spro(found, truth, RULES[255]) == 0.5
    # The same as a map: the found half above everything, the other half below everything.
    spros = SproAccumulator(RULES)
    spros.add(np.where(found, 2.0, np.where(truth > 0, 0.0, 1.0)), [truth], "structural_anomalies")
    for limit in SPRO_FPR_LIMITS:
        assert spros.compute()[limit]["structural"] == pytest.approx(0.5)


def test_absolute_saturation_is_reached_by_a_part() -> None:
    truth = channel((150, 150), np.s_[:100, :100], 254)  # 10,000 pixels, 2,000 are enough
    for rows, expected in [(100, 1.0), (20, 1.0), (10, 0.5), (0, 0.0)]:
        found = np.zeros((150, 150), bool)
        found[:rows, :100] = True
        assert spro(found, truth, RULES[254]) == expected
        spros = SproAccumulator(RULES)
        ranked = np.where(found, 2.0, np.where(truth > 0, 0.0, 1.0))
        spros.add(ranked, [truth], "logical_anomalies")
        assert spros.compute()[0.05]["logical"] == pytest.approx(expected)


def test_saturation_areas() -> None:
    assert RULES[254].saturation_area(500) == 500  # never more than the defect
    assert RULES[253].saturation_area(401) == 200  # rounded down
    assert RULES[253].saturation_area(1) == 1  # never nothing
    assert SaturationRule("x", 1, 0.29, True).saturation_area(100) == int(0.29 * 100)


def test_several_defects_in_one_image_count_separately() -> None:
    shape = (40, 40)
    channels = [channel(shape, np.s_[:10, :10], 255), channel(shape, np.s_[20:21, :4], 255)]
    ranked = np.full(shape, 1.0)
    ranked[:10, :10] = 2.0  # the large one found whole, the small one last of all
    ranked[20, :4] = 0.0
    spros = SproAccumulator(RULES)
    spros.add(ranked, channels, "logical_anomalies")
    assert spros.compute()[0.3]["logical"] == pytest.approx(0.5)


def test_a_channel_is_never_split_into_components() -> None:
    shape = (30, 30)
    truth = channel(shape, np.s_[:1, :1], 255)  # 1 pixel …
    truth[10:13, 10:13] = 255  # … and 9 far away: one defect of 10 pixels
    ranked = np.full(shape, 1.0)
    ranked[0, 0], ranked[10:13, 10:13] = 2.0, 0.0
    spros = SproAccumulator(RULES)
    spros.add(ranked, [truth], "logical_anomalies")
    assert spros.compute()[0.3]["logical"] == pytest.approx(0.1)  # as components it would be 0.5


def test_overlapping_channels_share_pixels_and_are_no_false_positives() -> None:
    shape = (1, 10)
    channels = [channel(shape, np.s_[:, 0:4], 255), channel(shape, np.s_[:, 2:6], 255)]
    ranked = np.array([[0, 0, 2, 2, 0, 0, 1, 1, 1, 1.0]])
    spros = SproAccumulator(RULES)
    spros.add(ranked, channels, "logical_anomalies")
    assert spros.compute([0.5])[0.5]["logical"] == pytest.approx(0.5)


values = st.sampled_from([-1.0, 0.0, 0.5, 0.75, 2.0])
image = st.tuples(
    hnp.arrays(np.float32, (4, 5), elements=values),
    st.lists(
        st.tuples(hnp.arrays(np.bool_, (4, 5)), st.sampled_from([255, 253, 252])),
        min_size=1,
        max_size=3,
    ),
)


@given(
    st.lists(image, min_size=1, max_size=3),
    st.lists(image, min_size=1, max_size=2),
    hnp.arrays(np.float32, (4, 5), elements=values),
    st.sampled_from(SPRO_FPR_LIMITS),
)
@settings(max_examples=80, deadline=None)
def test_equal_to_loops(logical: list, structural: list, good: NDArray, limit: float) -> None:
    spros = SproAccumulator(RULES)
    spros.add(good, [], "good")
    cases: dict[str, tuple[list, list, list]] = {}
    for kind, images in [("logical", logical), ("structural", structural)]:
        maps, channels, areas = [good], [[]], [[]]
        for anomaly_map, parts in images:
            drawn = []
            for mask, value in parts:
                mask[0, 0] = True
                drawn.append(np.where(mask, value, 0))
            spros.add(anomaly_map, drawn, f"{kind}_anomalies")  # type: ignore[arg-type]
            maps.append(anomaly_map)
            channels.append(drawn)
            areas.append([RULES[c.max()].saturation_area(int((c > 0).sum())) for c in drawn])
        cases[kind] = (maps, channels, areas)
    for ranking in spros.rankings().values():  # the area alone would not show a wrong order
        assert (np.diff(ranking.thresholds) < 0).all()
        assert (np.diff(pro_curve(ranking).rate) >= 0).all()
    pooled = tuple(
        one + other[1:] for one, other in zip(cases["logical"], cases["structural"], strict=True)
    )
    expected = {kind: au_spro_by_loops(*case, limit) for kind, case in cases.items()}
    result = spros.compute([limit])[limit]
    assert result["logical"] == pytest.approx(expected["logical"], abs=1e-12)
    assert result["structural"] == pytest.approx(expected["structural"], abs=1e-12)
    assert result["mean"] == pytest.approx(sum(expected.values()) / 2, abs=1e-12)
    assert result["pooled"] == pytest.approx(au_spro_by_loops(*pooled, limit), abs=1e-12)


def test_histogram_mode_stays_inside_its_bound() -> None:
    rng = np.random.default_rng(4)
    exact, binned = SproAccumulator(RULES), SproAccumulator(RULES, "histogram", max_bins=64)
    for index in range(9):
        kind = ("good", "logical_anomalies", "structural_anomalies")[index % 3]
        truth = channel((30, 40), np.s_[5:15, 5:20], 253)
        noise = rng.standard_normal((30, 40)).astype(np.float32)
        channels = [] if kind == "good" else [truth]
        for spros in (exact, binned):
            spros.add(noise + (truth > 0) * bool(channels), channels, kind)  # type: ignore[arg-type]
    bounds = binned.error_bounds()
    for limit, results in exact.compute().items():
        for split, value in results.items():
            assert abs(binned.compute()[limit][split] - value) <= bounds[limit][split] + 1e-12
            assert 0 < bounds[limit][split] < 1
            assert exact.error_bounds()[limit][split] == 0


def test_missing_kinds_are_undefined() -> None:
    spros = SproAccumulator(RULES)
    spros.add(np.zeros((5, 5)), [], "good")
    spros.add(np.eye(5), [channel((5, 5), np.s_[:1, :1], 255)], "logical_anomalies")
    result = spros.compute()[0.05]
    assert 0 <= result["logical"] == result["pooled"] <= 1
    assert math.isnan(result["structural"])
    assert math.isnan(result["mean"])


def test_image_auroc_of_the_splits() -> None:
    rng = np.random.default_rng(5)
    kinds = np.array(["good"] * 30 + ["logical_anomalies"] * 40 + ["structural_anomalies"] * 10)
    scores = rng.standard_normal(80) + (kinds == "logical_anomalies") * 0.5 + (np.arange(80) >= 70)
    result = loco_image_auroc(scores, kinds.tolist())
    logical = roc_auc_score([0] * 30 + [1] * 40, scores[:70])
    structural = roc_auc_score([0] * 30 + [1] * 10, np.r_[scores[:30], scores[70:]])
    assert result == pytest.approx(
        {
            "logical": logical,
            "structural": structural,
            "mean": (logical + structural) / 2,
            "pooled": roc_auc_score(kinds != "good", scores),
        }
    )
    assert abs(result["mean"] - result["pooled"]) > 0.005  # they are different numbers
