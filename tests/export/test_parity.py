"""What the comparison of a trained and an exported model finds, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from blemish import Detector
from blemish.data.good_images import good_images
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.errors import CalibrationError, DataError
from blemish.export.images import compared_samples
from blemish.export.parity import Parity, compare, rank_correlation
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspector import ExportedDetector, open_model

Change = Callable[[NetworkOutput], NetworkOutput]


def samples(images: NDArray[np.uint8]) -> list[Sample]:
    return [Sample(Path(f"{i}.png"), "part", "test", None, image=x) for i, x in enumerate(images)]


def changed(exported_file: Path, change: Change) -> ExportedDetector:
    """The exported model, its network's output changed on the way."""
    exported = open_model(exported_file)
    network: Network = exported.network
    exported.network = lambda pixels: change(network(pixels))
    return exported


@pytest.fixture
def trained(model_file: Path) -> Detector:
    return Detector.load(model_file)


def test_an_unchanged_export_passes(
    trained: Detector, exported_file: Path, good_parts: NDArray[np.uint8]
) -> None:
    found = compare(trained, open_model(exported_file), samples(good_parts), source="parts")
    assert found.problems("float32") == []
    assert found.problems("int8") == []
    assert (found.images, found.verdicts, found.changed) == (12, 12, ())
    assert 0 < found.score < 1e-5
    assert found.rank_correlation == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: replace(o, scores=o.scores * 1.002), "score differs by 0.0"),
        (lambda o: replace(o, maps=o.maps + 0.01 * o.maps.max()), "map differs by 0.0"),
        (lambda o: replace(o, maps=o.maps * np.inf), "map differs by inf"),
        (lambda o: replace(o, scores=o.scores + 1e6), "verdict of"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_changed_export_is_refused(
    trained: Detector,
    exported_file: Path,
    good_parts: NDArray[np.uint8],
    change: Change,
    message: str,
) -> None:
    export = changed(exported_file, change)
    problems = compare(trained, export, samples(good_parts), source="parts").problems("float32")
    assert any(message in problem for problem in problems), problems


def test_a_score_that_is_no_number_is_refused(
    trained: Detector, exported_file: Path, good_parts: NDArray[np.uint8]
) -> None:
    export = changed(exported_file, lambda o: replace(o, scores=o.scores * np.nan))
    with pytest.raises(CalibrationError, match="not a finite number"):
        compare(trained, export, samples(good_parts), source="parts")
    trained.calibration = export.calibration = None
    found = compare(trained, export, samples(good_parts), source="parts")
    assert found.verdicts == 0
    assert "score differs by inf" in found.problems("float32")[0]


def test_a_verdict_that_only_rounding_decides_is_told_apart(
    trained: Detector, exported_file: Path, good_parts: NDArray[np.uint8]
) -> None:
    """A limit may be the score of a calibration image: there the last bit decides."""
    rate = 4 / (len(good_parts) + 1)
    trained.calibrate(good_parts, false_alarm_rate=rate, product="part")
    exported = changed(exported_file, lambda o: replace(o, scores=o.scores * (1 + 5e-6)))
    exported.calibration = trained.calibration
    found = compare(trained, exported, samples(good_parts), source="parts")
    assert found.on_limit >= 1
    assert found.changed == ()
    assert found.problems("float32") == []
    further = changed(exported_file, lambda o: replace(o, scores=o.scores * (1 + 9e-4)))
    further.calibration = trained.calibration
    found = compare(trained, further, samples(good_parts), source="parts")
    assert found.changed
    assert any("verdict" in problem for problem in found.problems("float32"))


def test_int8_is_held_to_the_order_of_the_scores() -> None:
    parity = Parity(10, "images", score=0.2, anomaly_map=0.3, rank_correlation=0.99)
    assert parity.problems("int8") == []
    for value in (0.9, math.nan):
        assert "rank correlation" in replace(parity, rank_correlation=value).problems("int8")[0]
    assert "not a finite number" in replace(parity, score=math.inf).problems("int8")[0]


def test_the_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 6, 40).astype(float)  # with ties
    b = a + rng.normal(size=40)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0
    assert rank_correlation(np.ones(1), np.ones(1)) == 1


def test_images_are_compared_good_and_planted(part: Path, tmp_path: Path) -> None:
    good, _ = good_images(part / "train" / "good")
    found, source = compared_samples(good, Preprocessing(64, 64), most=5)
    assert source == "5 good images, 5 with a planted anomaly"
    assert [sample.path for sample in found[:5]][::4] == [good[0].path, good[-1].path]
    assert all(sample.image is not None for sample in found[5:])
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the images"):
        compared_samples([replace(good[0], path=bad)], Preprocessing(64, 64))
    _, source = compared_samples([], Preprocessing(64, 64))
    assert "no real image was used" in source
