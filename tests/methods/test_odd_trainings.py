"""Trainings with odd numbers and odd pictures: batches of one, black and constant pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from building import TINY_RADAR
from numpy.typing import NDArray
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.methods import names
from blemish.methods.radar.config import NETWORKS
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig

Pixels = NDArray[np.uint8]
QUIET = Progress(quiet=True)


@pytest.fixture(scope="module", params=names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(NETWORKS, "small", TINY_RADAR)
    with known_by_name():
        yield


def brief(name: str, batch_size: int = 4, steps: int = 3) -> Detector:
    trained = issubclass(method_class(name).config_class, TrainedConfig)
    settings = {"steps": steps, "batch_size": batch_size} if trained else {}
    if name == "radar":
        settings |= {"timestep": 150, "trees": 20}
    return Detector(name, image_size=64, teacher="tiny-three", settings=settings)


def learn(detector: Detector, good: Pixels, precision: str = "32-true") -> Detector:
    options = TrainingOptions(device="cpu", precision=precision)
    return detector.fit(good, false_alarm_rate=0.3, training=options, progress=QUIET)


def check_finite(detector: Detector, pictures: Pixels, batch_size: int = 8) -> list[float]:
    predictions = list(detector.predict(pictures, batch_size=batch_size))
    assert len(predictions) == len(pictures)
    for p in predictions:
        assert np.isfinite(p.score)
        assert np.isfinite(p.anomaly_map).all()
        assert all(np.isfinite(branch.score) for branch in p.branches.values())
        assert p.verdict is not None
    return [p.score for p in predictions]


def test_batches_of_one_and_a_last_batch_of_one(
    name: str, draw_part: Callable[..., Pixels]
) -> None:
    good = np.stack([draw_part(seed) for seed in range(22)])
    detector = learn(brief(name, batch_size=1), good[:21])  # 17 train where a fifth is held out
    nine = check_finite(detector, good[:9])  # eight and one
    alone = check_finite(detector, good[:9], batch_size=1)
    np.testing.assert_allclose(nine, alone, rtol=2e-4, atol=1e-4)


def test_a_black_picture_among_the_good_ones(name: str, good_parts: Pixels) -> None:
    with_black = np.concatenate([good_parts, np.zeros_like(good_parts[:1])])
    check_finite(learn(brief(name), with_black), with_black)


@pytest.mark.parametrize("grey", [pytest.param("one", marks=pytest.mark.slow), "own"])
def test_constant_pictures_give_numbers(name: str, grey: str) -> None:
    levels = np.full(8, 120) if grey == "one" else np.arange(60, 140, 10)
    constant = np.broadcast_to(levels[:, None, None, None], (8, 64, 64, 3)).astype(np.uint8)
    detector = learn(brief(name), constant)
    if grey == "one":  # equal pictures count as one, which sets no limits
        assert detector.calibration is None
        assert all(np.isfinite(p.score) for p in detector.predict(constant))
    else:
        check_finite(detector, constant)


def test_half_precision_gives_numbers(name: str, good_parts: Pixels) -> None:
    with_black = np.concatenate([good_parts, np.zeros_like(good_parts[:1])])
    check_finite(learn(brief(name), with_black, "bf16-mixed"), with_black)
