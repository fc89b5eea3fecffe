"""One picture through the one door, and what its prediction can do for itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blemish
from blemish import Detector, Prediction
from blemish.data.images.appearance import appearance
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError, ImageError, PictureWarning
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.inspector import Inspector, open_model
from blemish.outputs.csv_jsonl import JsonLinesSink
from blemish.results import Note
from brief_detector import QUIET, brief, fit


@pytest.fixture(scope="module")
def model(exported_file: Path) -> Inspector:
    return open_model(exported_file)


@pytest.fixture(scope="module")
def bad(part: Path) -> Path:
    return part / "test" / "stain" / "00.png"


def test_one_picture_is_judged_as_among_others(model: Inspector, bad: Path) -> None:
    wanted = next(model.predict(bad))
    pixels = np.asarray(Image.open(bad).convert("RGB"))
    for form in (bad, str(bad), bad.read_bytes(), io.BytesIO(bad.read_bytes()), pixels):
        found = model.inspect(form)
        assert isinstance(found, Prediction)
        assert (found.score, found.verdict, found.regions) == (
            *(wanted.score, wanted.verdict),
            wanted.regions,
        )
        assert found.path == (bad if isinstance(form, str | Path) else None)
    assert model.inspect(pixels[..., ::-1], channels="bgr").score == wanted.score
    assert model.inspect(pixels, product="part").product == "part"
    [several] = model.predict(io.BytesIO(bad.read_bytes()))  # judged nothing, and said nothing
    assert several.score == wanted.score


def test_an_unreadable_one_raises(model: Inspector, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="empty"):
        model.inspect(io.BytesIO())
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"cut\.png"):
        model.inspect(tmp_path / "cut.png")


def test_a_prediction_reads(model: Inspector, bad: Path) -> None:
    found = model.inspect(bad)
    said = repr(found)
    assert said.startswith("<Prediction of 00.png: ")
    assert "of 00.png, nut: " in repr(replace(found, product="nut"))
    assert f": {found.verdict}, score {found.score:.4g}, p = {found.p_value:.3g}" in said
    assert "array(" not in said
    noted = replace(found, notes=(Note("size", "It is small."),))
    assert "note: It is small." in repr(noted)
    assert repr(Prediction(None, None, 1.0, found.anomaly_map)) == (
        "<Prediction: not calibrated, score 1>"
    )


def test_its_dict_is_the_line_that_is_written(model: Inspector, bad: Path, tmp_path: Path) -> None:
    found = replace(model.inspect(bad), notes=(Note("size", "It is small."),))
    with JsonLinesSink(tmp_path / "o.jsonl") as sink:
        sink.write(found)
    assert json.loads((tmp_path / "o.jsonl").read_text()) == found.to_dict()
    assert found.to_dict()["notes"] == ["It is small."]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    lost = replace(found, score=float("nan"), notes=())
    assert lost.to_dict()["score"] is None
    assert "notes" not in lost.to_dict()


def test_it_draws_itself_from_a_file_and_from_memory(
    model: Inspector, bad: Path, tmp_path: Path
) -> None:
    pixels = np.asarray(Image.open(bad).convert("RGB"))
    of_file, of_array = model.inspect(bad), model.inspect(pixels)
    drawn = np.asarray(of_array.overlay())
    height = 64 * 8
    assert np.array_equal(np.asarray(of_file.overlay())[:height], drawn[:height])
    assert drawn.shape[1] == height
    png = of_array._repr_png_()
    assert png is not None
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), drawn)
    of_file.save(tmp_path / "o.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "o.png"))[:height], drawn[:height])
    of_file.save(tmp_path / "o.JPG")
    assert Image.open(tmp_path / "o.JPG").format == "JPEG"
    of_file.save(tmp_path / "o.json")
    assert json.loads((tmp_path / "o.json").read_text()) == of_file.to_dict()
    of_file.save(tmp_path / "o.npy")
    assert np.array_equal(np.load(tmp_path / "o.npy"), of_file.anomaly_map)


def test_what_it_cannot_draw_or_write_it_says(model: Inspector, bad: Path, tmp_path: Path) -> None:
    found = model.inspect(bad)
    with pytest.raises(ConfigError, match=r"\.gif: expected \.png"):
        found.save(tmp_path / "o.gif")
    with pytest.raises(ConfigError, match="does not exist"):
        found.save(tmp_path / "none" / "o.png")
    assert list(tmp_path.iterdir()) == []
    gone = replace(found, path=tmp_path / "gone.png")
    with pytest.raises(ImageError, match="no such file"):
        gone.overlay()
    with pytest.raises(ConfigError, match="neither a picture nor the path"):
        replace(found, path=None).overlay()
    unlimited = replace(found, map_scale=None)
    assert unlimited._repr_png_() is None
    with pytest.raises(ConfigError, match="calibrate the model"):
        unlimited.overlay()
    other = tmp_path / "other.png"
    Image.new("RGB", (9, 9)).save(other)
    with pytest.raises(DataError):
        replace(found, path=other).overlay()


def test_sixteen_bits_are_drawn_as_they_were_judged(model: Inspector, tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint16) * 16, (64, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    with pytest.warns(PictureWarning, match="look like 10 bits"):
        found = replace(model.inspect(tmp_path / "deep.png"), bit_depth=10)
    bright = np.asarray(replace(found, anomaly_map=0 * found.anomaly_map).overlay())
    assert bright[:500].max() > 200  # of 10 bits; by 16 it would be black


def test_learning_is_chained_and_its_report_is_kept(good_parts: np.ndarray) -> None:
    detector = Detector("rd", image_size=64, settings={"steps": 2, "batch_size": 4})
    with pytest.raises(ConfigError, match=r"Call fit\(\)"):
        _ = detector.fit_report
    found = detector.fit(good_parts, false_alarm_rate=0.3, progress=QUIET).inspect(good_parts[0])
    assert found.verdict is not None
    assert detector.fit_report.training_images + detector.fit_report.calibration_images == 12


def test_pictures_unlike_the_learned_ones_get_a_note(
    good_parts: np.ndarray, tmp_path: Path
) -> None:
    reddish = good_parts.copy()
    reddish[..., 0] = np.minimum(reddish[..., 0].astype(int) + 60, 255)
    detector = brief()
    fit(detector, reddish)
    detector.save(tmp_path / "m.blemish")
    one = reddish[0]

    def kinds(image: np.ndarray, **how: str) -> list[str]:
        return [note.kind for note in loaded.inspect(image, **how).notes]  # type: ignore[arg-type]

    loaded = open_model(tmp_path / "m.blemish")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kinds(one) == []
        assert kinds(one[..., ::-1], channels="bgr") == []
        large = np.asarray(Image.fromarray(one).resize((90, 90)))
        assert kinds(large) == []
    with pytest.warns(UserWarning, match='channels="bgr"'):
        assert kinds(one[..., ::-1]) == ["channels"]
    with pytest.warns(UserWarning, match="BGR"):
        list(loaded.predict(reddish[:2, ..., ::-1]))
    assert kinds(np.asarray(Image.fromarray(one).resize((128, 128)))) == ["size"]
    assert kinds(one[::2, ::2]) == ["size"]
    assert kinds(np.asarray(Image.fromarray(one).resize((96, 64)))) == ["shape"]


def test_exchanged_colours_are_seen_among_several_products() -> None:
    learned = LearnedPictures(
        (64, 64), (1, 1), {"lid": (150.0, 100.0, 60.0), "nut": (90.0, 90.0, 90.0)}
    )

    def kinds(colour: tuple[int, int, int], product: str | None) -> list[str]:
        pixels = np.full((64, 64, 3), colour, np.uint8)
        return [note.kind for note in learned.notes((64, 64), pixels, product)]

    for product in (None, "lid"):
        assert kinds((150, 100, 60), product) == []
        assert kinds((60, 100, 150), product) == ["channels"]
    assert kinds((60, 100, 150), "nut") == []  # said to be grey: what else it is nobody knows
    both = LearnedPictures(
        (64, 64), (1, 1), {"red": (150.0, 100.0, 60.0), "blue": (60.0, 100.0, 150.0)}
    )
    for colour in ((150, 100, 60), (60, 100, 150)):
        assert both.notes((64, 64), np.full((64, 64, 3), colour, np.uint8), None) == ()


def test_a_product_that_is_not_known_is_refused(model: Inspector, bad: Path) -> None:
    for call in (model.inspect, model.predict):
        with pytest.raises(ConfigError, match=r"Unknown product 'parts'\. Did you mean 'part'"):
            call(bad, product="parts")  # type: ignore[operator]
    assert model.inspect(bad, product="part").product == "part"


def test_what_reading_finds_is_noted_and_warned_of(model: Inspector, tmp_path: Path) -> None:
    dark = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(dark).save(tmp_path / "x.tif")
    with pytest.warns(PictureWarning, match="look like 12 bits"):
        found = model.inspect(tmp_path / "x.tif")
    assert [note.kind for note in found.notes] == ["depth"]
    with pytest.warns(PictureWarning, match="look like 12 bits"):
        assert "12 bits" in str(*model.predict(dark))


def test_one_scene_at_half_and_twice_the_size_scores_alike_and_is_noted(
    good_parts: np.ndarray,
) -> None:
    def at(side: int, picture: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))

    detector = brief()
    fit(detector, np.stack([at(1024, picture) for picture in good_parts[:8]]))
    scores = [detector.inspect(at(1024, picture)).score for picture in good_parts]
    spread = max(scores) - min(scores)
    for side in (512, 2048):
        found = detector.inspect(at(side, good_parts[8]))
        assert [note.kind for note in found.notes] == ["size"]
        assert "same field of view" in found.notes[0].sentence
        assert abs(found.score - scores[8]) < 0.5 * spread


def test_what_was_learned_survives_the_file_and_may_be_missing() -> None:
    learned = LearnedPictures((64.0, 80.0), (1.0, 1.5), {"nut": (1.0, 2.0, 3.0)})
    assert LearnedPictures.from_json(json.loads(json.dumps(learned.to_json()))) == LearnedPictures(
        (64.0, 80.0),
        (1.0, 1.5),
        {"nut": [1.0, 2.0, 3.0]},  # type: ignore[dict-item]
    )
    for content in (None, {}, {"sides": [1, 2]}, 7, {"sides": 1, "shapes": 2, "colours": 3}):
        assert LearnedPictures.from_json(content) is None


def test_how_the_learned_pictures_looked_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(60, 90, (48, 48, 3)).astype(np.uint8) for _ in range(3)]
    for k, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    samples = [Sample(tmp_path / f"{k}.png", "nut", "train", 0) for k in range(3)]
    learned = LearnedPictures.of(samples, [(48, 48)] * 3, bit_depth=16)
    expected = np.mean([appearance(pixels) for pixels in pictures], axis=0)
    assert learned.looks["nut"] == pytest.approx(expected, abs=1e-4)
    other = LearnedPictures((9, 9), (1, 1), looks={"nut": (1, 1, 1), "bolt": (2, 2, 2)})
    assert learned.joined(other).looks == {**other.looks, **learned.looks}
    kept = LearnedPictures.from_json(json.loads(json.dumps(learned.to_json())))
    assert kept is not None
    assert kept.looks["nut"] == pytest.approx(expected, abs=1e-4)


def test_the_front_door_opens_what_is_asked_for_and_no_more() -> None:
    program = (
        "import sys, blemish\n"
        "heavy = {'torch', 'PIL', 'pydantic', 'onnxruntime', 'rich', 'typer'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
        "for name in blemish.__all__: assert getattr(blemish, name), name\n"
        "assert set(blemish.__all__) <= set(dir(blemish))\n"
        "print(blemish.list_methods()[0], blemish.list_teachers()[0])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout == "[]\ntrio efficientnet_lite0\n", result.stderr
    with pytest.raises(blemish.BlemishError):
        blemish.open_model("missing.blemish")
    with pytest.raises(AttributeError, match="open_modle"):
        _ = blemish.open_modle
