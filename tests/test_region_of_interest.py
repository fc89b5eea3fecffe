"""A detector with a region of interest: what is ignored decides nothing, trained and exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions, open_model
from blemish._progress import Progress
from blemish.data.images.roi_source import region_of_interest
from blemish.data.sample import Sample
from blemish.errors import ConfigError, ImageError
from blemish.evaluation.evaluator import Evaluator

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
SIZE = (96, 160)
Pictures = np.ndarray
#: What is looked at: all but a frame and a bar on the right.
LOOKED_AT = np.zeros(SIZE, bool)
LOOKED_AT[10:86, 12:120] = True


def pictures(count: int, seed: int = 5) -> Pictures:
    """Of one kind: a gradient with some grain, and what is ignored by chance black or white."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(60, 160, SIZE[1])[None, None, :, None]
    images = (slope + rng.normal(0, 6, (count, *SIZE, 3))).clip(0, 255).astype(np.uint8)
    return with_other_background(images, rng)


def with_other_background(images: Pictures, rng: np.random.Generator) -> Pictures:
    changed = rng.integers(0, 2, images.shape, np.uint8) * np.uint8(255)
    return np.where(LOOKED_AT[..., None], images, changed)


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


def fitted(method: str = "trio", roi: object = LOOKED_AT, **options: object) -> Detector:
    detector = Detector(method, teacher="tiny-three", **options)  # type: ignore[arg-type]
    return detector.fit(
        pictures(12),
        roi=roi,  # type: ignore[arg-type]
        false_alarm_rate=0.2,
        training=CPU,
        progress=QUIET,
    )


def blotch(image: Pictures, top: int, left: int) -> Pictures:
    marked = image.copy()
    marked[top : top + 8, left : left + 8] = (255, 0, 0)
    return marked


@pytest.fixture(scope="module")
def trained() -> Detector:
    return fitted(image_size=(64, 96))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("trio", {"image_size": (64, 96)}),
        ("trio", {"tile": 64}),
        ("patchcore", {"image_size": (64, 96)}),
        ("borad", {"image_size": (64, 96), "settings": {"steps": 3, "batch_size": 4}}),
    ],
)
def test_nothing_moves_when_only_ignored_pixels_change(
    method: str, options: dict[str, object]
) -> None:
    model = fitted(method, **options)
    one = pictures(3, seed=9)
    other = with_other_background(one, np.random.default_rng(1))
    assert (one != other).any()
    for a, b in zip(model.predict(one), model.predict(other), strict=True):
        assert a.score == b.score
        assert {n: x.score for n, x in a.branches.items()} == {
            n: x.score for n, x in b.branches.items()
        }
        assert (a.anomaly_map == b.anomaly_map).all()
        assert (a.verdict, a.regions) == (b.verdict, b.regions)


def test_training_sees_nothing_of_what_is_ignored(trained: Detector) -> None:
    again = Detector("trio", teacher="tiny-three", image_size=(64, 96))
    other = with_other_background(pictures(12), np.random.default_rng(2))
    again.fit(other, roi=LOOKED_AT, false_alarm_rate=0.2, training=CPU, progress=QUIET)
    assert trained.calibration is not None
    assert again.calibration is not None
    assert trained.calibration.groups[0].scores == again.calibration.groups[0].scores
    assert trained.calibration.groups[0].peaks == again.calibration.groups[0].peaks


def test_a_defect_outside_is_not_found_and_one_inside_is(trained: Detector) -> None:
    good = pictures(3, seed=13)[1]
    plain, outside, inside = trained.predict([good, blotch(good, 40, 140), blotch(good, 40, 60)])
    assert outside.score == plain.score
    assert outside.verdict == plain.verdict == "ok"
    assert outside.regions == plain.regions
    assert not outside.regions
    assert inside.verdict == "defect"
    left, top, right, bottom = inside.regions[0].box
    assert left < 64 < right
    assert top < 44 < bottom


def test_maps_marks_and_regions_stay_inside(trained: Detector) -> None:
    prediction = trained.inspect(blotch(pictures(3, seed=11)[2], 40, 112))  # at the border
    assert prediction.verdict == "defect"
    assert prediction.roi is not None
    assert (prediction.roi == LOOKED_AT).all()
    assert prediction.mask is not None
    assert prediction.mask.any()
    assert not prediction.mask[~LOOKED_AT].any()
    assert max(region.box[2] for region in prediction.regions) <= 120
    assert (prediction.anomaly_map[~LOOKED_AT] == prediction.anomaly_map.min()).all()
    assert len(prediction.map_values) == LOOKED_AT.sum()


