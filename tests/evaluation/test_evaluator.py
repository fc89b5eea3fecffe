"""Figures of a few predictions, each compared with a count by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metric_reference import ader_f1_max_by_loops
from numpy.typing import NDArray
from PIL import Image

import blemish.evaluation.evaluator
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError
from blemish.evaluation.as_json import evaluation_json
from blemish.evaluation.evaluator import Evaluation, Evaluator
from blemish.metrics import MEAN_AD_METRICS, PixelAccumulator
from blemish.results import Prediction, Verdict

SIZE = (8, 8)


def prediction(score: float, hot: Any = None, verdict: Verdict | None = None) -> Prediction:
    anomaly_map = np.zeros(SIZE, np.float32)
    if hot is not None:
        anomaly_map[hot] = 1.0
    return Prediction(Path("x.png"), "nut", score, anomaly_map, verdict=verdict)


def sample(kind: str | None, *masks: Path, product: str = "nut", root: Path = Path()) -> Sample:
    label = 0 if kind == "good" else 1
    name = None if kind == "good" else kind
    path = root / "test" / (kind or "defect") / "0.png"
    return Sample(path, product, "test", label, name, masks)


def mask(path: Path, where: Any, value: int = 255, size: tuple[int, int] = SIZE) -> Path:
    pixels: NDArray[np.uint8] = np.zeros(size, np.uint8)
    pixels[where] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


TOP, BOTTOM = np.s_[:2, :], np.s_[-1:, :]


def test_image_figures_by_kind_and_product(tmp_path: Path) -> None:
    evaluator = Evaluator()
    for score in (0.1, 0.2, 0.6):
        evaluator.add(sample("good"), prediction(score))
    for kind, score in (("dent", 0.5), ("dent", 0.7), ("stain", 0.05)):
        evaluator.add(sample(kind), prediction(score))
    evaluator.add(sample("good", product="bolt"), prediction(0.1))
    evaluator.add(sample("dent", product="bolt"), prediction(0.9))
    evaluation = evaluator.compute([(Path("b.png"), "cut short")])
    nut, bolt = evaluation.products
    assert (nut.product, nut.good, nut.defective) == ("nut", 3, 3)
    assert nut.kinds["dent"].image_auroc == pytest.approx(5 / 6)
    assert nut.kinds["stain"].image_auroc == 0.0
    assert nut.metrics["image_auroc"] == pytest.approx(5 / 9)
    assert bolt.metrics["image_auroc"] == 1.0
    assert evaluation.mean["image_auroc"] == pytest.approx((5 / 9 + 1) / 2)
    assert evaluation.covered["image_auroc"] == 2
    assert evaluation.covered["pixel_auroc"] == 0
    assert math.isnan(evaluation.mean["pixel_auroc"])
    assert math.isnan(evaluation.mean_ad)
    assert evaluation.failures == ((Path("b.png"), "cut short"),)
    assert nut.operating is None


def test_unlabelled_images_are_left_out() -> None:
    evaluator = Evaluator()
    unknown = Sample(Path("x.png"), "nut", "test", None)
    evaluator.add(unknown, prediction(0.3))
    with pytest.raises(DataError, match="No labelled test image"):
        evaluator.compute()


def test_pixels_are_pooled_over_a_product(tmp_path: Path) -> None:
    evaluator = Evaluator()
    evaluator.add(sample("good"), prediction(0.0, BOTTOM))
    dent = mask(tmp_path / "m.png", TOP)
    evaluator.add(sample("dent", dent), prediction(1.0, TOP))
    (nut,) = evaluator.compute().products
    # 16 defective pixels at 1; of 112 good ones 8 are at 1 too, the others at 0.
    assert nut.metrics["pixel_auroc"] == pytest.approx((104 + 0.5 * 8) / 112)
    assert nut.masked == 1
    assert not nut.problems
    assert math.isfinite(evaluator.compute().mean_ad)


def test_defects_without_a_mask_count_as_images_only(tmp_path: Path) -> None:
    evaluator = Evaluator()
    evaluator.add(sample("good"), prediction(0.0))
    evaluator.add(sample("dent"), prediction(1.0))
    (nut,) = evaluator.compute().products
    assert math.isnan(nut.metrics["pixel_auroc"])
    assert nut.metrics["image_auroc"] == 1.0
    assert nut.problems == ("No defective image has a mask: no pixel metric can be given.",)
    evaluator.add(sample("stain", mask(tmp_path / "m.png", TOP)), prediction(1.0, TOP))
    (nut,) = evaluator.compute().products
    assert nut.metrics["pixel_auroc"] == 1.0
    assert nut.problems == ("Without a mask, left out of the pixel metrics: 1 of dent.",)


@pytest.mark.parametrize("damage", ["size", "text", "missing"])
def test_a_mask_that_does_not_fit_is_named_and_left_out(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    if damage == "size":
        mask(path, TOP, size=(16, 16))
    elif damage == "text":
        path.write_text("no image")
    evaluator = Evaluator()
    evaluator.add(sample("good"), prediction(0.0))
    evaluator.add(sample("dent", path), prediction(1.0, TOP))
    (nut,) = evaluator.compute().products
    assert nut.metrics["image_auroc"] == 1.0
    assert math.isnan(nut.metrics["pixel_auroc"])
    assert str(path) in nut.problems[0]
    assert nut.problems[1].startswith("No defective image has a mask that can be used: no pixel")
    evaluator.add(sample("dent", path), prediction(1.0, TOP))
    evaluator.add(sample("dent", mask(tmp_path / "right.png", TOP)), prediction(1.0, TOP))
    (nut,) = evaluator.compute().products
    assert nut.metrics["pixel_auroc"] == 1.0
    (said,) = nut.problems
    assert said.startswith("2 images, such as 0.png, are left out of the pixel metrics: ")


@pytest.mark.parametrize("kind", ["good", "dent"])
def test_images_of_one_sort_give_no_figure(kind: str) -> None:
    evaluator = Evaluator()
    evaluator.add(sample(kind), prediction(0.1))
    evaluator.add(sample(kind), prediction(0.2))
    (nut,) = evaluator.compute().products
    assert math.isnan(nut.metrics["image_auroc"])
    assert any("no metric can be given" in problem for problem in nut.problems)


def test_the_operating_point_counts_verdicts() -> None:
    evaluator = Evaluator()
    given: list[tuple[str, Verdict]] = [
        ("good", "ok"),
        ("good", "unsure"),
        ("good", "defect"),
        ("dent", "defect"),
        ("dent", "defect"),
        ("dent", "unsure"),
        ("dent", "ok"),
    ]
    for number, (kind, verdict) in enumerate(given):
        evaluator.add(sample(kind), prediction(float(number), verdict=verdict))
    (nut,) = evaluator.compute().products
    assert nut.operating is not None
    counts = nut.operating
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 1, 2, 2)
    assert (nut.kinds["dent"].found, nut.kinds["dent"].flagged) == (0.5, 0.75)


def _loco(root: Path) -> Path:
    entry = {"defect_name": "any", "pixel_value": 255}
    entry |= {"saturation_threshold": 0.5, "relative_saturation": True}
    (root / "defects_config.json").write_text(json.dumps([entry]))
    return root


def _evaluate_loco(root: Path) -> Evaluation:
    evaluator = Evaluator()
    truth = root / "ground_truth"
    half = np.s_[:1, :]  # half of the defect is found, which saturates it
    for kind, score in (("good", 0.2), ("logical_anomalies", 0.1), ("structural_anomalies", 0.9)):
        masks = () if kind == "good" else (mask(truth / kind / "0" / "000.png", TOP),)
        hot = None if kind == "good" else half
        evaluator.add(sample(kind, *masks, root=root), prediction(score, hot))
    return evaluator.compute()


def test_mvtec_loco_is_measured_by_its_own_rule(tmp_path: Path) -> None:
    (nut,) = _evaluate_loco(_loco(tmp_path)).products
    assert nut.metrics["image_auroc_logical"] == 0.0
    assert nut.metrics["image_auroc_structural"] == 1.0
    assert nut.metrics["image_auroc_mean"] == 0.5
    assert nut.metrics["au_spro_0.05_mean"] == pytest.approx(1.0)
    assert nut.metrics["pixel_aupro"] < 0.8  # there, half is half
    assert not nut.problems


def test_mvtec_ad_has_no_logical_figures(tmp_path: Path) -> None:
    (nut,) = _evaluate_loco(tmp_path).products
    assert not any("spro" in name or "logical" in name for name in nut.metrics)


def test_a_damaged_saturation_file_costs_au_spro_only(tmp_path: Path) -> None:
    (tmp_path / "defects_config.json").write_text("{")
    (nut,) = _evaluate_loco(tmp_path).products
    assert math.isfinite(nut.metrics["pixel_auroc"])
    assert len(nut.problems) == 1
    assert "AU-sPRO cannot be given" in nut.problems[0]


def test_masks_and_kinds_unknown_to_the_saturation_file(tmp_path: Path) -> None:
    root = _loco(tmp_path)
    evaluator = Evaluator()
    evaluator.add(sample("good", root=root), prediction(0.1))
    foreign = mask(root / "ground_truth" / "logical_anomalies" / "0" / "0.png", TOP, value=7)
    evaluator.add(sample("logical_anomalies", foreign, root=root), prediction(0.5, TOP))
    evaluator.add(sample("scratch", mask(tmp_path / "m.png", TOP), root=root), prediction(0.7, TOP))
    (nut,) = evaluator.compute().products
    assert nut.metrics["image_auroc"] == 1.0
    assert nut.metrics["image_auroc_logical"] == 1.0
    assert nut.metrics["pixel_auroc"] == 1.0
    assert math.isnan(nut.metrics["au_spro_0.05_logical"])
    assert "left out of AU-sPRO" in nut.problems[0]


@pytest.fixture
def noisy(tmp_path: Path) -> tuple[list[Sample], list[Prediction]]:
    """Two products of six images each, every second one with a defect that is not quite found."""
    rng = np.random.default_rng(0)
    truth = mask(tmp_path / "m.png", TOP)
    samples, predictions = [], []
    for number in range(12):
        bad = number % 2
        values = rng.random(SIZE).astype(np.float32)
        values[TOP] += 0.3 * bad
        product = ("nut", "bolt")[number // 6]
        kind = ("good", "dent")[bad]
        samples.append(sample(kind, *([truth] if bad else []), product=product))
        predictions.append(Prediction(None, product, float(values.max()), values))
    return samples, predictions


def measured(
    noisy: tuple[list[Sample], list[Prediction]], evaluator: Evaluator | None = None
) -> Evaluation:
    evaluator = evaluator or Evaluator()
    for given, judged in zip(*noisy, strict=True):
        evaluator.add(given, judged)
    return evaluator.compute()


def test_bounded_memory_states_its_error(
    noisy: tuple[list[Sample], list[Prediction]], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = measured(noisy)
    assert not exact.error_bounds
    assert "error_bounds" not in evaluation_json(exact)
    few_bins = partial(PixelAccumulator, max_bins=16)
    monkeypatch.setattr(blemish.evaluation.evaluator, "PixelAccumulator", few_bins)
    binned = measured(noisy, Evaluator(histogram=True))
    four = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_aupro")
    for one, other in zip(exact.products, binned.products, strict=True):
        assert set(other.error_bounds) == set(four)
        for name in MEAN_AD_METRICS:
            off = abs(one.metrics[name] - other.metrics[name])
            assert off <= other.error_bounds.get(name, 0.0) + 1e-12
        assert other.error_bounds["pixel_auroc"] > 0
    for name in four:
        assert abs(exact.mean[name] - binned.mean[name]) <= binned.error_bounds[name] + 1e-12
    stated = sum(binned.error_bounds[name] for name in four) / 7
    assert binned.error_bounds["mean_ad"] == pytest.approx(stated)
    assert abs(exact.mean_ad - binned.mean_ad) <= stated
    written = json.loads(evaluation_json(binned))
    assert written["error_bounds_of_mean"] == binned.error_bounds
    assert written["products"]["nut"]["error_bounds"] == binned.products[0].error_bounds


def test_bounded_memory_is_exact_while_it_can_be(
    noisy: tuple[list[Sample], list[Prediction]],
) -> None:
    exact, binned = measured(noisy), measured(noisy, Evaluator(histogram=True))
    assert binned.mean == pytest.approx(exact.mean, nan_ok=True)
    assert set(binned.error_bounds.values()) == {0.0}


def test_pixel_f1_max_as_in_ader(noisy: tuple[list[Sample], list[Prediction]]) -> None:
    plain, found = measured(noisy), measured(noisy, Evaluator(compatibility="ader"))
    truth = np.zeros(SIZE, bool)
    truth[TOP] = True
    for number, product in enumerate(found.products):
        own = list(zip(*noisy, strict=True))[6 * number : 6 * number + 6]
        expected = ader_f1_max_by_loops(
            [judged.anomaly_map for _, judged in own],
            [truth if given.mask_paths else np.zeros(SIZE, bool) for given, _ in own],
        )
        assert product.metrics["pixel_f1_max_ader"] == pytest.approx(expected, abs=1e-12)
    assert {n: v for n, v in found.mean.items() if n in plain.mean} == plain.mean
    assert found.mean_ad == plain.mean_ad
    assert plain.mean_ad_ader is None
    assert found.mean_ad_ader is not None
    difference = found.mean["pixel_f1_max"] - found.mean["pixel_f1_max_ader"]
    assert found.mean_ad - found.mean_ad_ader == pytest.approx(difference / 7)
    assert json.loads(evaluation_json(found))["mean_ad_ader"] == found.mean_ad_ader
    assert "ader" not in evaluation_json(plain)


def test_without_masks_ader_has_no_figure_either() -> None:
    evaluator = Evaluator(compatibility="ader")
    evaluator.add(sample("good"), prediction(0.1))
    evaluator.add(sample("dent"), prediction(0.9))
    found = evaluator.compute()
    assert math.isnan(found.mean["pixel_f1_max_ader"])
    assert found.mean_ad_ader is not None
    assert math.isnan(found.mean_ad_ader)


def test_a_wrong_compatibility_is_refused_before_anything_is_judged() -> None:
    with pytest.raises(ConfigError, match="'anomalib'"):
        Evaluator(compatibility="anomalib")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match='"ader" needs mode "exact"'):
        Evaluator(histogram=True, compatibility="ader")


def test_a_part_with_several_views_is_judged_by_its_worst() -> None:
    evaluator = Evaluator()
    views = [("good", "S1", 0.1), ("good", "S1", 0.3), ("good", "S2", 0.4), ("good", "S3", 0.2)]
    views += [("dent", "S3", 0.9), ("dent", "S4", 0.35), ("good", "S4", 0.05)]
    for kind, part, score in views:
        evaluator.add(dataclasses.replace(sample(kind), part=part), prediction(score))
    metrics = evaluator.compute().products[0].metrics
    # Parts: S1 good 0.3, S2 good 0.4, S3 defective 0.9, S4 defective 0.35.
    assert metrics["sample_auroc"] == pytest.approx(3 / 4)
    assert metrics["image_auroc"] == pytest.approx(9 / 10)


def test_without_parts_there_are_no_part_figures() -> None:
    evaluator = Evaluator()
    evaluator.add(sample("good"), prediction(0.1))
    evaluator.add(sample("dent"), prediction(0.9))
    assert not [name for name in evaluator.compute().mean if name.startswith("sample_")]
