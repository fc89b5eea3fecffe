"""A detector that crops to the part: small parts fill the input, and come back where they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish import Detector, TrainingOptions, open_model
from blemish._progress import Progress
from blemish.errors import ConfigError

cv2 = pytest.importorskip("cv2")

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
SIZE = (240, 320)


def parts(count: int, seed: int = 0, places: tuple[tuple[int, int], ...] = ()) -> np.ndarray:
    """A part of 60 × 80 somewhere on an even, grainy field."""
    rng = np.random.default_rng(seed)
    pictures = np.full((count, *SIZE, 3), 40.0)
    for n, picture in enumerate(pictures):
        top, left = places[n] if places else rng.integers(20, (160, 220))
        picture[top : top + 60, left : left + 80] = (150, 120, 90)
        picture[top + 10 : top + 20, left + 50 : left + 70] = 220
    return (pictures + rng.normal(0, 3, pictures.shape)).clip(0, 255).astype(np.uint8)


def fitted(data: np.ndarray, **options: object) -> Detector:
    detector = Detector("patchcore", teacher_weights="random", image_size=(64, 96))
    fit = {"crop_to": "part", "false_alarm_rate": 0.2, "training": CPU, "progress": QUIET}
    return detector.fit(data, **{**fit, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained() -> Detector:
    return fitted(parts(14))


def test_a_flaw_is_found_where_it_is(trained: Detector, tmp_path: Path) -> None:
    assert any("around the part of each" in note for note in trained.fit_report.notes)
    for place in ((20, 30), (150, 200), (90, 60)):
        good, flawed = parts(2, 3, (place, place))
        flawed[place[0] + 40 : place[0] + 48, place[1] + 20 : place[1] + 28] = (255, 0, 0)
        one, other = trained.inspect(good), trained.inspect(flawed)
        assert other.score > 1.2 * one.score
        row, column = np.unravel_index(int(other.anomaly_map.argmax()), SIZE)
        assert abs(row - place[0] - 44) < 8
        assert abs(column - place[1] - 24) < 8
        assert other.roi is not None
        assert other.roi[place[0] : place[0] + 60, place[1] : place[1] + 80].all()
        assert other.roi.mean() < 0.25
        assert other.anomaly_map[~other.roi].max() == other.anomaly_map.min()
        assert other.to_dict()["pose"]["aligned"]
        trained.save(tmp_path / "m.blemish")
        again = open_model(tmp_path / "m.blemish").inspect(flawed)
        assert (again.score, again.pose) == (other.score, other.pose)


def test_a_picture_without_a_part_is_unsure(trained: Detector) -> None:
    found = trained.inspect(np.full((*SIZE, 3), 40, np.uint8))
    assert found.verdict == "unsure"
    assert "part was not found" in found.notes[0].sentence


def test_a_region_of_interest_says_where_the_part_is() -> None:
    roi = np.zeros(SIZE, bool)
    roi[80:160, 100:220] = True
    model = fitted(parts(12, places=((90, 110),) * 12), roi=roi)
    found = model.inspect(parts(1, 5, ((90, 110),))[0])
    assert found.pose is not None
    assert found.pose.box == (80, 100, 80, 120)
    assert found.roi is not None
    assert (found.roi == roi).all()


@pytest.mark.parametrize("tile", [None, 64])
def test_with_alignment_the_frame_lies_as_the_reference_does(tile: int | None) -> None:
    places = tuple((90 + n % 3, 110 - n % 4) for n in range(12))
    how = {"image_size": (64, 96)} if tile is None else {"tile": tile}
    detector = Detector("trio", teacher_weights="random", **how)  # type: ignore[arg-type]
    options = {"false_alarm_rate": 0.2, "training": CPU, "progress": QUIET}
    model = detector.fit(parts(12, places=places), align=True, crop_to="part", **options)  # type: ignore[arg-type]
    found = model.inspect(parts(1, 5, ((100, 120),))[0])
    assert found.pose is not None
    assert found.pose.aligned
    assert found.roi is not None
    assert found.roi[100:160, 120:200].all()
    assert found.roi.mean() < 0.25
    assert found.anomaly_map.shape == SIZE


def test_where_no_part_stands_out_nothing_is_cropped_and_that_is_said() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (10, *SIZE, 3)).astype(np.uint8)
    model = fitted(noise)
    assert model.inspect(noise[0]).pose is None
    assert any("Not cropped: in 10 of 10 good" in note for note in model.fit_report.notes)
    with pytest.raises(ConfigError, match="crop_to is 'bolt'; expected part"):
        fitted(noise, crop_to="bolt")