def test_it_is_stored_in_the_file_and_exported_with_it(trained: Detector, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from blemish.export.exporter import export_model

    # A graph of few nodes: the region is beside it, whatever the method.
    brief = fitted("patchcore", image_size=(64, 96))
    brief.save(tmp_path / "p.blemish")
    export_model(tmp_path / "p.blemish", tmp_path / "e.blemish", progress=QUIET)
    trained.save(tmp_path / "m.blemish")
    for name, made in (("m.blemish", trained), ("e.blemish", brief)):
        model = open_model(tmp_path / name)
        assert model.ready()[1] == made.ready()[1]
        good = next(p for p in pictures(9, seed=11) if made.inspect(p).verdict == "ok")
        changed = with_other_background(good[None], np.random.default_rng(3))[0]
        one, other, bad = model.predict([good, changed, blotch(good, 40, 60)])
        assert one.score == other.score
        assert (one.anomaly_map == other.anomaly_map).all()
        assert (one.verdict, bad.verdict) == ("ok", "defect")


def test_it_is_scaled_with_pictures_of_another_size(trained: Detector) -> None:
    large = pictures(3, seed=11)[2].repeat(2, 0).repeat(2, 1)
    prediction = trained.inspect(large)
    assert prediction.roi is not None
    assert (prediction.roi == LOOKED_AT.repeat(2, 0).repeat(2, 1)).all()


def test_a_picture_of_another_shape_is_refused(trained: Detector, tmp_path: Path) -> None:
    path = tmp_path / "square.png"
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(path)
    failed: list[str] = []
    assert not list(trained.predict(path, on_error=lambda _, error: failed.append(str(error))))
    assert failed == [
        f"{path} has 96×96 pixels (H×W), and the region of interest was given for pictures of "
        "96×160: they differ in shape, so that it cannot be laid over this one. Crop it as those "
        "were."
    ]
    with pytest.raises(ImageError, match="differ in shape"):
        trained.inspect(np.zeros((300, 160, 3), np.uint8))


def test_fit_refuses_a_region_of_another_shape_and_an_unknown_product() -> None:
    with pytest.raises(ConfigError, match=r"of product is for pictures of 50×50 .* have 96×160"):
        fitted(roi=np.ones((50, 50), bool))
    with pytest.raises(ConfigError, match="the product 'nut'; the products are product"):
        fitted(roi={"nut": LOOKED_AT})


def test_fit_says_what_is_looked_at_and_that_it_is_scaled() -> None:
    notes = fitted(image_size=64, roi=LOOKED_AT[::2, ::2]).fit_report.notes
    [note] = [note for note in notes if "looked at" in note]
    assert note == (
        "product: 53 % of the picture is looked at, the rest takes no part in anything. It was "
        "given for pictures of 48×80 (H×W) and is scaled with them."
    )


def test_regions_by_product_need_the_product_named() -> None:
    from blemish.data.sample import DataSet

    samples = [
        Sample(Path(f"{name}{n}"), name, "train", 0, image=image)
        for name, seed in (("nut", 1), ("bolt", 2))
        for n, image in enumerate(pictures(6, seed=seed) // (1 + (name == "nut")))
    ]
    detector = Detector("trio", teacher="tiny-three", image_size=64)
    detector.fit(
        DataSet("own", Path("own"), tuple(samples)),
        roi=region_of_interest(ignore={"nut": ~LOOKED_AT}),
        false_alarm_rate=0.4,
        training=CPU,
        progress=QUIET,
    )
    nut, bolt = samples[0].image, samples[-1].image
    with pytest.raises(ConfigError, match=r"recognised too late .* one of nut"):
        detector.inspect(nut)
    assert detector.inspect(nut, product="nut").roi is not None
    assert detector.inspect(bolt, product="bolt").roi is None


def test_ignored_pixels_are_in_no_metric(trained: Detector, tmp_path: Path) -> None:
    good = pictures(2, seed=12)
    masks = np.zeros((2, *SIZE), np.uint8)
    masks[0, 40:48, 60:68] = masks[0, 40:48, 130:138] = 255  # half of it is ignored
    masks[1, 40:48, 140:148] = 255  # all of it
    for n, mask in enumerate(masks):
        Image.fromarray(mask).save(tmp_path / f"{n}.png")
    bad = blotch(good[1], 40, 60)
    evaluator = Evaluator()
    for n, (image, label) in enumerate(((good[0], 0), (bad, 1), (good[1], 1))):
        paths = (tmp_path / f"{n - 1}.png",) if label else ()
        sample = Sample(Path(f"{n}"), "product", "test", label, image=image, mask_paths=paths)
        [prediction] = trained.predict([sample])
        evaluator.add(sample, prediction)
    [result] = evaluator.compute().products
    assert (result.good, result.defective, result.masked) == (1, 1, 1)
    assert result.metrics["image_auroc"] == 1.0
    assert result.metrics["pixel_aupro"] > 0.8  # the ignored half would take half of it away
    ranking = evaluator._products["product"].pixels.ranking()
    assert ranking.positives + ranking.negatives == 2 * LOOKED_AT.sum()
    assert ranking.positives == 64
    assert any("nothing is looked at: 1 images" in problem for problem in result.problems)


def test_the_overlay_dims_what_is_ignored(trained: Detector) -> None:
    image = np.full((480, 800, 3), 200, np.uint8)
    drawn = np.asarray(trained.inspect(image).overlay())
    assert drawn[10, 10].tolist() == [66, 66, 66]
    assert drawn[240, 300].mean() > 66


def test_the_command_line_takes_files(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from blemish.cli.app import app

    for n, image in enumerate(pictures(10)):
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "good" / f"{n}.png")
    shapes = {"width": 160, "height": 96, "look": [{"rectangle": [12, 10, 120, 86]}]}
    (tmp_path / "roi.json").write_text(json.dumps(shapes))
    Image.fromarray(~LOOKED_AT).save(tmp_path / "dirt.png")
    models = []
    for option, file in (("--roi", "roi.json"), ("--ignore", "dirt.png")):
        out = tmp_path / f"{file}.blemish"
        arguments = ["fit", str(tmp_path / "good"), "--out", str(out), option, str(tmp_path / file)]
        arguments += ["--size", "64", "--teacher-weights", "random", "--device", "cpu", "--quiet"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        models.append(open_model(out))
    one, other = models
    assert one.ready()[1] == other.ready()[1]
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "roi.json.blemish")])
    assert "53 %, by region of interest" in shown.output
