"""An exported model in Python: the same answers, the same limits, the same ways to fail."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import blemish
from blemish import Detector
from blemish.errors import BundleError, ConfigError, DataError
from blemish.inspector import ExportedDetector, open_model
from blemish.model_file.bundle import (
    model_manifest,
    read_bundle,
    read_manifest,
    read_model,
    split,
    write_bundle,
)

Pixels = NDArray[np.uint8]


def test_predictions_are_those_of_the_trained_model(
    model_file: Path, exported_file: Path, part: Path
) -> None:
    images = sorted(part.rglob("test/**/*.png"))
    trained = Detector.load(model_file).predict(images, product="part")
    exported = open_model(exported_file).predict(images, product="part", batch_size=3)
    for one, other in zip(trained, exported, strict=True):
        assert (one.path, one.product, one.verdict) == (other.path, other.product, other.verdict)
        assert other.p_value == one.p_value
        assert other.score == pytest.approx(one.score, rel=1e-5)
        assert other.anomaly_map.dtype == np.float32
        np.testing.assert_allclose(other.anomaly_map, one.anomaly_map, rtol=1e-4, atol=1e-4)


def test_what_is_known_of_the_model_is_kept(model_file: Path, exported_file: Path) -> None:
    trained, exported = Detector.load(model_file), open_model(exported_file)
    assert exported.products == trained.products
    assert exported.calibration == trained.calibration
    assert exported.preprocessing == trained.preprocessing
    assert exported.branch_names == trained.branch_names
    assert exported.bit_depth == trained.bit_depth
    manifest, source = exported.manifest, read_manifest(model_file)
    assert (manifest.kind, source.kind) == ("exported", "trained")
    assert (manifest.training, manifest.teacher) == (source.training, source.teacher)
    assert exported.export.source_digest == source.digest
    assert exported.export.parity["images"] > 0


def test_calibrating_and_saving_keep_the_graph(
    exported_file: Path, good_parts: Pixels, tmp_path: Path
) -> None:
    exported = open_model(exported_file)
    exported.calibrate(good_parts, false_alarm_rate=0.2)
    for name in ("again.blemish", "again.onnx"):
        exported.save(tmp_path / name)
        again = open_model(tmp_path / name)
        assert again.calibration == exported.calibration
        assert again.calibration != open_model(exported_file).calibration
        assert again.export.recalibrated
        one, other = (next(m.predict(good_parts[0])) for m in (exported, again))
        assert (one.score, one.verdict) == (other.score, other.verdict)
    with zipfile.ZipFile(tmp_path / "again.blemish") as archive:
        graph, text = split(archive.read("model.onnx"))
    assert graph == split((tmp_path / "again.onnx").read_bytes())[0]
    assert text is not None  # also taken out of the bundle the graph says who it is
    assert b'"recalibrated": true' in text


def test_other_rates_alone_are_no_new_calibration(exported_file: Path, tmp_path: Path) -> None:
    exported = open_model(exported_file)
    assert exported.calibration is not None
    exported.calibration = exported.calibration.at(false_alarm_rate=0.4)
    exported.save(tmp_path / "m.blemish")
    assert not open_model(tmp_path / "m.blemish").export.recalibrated


def test_evaluation_gives_the_trained_models_figures(
    model_file: Path, exported_file: Path, part: Path
) -> None:
    trained = Detector.load(model_file).evaluate(part)
    exported = open_model(exported_file).evaluate(part)
    assert exported.mean.keys() == trained.mean.keys()
    assert exported.mean["image_auroc"] == trained.mean["image_auroc"]
    assert exported.mean_ad == pytest.approx(trained.mean_ad, abs=1e-3, nan_ok=True)


def test_unreadable_images_and_missing_folders_are_named(
    exported_file: Path, part: Path, tmp_path: Path
) -> None:
    exported = open_model(exported_file)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    good = next(iter(sorted((part / "test" / "good").iterdir())))
    failed: list[Path] = []
    found = list(exported.predict([bad, good], on_error=lambda path, error: failed.append(path)))
    assert ([p.path for p in found], failed) == ([good], [bad])
    with pytest.raises(DataError, match="does not exist"):
        exported.predict(tmp_path / "nowhere")


def test_a_model_is_opened_by_what_it_is(
    model_file: Path, exported_file: Path, tmp_path: Path
) -> None:
    assert isinstance(open_model(model_file), Detector)
    assert isinstance(open_model(exported_file, threads=1), ExportedDetector)
    assert model_manifest(exported_file) == read_manifest(exported_file)
    with pytest.raises(ConfigError, match=r"device=cuda.*runs on the CPU"):
        open_model(exported_file, device="cuda")
    with pytest.raises(BundleError, match=r"trained model\. Open it with blemish\.open_model"):
        ExportedDetector(model_file, read_model(model_file))
    with pytest.raises(BundleError, match="is an exported model"):
        Detector.load(exported_file)
    for path in (tmp_path / "no.blemish", tmp_path / "no.onnx"):
        with pytest.raises(BundleError, match="does not exist"):
            open_model(path)
    with pytest.raises(ConfigError, match="threads=0"):
        open_model(exported_file, threads=0)
    assert blemish.open_model is open_model


def test_a_graph_that_is_not_one_is_refused(exported_file: Path, tmp_path: Path) -> None:
    bundle = read_bundle(exported_file)
    path = tmp_path / "m.blemish"
    for files, message in (
        ({"model.onnx": b"\x08\x0a rubbish"}, "cannot"),
        ({}, r"holds no model\.onnx"),
    ):
        write_bundle(path, bundle.manifest, files)
        with pytest.raises(BundleError, match=message):
            open_model(path)
    calibration = {**(bundle.manifest.calibration or {}), "false_alarm_rate": 3}
    altered = bundle.manifest.model_copy(update={"calibration": calibration})
    write_bundle(path, altered, bundle.files)
    with pytest.raises(BundleError, match="cannot be used"):
        open_model(path)
