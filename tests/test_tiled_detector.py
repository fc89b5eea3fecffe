"""A tiled detector: trained, calibrated per picture, saved, exported and opened again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.images.tiles import Tiling
from blemish.errors import ConfigError
from blemish.training import tile_sample

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
Pictures = np.ndarray


def pictures(count: int, height: int = 96, width: int = 160) -> Pictures:
    """Of one kind: a gradient with some grain."""
    rng = np.random.default_rng(5)
    slope = np.linspace(60, 160, width)[None, None, :, None]
    return (slope + rng.normal(0, 6, (count, height, width, 3))).clip(0, 255).astype(np.uint8)


def tiled(method: str = "trio", **options: object) -> Detector:
    options = {"tile": 64, "teacher": "tiny-three", **options}
    return Detector(method, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


@pytest.fixture(scope="module")
def trained() -> Detector:
    detector = tiled()
    detector.fit(pictures(12), false_alarm_rate=0.2, training=CPU, progress=QUIET)
    return detector


def test_limits_are_per_picture_from_all_of_them(trained: Detector) -> None:
    assert trained.calibration is not None
    assert trained.calibration.n == 12
    assert trained.preprocessing is not None
    assert trained.preprocessing.tiling == Tiling(overlap=8)


def test_a_record_is_what_the_tiles_said_at_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    from blemish.training import train

    seen = []
    before = train.out_of_fold_records

    def keep(found: object, data: object, *more: object) -> object:
        seen.append((found, data))
        return before(found, data, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "out_of_fold_records", keep)
    detector = tiled(settings={"groups": 1})
    detector.fit(pictures(9), false_alarm_rate=0.2, training=CPU, progress=QUIET)
    report = detector.fit_report
    ((found, data),) = seen
    tiles = len(data.pictures) // 9
    assert tiles == 6
    worst = found.score.view(9, tiles)[found.image.view(9, tiles)[:, 0].argsort()].amax(1)
    assert [r.score for r in report.training.out_of_fold] == pytest.approx(worst.tolist())


def test_a_map_has_the_picture_s_size_and_a_small_mark_stands_out(trained: Detector) -> None:
    good = pictures(13)[12]
    bad = good.copy()
    bad[40:46, 100:106] = 255
    one, other = trained.predict([good, bad])
    assert one.anomaly_map.shape == other.anomaly_map.shape == (96, 160)
    assert other.score > one.score
    assert other.verdict == "defect"
    rise = other.anomaly_map - one.anomaly_map
    row, column = np.unravel_index(rise.argmax(), rise.shape)
    assert abs(row - 43) < 16
    assert abs(column - 103) < 16


def test_the_model_file_tiles_alike(trained: Detector, tmp_path: Path) -> None:
    trained.save(tmp_path / "m.blemish")
    loaded = Detector.load(tmp_path / "m.blemish")
    assert loaded.preprocessing == trained.preprocessing
    for one, other in zip(trained.predict(pictures(3)), loaded.predict(pictures(3)), strict=True):
        assert one.score == other.score
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
    # Learned once more, it tiles again.
    assert (
        loaded.input.preprocessing(loaded.speed.point, loaded.config, [(96, 160)])
        == trained.preprocessing
    )


def test_pictures_of_other_sizes_are_judged_too(trained: Detector) -> None:
    sizes = [(20, 20), (64, 64), (300, 70), (1, 500)]
    found = trained.predict([pictures(1, *size)[0][..., 0] for size in sizes])
    assert [p.anomaly_map.shape for p in found] == sizes


def test_where_not_all_tiles_train_some_pictures_are_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tile_sample, "MOST_PIXELS", 40 * 64 * 64)  # of 72
    detector = tiled()
    detector.fit(pictures(12), false_alarm_rate=0.4, training=CPU, progress=QUIET)
    report = detector.fit_report
    assert report.training_images == 10
    assert report.calibration_images == 2


@pytest.mark.parametrize("method", ["rd", pytest.param("radar", marks=pytest.mark.slow)])
def test_methods_that_train_learn_from_tiles(method: str) -> None:
    detector = tiled(method, settings={"steps": 2, "batch_size": 4})
    detector.fit(pictures(8), false_alarm_rate=0.4, training=CPU, progress=QUIET)
    assert next(detector.predict(pictures(1)[0])).anomaly_map.shape == (96, 160)


def test_auto_cuts_only_what_is_larger_than_the_input() -> None:
    detector = tiled(tile="auto", speed="fast")
    choice, speed, config = detector.input, detector.speed.point, detector.config
    whole = choice.preprocessing(speed, config, [(200, 256)])
    assert whole.tiling is None
    cut = choice.preprocessing(speed, config, [(100, 2000)] * 5)
    assert cut.size == (128, 256)
    assert cut.tiling == Tiling(overlap=16)
    # Two rows and three columns as with tiles of 256², which need be no larger than this.
    cut = choice.preprocessing(speed, config, [(300, 600)] * 5)
    assert cut.size == (192, 224)
    assert len(cut.grid(cut.seen((300, 600)))) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"overlap": 40}, "half a tile's side, 32"),
        ({"overlap": 64}, "half a tile's side, 32"),
        ({"tile": 100}, "multiples of 32"),
        ({"scale": 0.0}, "above 0 and up to 1"),
        ({"tile": "auto", "scale": 2.0}, "above 0 and up to 1"),
        ({"tile": None, "overlap": 8}, "none were asked for"),
        ({"image_size": 64}, "Give one of the two"),
        ({"tile": (64, 64, 3)}, "or auto"),
        ({"tile": "big"}, "or auto"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tiled(**options)


def test_labelled_defects_cannot_train_on_tiles() -> None:
    with pytest.raises(ConfigError, match="which tile of a picture shows its defect"):
        tiled("anomem").fit(pictures(8), defects=pictures(1), training=CPU, progress=QUIET)


def test_pictures_smaller_than_a_tile_are_told_of() -> None:
    detector = tiled(tile=128)
    detector.fit(pictures(6), false_alarm_rate=0.4, training=CPU, progress=QUIET)
    report = detector.fit_report
    told = "6 of 6 pictures, of 96×160 for one, are smaller than a tile of 128×128"
    assert any(told in note for note in report.notes)


def test_an_exported_model_tiles_the_same_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from blemish import open_model
    from blemish.export.exporter import export_model

    # A graph of few nodes: with two looks, that of Trio is exported in test_two_scales.py.
    trained = tiled("patchcore")
    trained.fit(pictures(12), false_alarm_rate=0.2, training=CPU, progress=QUIET)
    trained.save(tmp_path / "m.blemish")
    report = export_model(tmp_path / "m.blemish", tmp_path / "e.blemish")
    assert report.parity.score < 1e-3
    assert report.parity.anomaly_map < 1e-3
    exported = open_model(tmp_path / "e.blemish", threads=1)
    large = pictures(2, 200, 300)
    large[1, 90:96, 150:156] = 255
    pairs = zip(trained.predict(large), exported.predict(large), strict=True)
    for one, other in pairs:
        assert other.score == pytest.approx(one.score, rel=1e-3)
        np.testing.assert_allclose(other.anomaly_map, one.anomaly_map, atol=2e-3, rtol=1e-3)
        assert one.verdict == other.verdict


def test_small_passes_say_the_same_as_a_large_one(
    trained: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _ = trained.ready()
    tiles = pictures(7, 64, 64)
    at_once = network(tiles)
    counts: list[int] = []
    assert trained.method is not None
    monkeypatch.setattr("blemish.training.method_network._PASS", 3 * 64 * 64)
    with trained.method.register_forward_pre_hook(lambda _, given: counts.append(len(given[0]))):
        cut = network(tiles)
    assert counts == [3, 3, 1]
    np.testing.assert_allclose(cut.maps, at_once.maps, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(cut.scores, at_once.scores, rtol=1e-4)
    for name, values in at_once.branches.items():
        np.testing.assert_allclose(cut.branches[name], values, rtol=1e-4, atol=1e-4)
