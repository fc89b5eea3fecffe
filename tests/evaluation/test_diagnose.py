"""``diagnose`` on trained models: what it measures, on which images, and whom it turns away."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.sample import Sample, some_of_each
from blemish.errors import ConfigError, DataError
from blemish.evaluation.diagnosis import diagnose, diagnosis_json

CPU = TrainingOptions(device="cpu")


@pytest.fixture(scope="module")
def line(
    tmp_path_factory: pytest.TempPathFactory, draw_part: Callable[..., NDArray[np.uint8]]
) -> Path:
    """Two products with train and test images."""
    root = tmp_path_factory.mktemp("line")
    for product in ("nut", "bolt"):
        for folder, count in (("train/good", 10), ("test/good", 4), ("test/dent", 3)):
            place = root / product / folder
            place.mkdir(parents=True)
            for i in range(count):
                part = draw_part(i + len(folder), size=64)
                if product == "bolt":
                    part[:, ::6] = 30
                if "dent" in folder:
                    part[20:40, 20:40] = (255, 0, 255)
                Image.fromarray(part).save(place / f"{i:03}.png")
    return root


def fitted(method: str, line: Path) -> Detector:
    detector = Detector(method, image_size=64, settings={"steps": 20, "batch_size": 8})
    detector.fit(line, false_alarm_rate=0.3, training=CPU, progress=Progress(quiet=True))
    return detector


@pytest.fixture(scope="module", params=["rd", "hfr", "borad"])
def detector(request: pytest.FixtureRequest, line: Path, rd: Detector) -> Detector:
    return rd if request.param == "rd" else fitted(request.param, line)


@pytest.fixture(scope="module")
def rd(line: Path) -> Detector:
    return fitted("rd", line)


def test_everything_is_measured_on_the_good_test_images(detector: Detector, line: Path) -> None:
    found = diagnose(detector, line)
    assert found.split == "test"
    assert [p.product for p in found.products] == ["bolt", "nut"]
    for product in found.products:
        assert (product.planted.good, product.planted.anomalous) == (4, 20)
        assert product.real is not None
        assert (product.real.good, product.real.anomalous) == (4, 3)
        assert product.real.effect_size > 1
    for leakage in (found.leakage, *found.kinds.values()):
        assert len(leakage.copied) == 3
        assert all(-0.5 < value < 1.5 for value in leakage.copied)
        assert all(-1 <= value <= 1 for value in (*leakage.to_anomalous, *leakage.to_clean))
    assert found.bottleneck is not None
    assert found.teacher is not None
    assert found.bottleneck.images == found.teacher.images == 8
    assert found.teacher.purity == 1.0
    assert diagnose(detector, line) == found
    assert diagnose(detector, line, seed=1).leakage != found.leakage


def test_a_student_fed_the_answer_leaks_everything(
    rd: Detector, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = rd
    assert detector.method is not None
    standardise = detector.method.standardise
    monkeypatch.setattr(
        detector.method, "rebuild", lambda levels: [(f, 2 * f) for f in standardise(levels)]
    )
    found = diagnose(detector, line, images=1)
    assert found.leakage.copied == pytest.approx((1.0, 1.0, 1.0), abs=1e-5)
    assert found.leakage.to_anomalous == pytest.approx((1.0, 1.0, 1.0), abs=1e-5)


def test_the_scores_are_those_of_prediction(detector: Detector, line: Path) -> None:
    from blemish.evaluation.diagnosis import _ProductMeasurements

    path = line / "nut" / "test" / "good" / "000.png"
    measured = _ProductMeasurements()
    assert detector.method is not None
    measured.add_good(detector.method, np.array(Image.open(path)), np.random.default_rng(0))
    assert measured.good[0] == pytest.approx(next(detector.predict(path)).score, rel=1e-4)
    assert len(measured.planted) == 5
    method, (embedded,) = detector.method, measured.embedded
    picture = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]
    with torch.inference_mode():
        mid = method.embed(method.standardise(tuple(method.teacher(picture))))
    assert np.allclose(embedded, mid.mean((2, 3))[0].numpy(), atol=1e-4)
    assert sum(score > measured.good[0] for score in measured.planted) >= 4


def test_the_split_can_be_chosen_and_the_number_limited(rd: Detector, line: Path) -> None:
    detector = rd
    found = diagnose(detector, line, split="train", images=3)
    assert found.split == "train"
    assert [p.planted.good for p in found.products] == [3, 3]
    assert all(p.real is None for p in found.products)
    with pytest.raises(DataError, match="no good images in its split 'validation'"):
        diagnose(detector, line, split="validation")
    with pytest.raises(ConfigError, match="split"):
        diagnose(detector, line, split="tset")
    with pytest.raises(ConfigError, match="-1 images"):
        diagnose(detector, line, images=-1)


def test_a_limited_number_is_spread_evenly() -> None:
    def sample(product: str, number: int) -> Sample:
        return Sample(Path(f"{product}{number}.png"), product, "test", 0)

    samples = [sample("a", i) for i in range(10)] + [sample("b", i) for i in range(2)]
    names = [sample.path.stem for sample in some_of_each(samples, 3)]
    assert names == ["a0", "a3", "a6", "b0", "b1"]
    assert some_of_each(samples, 20) == samples


def test_unreadable_images_are_listed_and_left_out(
    rd: Detector, tmp_path: Path, good_parts: NDArray[np.uint8]
) -> None:
    folder = tmp_path / "parts"
    for place in ("train/good", "test/good"):
        (folder / "nut" / place).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(good_parts[i]).save(folder / "nut" / place / f"{i}.png")
    broken = folder / "nut" / "test" / "good" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    detector = rd
    found = diagnose(detector, folder)
    assert [path.name for path, _ in found.failures] == ["1.png"]
    assert found.products[0].planted.good == 2
    assert found.bottleneck is None
    content = json.loads(diagnosis_json(found))
    assert content["bottleneck"] is None
    assert content["failures"][0]["path"].endswith("1.png")
    for path in broken.parent.iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="no good image could be read"):
        diagnose(detector, folder)


def test_other_methods_and_untrained_detectors_are_turned_away(rd: Detector, line: Path) -> None:
    with pytest.raises(ConfigError, match="not trained"):
        diagnose(Detector("rd"), line)
    with pytest.raises(ConfigError, match="exported model"):
        diagnose(object(), line)  # type: ignore[arg-type]
    settings = {"structural": False, "described": "features"}
    distances = Detector("logicrd", image_size=64, settings=settings)
    distances.fit(line, false_alarm_rate=0.3, training=CPU, progress=Progress(quiet=True))
    with pytest.raises(ConfigError, match="'logicrd' model was fitted without training"):
        diagnose(distances, line)
    detector = copy.copy(rd)
    detector.method_name = "forest"
    detector.method = torch.nn.Module()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="'forest' does not rebuild"):
        diagnose(detector, line)
