"""The model says which product a picture shows, and judges by that product's limits untold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_teachers import known_by_name

from blemish import Detector, open_model
from blemish._progress import Important
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import training_data
from blemish.export.exporter import export_model
from blemish.export.parity import compare
from blemish.inspector import Inspector
from blemish.outputs.run import Outputs, judge_into
from blemish.results import UNKNOWN_PRODUCT, Prediction
from brief_detector import BRIEF, CPU, fit

COLOURS = {"dark": 40, "bright": 150}


def picture(product: str, seed: int, *, odd: bool = False) -> np.ndarray:
    """A bar on a field of the product's brightness; the bright product is rougher by far."""
    rng = np.random.default_rng([seed, COLOURS[product]])
    rough = {"dark": 4, "bright": 30}[product]
    pixels = COLOURS[product] + rng.integers(-rough, rough + 1, (64, 64, 3))
    pixels[8:24, 8:16] += 60
    if odd:
        pixels[40:46, 40:46] += 60
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    for product in COLOURS:
        for split, seeds in (
            ("train/good", range(20)),
            ("test/good", range(100, 103)),
            ("test/spot", range(100, 103)),
        ):
            (folder / product / split).mkdir(parents=True)
            for k in seeds:
                image = Image.fromarray(picture(product, k, odd=split == "test/spot"))
                image.save(folder / product / split / f"{product}{k % 100}.png")
    return folder


def trio(data: Path | DataSet) -> Detector:
    detector = Detector("trio", image_size=64, teacher="tiny-three")
    fit(detector, data, false_alarm_rate=0.05)
    return detector


@pytest.fixture(scope="module")
def trained(root: Path) -> Detector:
    return trio(root)


