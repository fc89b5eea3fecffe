"""A detector that looks twice: at the tiles of a picture, and at all of it, scaled to a tile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.images.look_units import LookUnit, LookUnits, UnitPair
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import Tiling
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError
from blemish.inspection.network import NetworkOutput
from blemish.inspection.pipeline import judge_samples
from blemish.inspection.tiling import judge_picture, judged_tiles
from blemish.inspection.two_scales import _raise_to, fused
from blemish.training import tile_sample, two_looks

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
UNITS = LookUnits(
    UnitPair(LookUnit(100.0, 10.0), LookUnit(50.0, 5.0)),
    UnitPair(LookUnit(100.0, 20.0), LookUnit(50.0, 10.0)),
    {"mean": UnitPair(LookUnit(100.0, 10.0), LookUnit(50.0, 5.0))},
)
PREPARE = Preprocessing(32, 32, tiling=Tiling(8, coarse=UNITS))


def pictures(count: int, height: int = 96, width: int = 160) -> np.ndarray:
    """Of one kind: a gradient with some grain."""
    rng = np.random.default_rng(5)
    slope = np.linspace(60, 160, width)[None, None, :, None]
    return (slope + rng.normal(0, 6, (count, height, width, 3))).clip(0, 255).astype(np.uint8)


def brightness(pixels: np.ndarray) -> NetworkOutput:
    maps = pixels.mean(3, dtype=np.float32)
    scores = maps.max((1, 2)).astype(np.float64)
    return NetworkOutput(maps, scores, {"mean": scores})


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


def detector(method: str = "trio", **options: object) -> Detector:
    options = {"tile": 64, "coarse": True, "teacher": "tiny-three", **options}
    return Detector(method, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained() -> Detector:
    made = detector(teacher=None, teacher_weights="random")  # finer: some tests tell its places
    return made.fit(pictures(12), false_alarm_rate=2 / 13, training=CPU, progress=QUIET)


def test_the_whole_is_one_input_more_below_the_picture() -> None:
    pixels = np.zeros((64, 160, 3), np.uint8)
    pixels[:, 80:] = 200
    canvas = PREPARE(pixels)
    grid = PREPARE.grid((canvas.shape[0], canvas.shape[1]))
    assert canvas.shape == (64 + 32, 160, 3)
    assert grid.size == (64, 160)
    assert len(grid) == grid.tiles + 1
    assert grid == PREPARE.inputs((64, 160))
    np.testing.assert_array_equal(canvas[:64], pixels)
    whole = grid.cut(canvas, grid.tiles)
    assert whole.shape == (32, 32, 3)
    top, left, height, width = grid.shrunk
    assert (top, left, height, width) == (9, 0, 13, 32)
    assert (whole[:top] == 127).all()
    assert (whole[top : top + height, :14] == 0).all()
    assert (whole[top : top + height, 18:] == 200).all()


def test_score_and_map_are_both_looks_in_deviations_of_good_pictures() -> None:
    pixels = np.full((64, 160, 3), 40, np.uint8)
    pixels[10:12, 100:102] = 180  # too small for the whole
    seen = PREPARE(pixels)
    tiles, whole = judged_tiles(brightness, PREPARE, seen).looks()
    found = judge_picture(brightness, PREPARE, seen)
    assert tiles.scores[0] == 180
    a, b = (180 - 100) / 10, (float(whole.scores[0]) - 50) / 5
    expected = np.log((np.exp(a) + np.exp(b)) / 2)
    assert found.scores[0] == pytest.approx(expected)
    assert found.branches["mean"][0] == pytest.approx(expected)
    assert found.maps.shape == (1, 64, 160)
    assert found.maps[0, 10, 100] == pytest.approx((180 - 100) / 20, rel=1e-4)
    # Where the tiles show nothing, what the whole says counts: more here, in its units.
    assert found.maps[0, 50, 20] == pytest.approx((40 - 50) / 10, abs=0.02)


def test_what_the_whole_alone_shows_is_found_where_it_lies() -> None:
    def dark_half(pixels: np.ndarray) -> NetworkOutput:
        """Sees a bright half of its input and nothing smaller."""
        left, right = pixels[:, :, :16].mean((1, 2, 3)), pixels[:, :, 16:].mean((1, 2, 3))
        maps = np.zeros(pixels.shape[:3], np.float32)
        maps[:, :, 16:] = (right - left)[:, None, None].clip(0)
        return NetworkOutput(maps, maps.max((1, 2)).astype(np.float64))

    pixels = np.zeros((320, 320, 3), np.uint8)
    pixels[:, 160:] = np.linspace(0, 255, 160).astype(np.uint8)[None, :, None]
    plain = Preprocessing(32, 32, tiling=Tiling(0, coarse=LookUnits()))
    output = judge_picture(dark_half, plain, plain(pixels))
    right, left = output.maps[0, :, 200:].min(), output.maps[0, :, :120].max()
    assert right > 100
    assert left < 1


@pytest.mark.parametrize("size", [(64, 96), (700, 300)])
def test_the_coarse_map_is_enlarged_as_pillow_does(size: tuple[int, int]) -> None:
    coarse = np.random.default_rng(0).normal(size=(20, 32)).astype(np.float32)
    amap = np.full(size, -100, np.float32)
    _raise_to(amap, coarse)
    whole = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(amap, np.asarray(whole), atol=1e-5)
    amap = np.full(size, 100, np.float32)
    _raise_to(amap, coarse)
    assert (amap == 100).all()


def test_the_larger_counts_and_a_little_of_both_is_more() -> None:
    units = UnitPair(LookUnit(0.0, 1.0), LookUnit(0.0, 1.0))
    assert fused(units, 9.0, -3.0) == pytest.approx(9 - np.log(2), abs=1e-3)
    assert fused(units, 2.0, 2.0) == pytest.approx(2)
    assert np.isnan(fused(units, float("nan"), 0.0))


def test_the_product_is_the_one_that_the_whole_shows() -> None:
    def recognising(pixels: np.ndarray) -> NetworkOutput:
        output = brightness(pixels)
        names = tuple("nut" if tile.std() > 40 else "bolt" for tile in pixels)
        return NetworkOutput(output.maps, output.scores, products=names)

    pixels = np.zeros((320, 320, 3), np.uint8)
    pixels[:, 160:] = 200  # each tile is of one colour
    plain = Preprocessing(32, 32, tiling=Tiling(0, coarse=LookUnits()))
    sample = Sample(Path("#0"), "", "test", None, image=pixels)
    ((_, found),) = judge_samples(recognising, plain, [sample], calibration=None)
    assert found.recognised == "nut"


def test_where_to_look_first_comes_from_the_whole_as_well() -> None:
    def departing(pixels: np.ndarray) -> NetworkOutput:
        quarters = np.zeros((len(pixels), 2, 2), np.float32)
        quarters[:, 1, 0] = [9.0 * (tile.std() > 60) for tile in pixels]
        output = brightness(pixels)
        return NetworkOutput(output.maps, output.scores, {}, quarters)

    pixels = np.zeros((320, 640, 3), np.uint8)
    pixels[:, 320:] = 200
    plain = Preprocessing(32, 32, tiling=Tiling(0, coarse=LookUnits()))
    departures = judge_picture(departing, plain, plain(pixels)).departures
    assert departures is not None
    seen = departures[0] > 5
    rows, columns = np.nonzero(seen)
    assert seen.any()
    assert rows.min() >= 10  # of 20: the lower half
    assert columns.max() < 20  # of 40: the left one


def test_limits_are_per_picture_and_from_both_looks(trained: Detector) -> None:
    assert trained.calibration is not None
    assert trained.preprocessing is not None
    assert trained.calibration.n == 12
    tiling = trained.preprocessing.tiling
    assert tiling is not None
    assert tiling.coarse is not None
    assert tiling.coarse.score.tiles != LookUnit()
    assert set(tiling.coarse.branches) == {"structural", "logical"}
    # Deviations of good pictures: their median is near 0.
    scores = [score for group in trained.calibration.groups for score in group.scores]
    assert abs(float(np.median(scores))) < 1
    good, bad = pictures(14)[12:]
    bad = bad.copy()
    bad[40:46, 100:106] = 255
    one, other = trained.predict([good, bad])
    assert other.score > one.score
    assert other.verdict == "defect"
    assert other.anomaly_map.shape == (96, 160)
    row, column = np.unravel_index((other.anomaly_map - one.anomaly_map).argmax(), (96, 160))
    assert abs(row - 43) < 16
    assert abs(column - 103) < 16


def test_the_memory_of_the_whole_is_its_own(trained: Detector) -> None:
    assert trained.method is not None
    assert trained.products == trained.method.products
    assert len(trained.products) == 1
    shows = trained.method.state_dict()["product.shows"]
    assert shows.tolist() == [0] * len(shows)
    assert len(shows) >= 2


def test_file_and_export_look_twice_alike(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from blemish import open_model
    from blemish.export.exporter import export_model

    # A graph of few nodes: that of the trio is in tests/export/test_graph.py.
    trained = Detector("patchcore", tile=64, coarse=True, teacher="tiny-three")
    trained.fit(pictures(28), false_alarm_rate=0.2, training=CPU, progress=QUIET)
    trained.save(tmp_path / "m.blemish")
    loaded = Detector.load(tmp_path / "m.blemish")
    export_model(tmp_path / "m.blemish", tmp_path / "e.blemish")
    assert loaded.preprocessing == trained.preprocessing
    assert loaded.input.coarse
    exported = open_model(tmp_path / "e.blemish", threads=1)
    large = pictures(2, 200, 300)
    large[1, 90:96, 150:156] = 255
    found = zip(*(m.predict(large) for m in (trained, loaded, exported)), strict=True)
    for one, same, other in found:
        assert one.score == same.score
        np.testing.assert_array_equal(one.anomaly_map, same.anomaly_map)
        assert other.score == pytest.approx(one.score, abs=1e-2)
        np.testing.assert_allclose(other.anomaly_map, one.anomaly_map, atol=1e-2)
        assert one.verdict == other.verdict


@pytest.mark.parametrize("method", ["rd", "patchcore"])
def test_methods_that_hold_pictures_out_get_units_from_those(method: str) -> None:
    settings = {"steps": 2, "batch_size": 4} if method == "rd" else {"rows": 100_000}
    made = detector(method, settings=settings)
    good = pictures(28)
    made.fit(good[:20], false_alarm_rate=0.4, training=CPU, progress=QUIET)
    assert made.preprocessing is not None
    assert made.preprocessing.tiling is not None
    units = made.preprocessing.tiling.coarse
    assert units is not None
    assert units.score.tiles.deviation != 1.0
    # A memory of all that it has seen finds new pictures no odder than those of the units.
    assert abs(np.median([found.score for found in made.predict(list(good[20:]))])) < 3


def test_a_coarse_look_with_nothing_to_compare_it_on_is_refused_before_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("blemish.training.train.train", None)
    with pytest.raises(DataError, match=r"of these 1 can be read, where 2 are needed: give more"):
        detector("patchcore").fit(pictures(4), training=CPU, progress=QUIET)


def test_units_are_of_pictures_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_looks, "_MOST", 2)  # first and last
    samples = [Sample(Path(f"#{n}"), "", "train", 0, image=p) for n, p in enumerate(pictures(4))]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Sample(tmp_path / "broken.png", "", "train", 0)
    prepare = Preprocessing(32, 32, tiling=Tiling(8, coarse=LookUnits()))
    expected = two_looks.units_by_judging(brightness, prepare, samples[1:3], QUIET)
    some = [broken, *samples[1:3], broken]
    assert two_looks.units_by_judging(brightness, prepare, some, QUIET) == expected
    for few in ([broken, broken], [broken, samples[0], broken]):
        with pytest.raises(DataError, match="can be read, where 2 are needed"):
            two_looks.units_by_judging(brightness, prepare, few, QUIET)


def test_the_whole_trains_where_not_all_tiles_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_sample, "MOST_PIXELS", 40 * 64 * 64)  # of 84
    samples = [Sample(Path(f"#{n}"), "", "train", 0, image=p) for n, p in enumerate(pictures(12))]
    prepare = Preprocessing(64, 64, tiling=Tiling(8, coarse=LookUnits()))
    chosen = tile_sample.choose_tiles(samples, prepare, seed=0)
    assert not chosen.whole
    assert [own[-1] for own in chosen.places] == [6] * 12
    assert sum(chosen.looks()) == 12
    assert len(chosen) <= 40
    made = detector()
    made.fit(pictures(12), false_alarm_rate=0.4, training=CPU, progress=QUIET)
    assert made.fit_report.calibration_images == 2


def test_auto_tiles_have_the_pictures_shape_and_make_a_whole_as_large_as_ever() -> None:
    made = detector(tile="auto", teacher=None)
    choice, speed, config = made.input, made.speed.point, made.config

    def tile(height: int, width: int) -> tuple[int, int]:
        seen = choice.preprocessing(speed, config, [(height, width)] * 5)
        assert seen.tiling is not None
        return seen.size

    assert tile(800, 800) == (448, 448)  # four of them, and the whole
    assert tile(1250, 500) == (672, 288)
    assert tile(500, 500) == (384, 384)
    assert choice.preprocessing(speed, config, [(300, 300)] * 5).tiling is None


def copy_of(detector: Detector, folder: Path) -> Detector:
    detector.save(folder / "copy.blemish")
    return Detector.load(folder / "copy.blemish")


def test_more_pictures_are_learned_in_the_units_that_there_are(
    trained: Detector, tmp_path: Path
) -> None:
    learner = copy_of(trained, tmp_path)
    more = pictures(26)[12:]  # not those that it knows
    good, bad = more[-2:]
    bad = bad.copy()
    bad[40:46, 100:106] = 255
    report = learner.learn(more[:12], training=CPU, progress=QUIET)
    assert report.images == {"product": 12}
    assert learner.preprocessing == trained.preprocessing
    assert learner.calibration is not None
    assert learner.calibration.n == 24
    assert trained.calibration is not None
    old = set(trained.calibration.groups[0].scores)
    new = [score for score in learner.calibration.groups[0].scores if score not in old]
    assert len(new) == 12
    # Both looks are in the scores: tiles alone are odder, in deviations of no unit.
    assert abs(float(np.median(new))) < 2
    (one, other), (before, _) = (made.predict([good, bad]) for made in (learner, trained))
    assert other.verdict == "defect"
    assert one.score < other.score
    # A picture as good as those learned is no odder than it was.
    assert one.score < before.score + 1


def test_a_product_is_learned_with_both_its_looks(trained: Detector, tmp_path: Path) -> None:
    learner = copy_of(trained, tmp_path)
    assert trained.method is not None
    groups = len(trained.method.state_dict()["product.shows"])
    others = 255 - pictures(17, 128, 128).transpose(0, 2, 1, 3)
    learner.learn(others[:12], product="other", training=CPU, progress=QUIET)
    assert learner.products == ("product", "other")
    assert learner.method is not None
    shows = learner.method.state_dict()["product.shows"].tolist()
    assert shows == [0] * groups + [1, 1]  # its tiles, and the whole
    known, new = pictures(13)[12], others[12]
    one, other = learner.predict([known, new])
    assert (one.recognised, other.recognised) == ("product", "other")
    assert one.score == next(iter(trained.predict([known]))).score
    # One of thirteen pictures that are alike is the oddest, and may be a new one.
    assert sum(p.verdict == "defect" for p in learner.predict(others[12:])) <= 1
    (again,) = copy_of(learner, tmp_path).predict([new])
    assert again.score == other.score


def test_what_cannot_be_is_said_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="which the trio alone can take"):
        detector("patchcore", tile=None)
    with pytest.raises(ConfigError, match="none were asked for"):
        detector(tile=None, overlap=8)
    good = Tiling(8, coarse=UNITS).to_json()
    assert Tiling.from_json(good) == Tiling(8, coarse=UNITS)
    units = good["coarse"]
    for wrong in ({}, {**units, "peak": [[0, 1]]}, {**units, "score": [[0, 0]] * 2}):
        with pytest.raises(ConfigError, match="not one this version knows"):
            Tiling.from_json({**good, "coarse": wrong})