@pytest.fixture(scope="module")
def model_file(trained: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "two.blemish"
    trained.save(path)
    return path


def pictures_of(root: Path) -> list[Sample]:
    return list(training_data(root).split("test").samples)


def judged(model: Inspector, samples: list[Sample]) -> list[Prediction]:
    return list(model.predict(samples, batch_size=4))


def said(prediction: Prediction) -> tuple[object, ...]:
    branches = {name: (b.p_value, b.verdict) for name, b in prediction.branches.items()}
    p = prediction
    return (p.path, p.product, p.recognised, p.verdict, p.p_value, branches, p.calibration)


def test_a_picture_is_judged_as_if_its_product_had_been_named(
    root: Path, trained: Detector
) -> None:
    named = pictures_of(root)
    untold = judged(trained, [replace(sample, product="") for sample in named])
    told = judged(trained, named)
    assert [p.product for p in untold] == [sample.product for sample in named]
    assert [said(p) for p in untold] == [said(p) for p in told]
    assert all((a.mask == b.mask).all() for a, b in zip(untold, told, strict=True))
    # The limits differ, so that the pooled ones would have judged otherwise.
    limits = trained.calibration
    assert limits is not None
    pooled = [limits.judge(p.score, None).p_value for p in untold]
    assert pooled != [p.p_value for p in untold]


def test_what_is_named_wins_and_the_other_product_is_said(
    root: Path, trained: Detector, tmp_path: Path
) -> None:
    paths = sorted((root / "dark/test/good").iterdir())
    samples = [Sample(path, "", "test", None) for path in paths]
    outputs = Outputs(trained, root=root, csv=tmp_path / "v.csv", json=tmp_path / "v.jsonl")
    with outputs:
        judge_into(outputs, samples, product="bright")
    (first, *_) = trained.predict(paths[0], product="bright")
    assert (first.product, first.recognised, first.looks_like) == ("bright", "dark", "dark")
    assert trained.calibration is not None
    assert first.p_value == trained.calibration.judge(first.score, "bright").p_value
    note, *_ = outputs.tally.products.notes(named=True, calibration=trained.calibration)
    assert note == (
        "3 images were named bright and look like dark: dark0.png, dark1.png, dark2.png."
    )
    header, row, *_ = (tmp_path / "v.csv").read_text().splitlines()
    assert header.startswith("path,product,recognised,rival,verdict,")
    assert ",bright,dark,," in row
    assert '"product": "bright", "recognised": "dark"' in (tmp_path / "v.jsonl").read_text()
    # A run that goes on says it of the rows before as well.
    again = Outputs(trained, root=root, csv=tmp_path / "v.csv", resume=True)
    with again:
        assert again.left(samples) == []
    assert again.tally.products.notes(named=True) == [note]


def test_a_picture_of_no_known_product_is_a_finding_of_its_own(
    root: Path, trained: Detector, model_file: Path
) -> None:
    stripes = picture("dark", 3)
    stripes[::2, :, 0], stripes[:, ::3, 2] = 255, 0
    for model in (trained, open_model(model_file)):
        (odd,) = model.predict(stripes)
        assert (odd.product, odd.recognised, odd.verdict) == (*[UNKNOWN_PRODUCT] * 2, "unsure")
        (named,) = model.predict(stripes, product="dark")
        assert (named.product, named.looks_like) == ("dark", UNKNOWN_PRODUCT)
        assert named.verdict == "defect"
    assert trained.calibration is not None
    for score in (-1e9, 1e9):  # never a confident verdict
        assert trained.calibration.judge(score, UNKNOWN_PRODUCT).verdict == "unsure"
    notes = trained.calibration.notes([UNKNOWN_PRODUCT])
    assert notes[-1].startswith("Images that show none of the products the model knows are")


def test_the_product_survives_the_model_file(
    root: Path, trained: Detector, model_file: Path
) -> None:
    untold = [replace(sample, product="") for sample in pictures_of(root)]
    loaded = open_model(model_file)
    assert loaded.recognises
    assert [said(p) for p in judged(loaded, untold)] == [said(p) for p in judged(trained, untold)]


@pytest.mark.slow  # a second export of the trio: `test_look_alike_products.py` has the first
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_the_exported_graph_recognises_the_same(
    format: str, root: Path, model_file: Path, tmp_path: Path
) -> None:
    if format == "openvino":
        pytest.importorskip("openvino")
    out = tmp_path / "two.blemish"
    report = export_model(model_file, out, format=format, images=root / "dark/train/good")  # type: ignore[arg-type]
    assert report.parity.recognised == ()
    untold = [replace(sample, product="") for sample in pictures_of(root)]
    exported, loaded = open_model(out), Detector.load(model_file)
    assert exported.recognises
    assert [said(p) for p in judged(exported, untold)] == [said(p) for p in judged(loaded, untold)]


def test_an_export_that_takes_pictures_for_another_product_is_refused(
    root: Path, trained: Detector, model_file: Path
) -> None:
    other = Detector.load(model_file)
    assert other.method is not None
    other.method.products = ("bright", "dark")[:: -1 if trained.products[0] == "bright" else 1]
    found = compare(trained, other, pictures_of(root), source="parts")
    assert len(found.recognised) == 12
    assert "12 of 12 images are taken for another product" in found.problems("float32")[0]


def test_a_product_that_cannot_be_read_is_not_known_and_shifts_no_name(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "line")
    shutil.copytree(root / "dark", tmp_path / "line" / "aaa")
    for path in (tmp_path / "line/aaa/train/good").iterdir():
        path.write_bytes(path.read_bytes()[:300])  # the header is whole, the pixels are not
    detector = Detector("trio", image_size=64, teacher="tiny-three")
    report = fit(detector, tmp_path / "line")
    assert sorted(report.products) == ["bright", "dark"]
    assert any(note.startswith("aaa: no image could be read") for note in report.notes)
    samples = pictures_of(root)
    assert [p.recognised for p in judged(detector, samples)] == [s.product for s in samples]


def test_one_product_and_other_methods_recognise_nothing(root: Path, tmp_path: Path) -> None:
    alone = trio(root / "dark")
    other = Detector("rd", image_size=64, settings=BRIEF)
    other.fit(root, false_alarm_rate=0.3, training=CPU)
    for model in (alone, other):
        assert not model.recognises
        (prediction,) = model.predict(picture("dark", 7))
        assert (prediction.product, prediction.recognised) == (None, None)
    # Then the pooled limits judge, and that is said.
    assert other.calibration is not None
    assert prediction.p_value == other.calibration.judge(prediction.score, None).p_value
    notes = other.calibration.notes([prediction.product])
    assert any(n.startswith("Images of which no product is known are judged by") for n in notes)


def test_good_images_of_no_named_product_calibrate_the_one_they_show(
    model_file: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(12):
        Image.fromarray(picture("dark", 70 + number)).save(flat / f"{number:02}.png")
    model, named = Detector.load(model_file), Detector.load(model_file)
    before = model.calibration
    assert before is not None
    said = model.calibrate(flat)
    named.calibrate(flat, product="dark")
    assert model.calibration == named.calibration
    after = model.calibration
    assert after is not None
    assert after.limits("dark") != before.limits("dark")
    assert after.limits("bright") == before.limits("bright")
    assert "Of 12 images of no named product the model says that 12 show dark." in said
    first = Detector.load(model_file)
    first.calibrate(flat)
    first.calibrate([flat / "00.png"], how="exclude")  # whichever product it was taken for
    assert first.calibration is not None
    assert first.calibration.limits("dark").n == 11
    # One that looks like the other product must not become all that is known of it.
    Image.fromarray(picture("bright", 70)).save(flat / "stray.png")
    noise = np.random.default_rng(0).integers(0, 255, picture("dark", 1).shape).astype(np.uint8)
    Image.fromarray(noise).save(flat / "zzz.png")
    mixed = Detector.load(model_file)
    said = mixed.calibrate(flat)
    assert mixed.calibration == model.calibration
    (note,) = [note for note in said if "left out and move no limit" in note]
    assert isinstance(note, Important)
    assert note.startswith("2 of them, such as stray.png (looks like bright), are")


def test_what_none_of_its_products_show_stays_of_no_product(
    root: Path, model_file: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, picture("dark", 1).shape)
        Image.fromarray(noise.astype(np.uint8)).save(flat / f"{number}.png")
    model = Detector.load(model_file)
    before = model.calibration
    said = model.calibrate(flat)
    after = model.calibration
    assert before is not None
    assert after is not None
    assert after.limits("dark") == before.limits("dark")
    assert any("keep the limits they had" in note for note in said)


def test_the_method_counts_products_as_it_names_them(trained: Detector) -> None:
    assert trained.method is not None
    images = torch.from_numpy(np.stack([picture("bright", 5), picture("dark", 5)]))
    with torch.inference_mode():
        output = trained.method(images.permute(0, 3, 1, 2))
    assert output.product is not None
    assert [trained.products[k] for k in output.product.tolist()] == ["bright", "dark"]
