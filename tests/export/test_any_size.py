"""A graph that takes a picture of any size: our letterbox inside it, in both runtimes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import ConfigError
from blemish.export import export_model
from blemish.export.any_size import with_any_size
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.inspector import ExportedDetector, open_model

SIZES = [(64, 64), (90, 41), (41, 90), (33, 64), (7, 300), (1, 1), (500, 333), (1200, 1600)]


def identity(size: tuple[int, int]) -> bytes:
    """A graph whose map is its input: the mean over the channels."""
    from onnx import parser

    height, width = size
    model = parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 20]>
        g (uint8[batch, {height}, {width}, 3] pixels)
            => (float[batch, {height}, {width}] anomaly_map, float[batch] score)
        {{
          values = Cast<to = 1>(pixels)
          axes = Constant<value_ints = [3]>()
          anomaly_map = ReduceMean<keepdims = 0>(values, axes)
          both = Constant<value_ints = [1, 2]>()
          score = ReduceMean<keepdims = 0>(anomaly_map, both)
        }}"""
    )
    return bytes(model.SerializeToString())


def run(graph: bytes, pixels: NDArray[np.uint8], runtime: str) -> dict[str, NDArray[Any]]:
    if runtime == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
    openvino = pytest.importorskip("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Core().read_model(graph), "CPU", settings)
    found = compiled({"pixels": pixels})
    return {output.any_name: found[output] for output in compiled.outputs}


def picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Noise and edges, on which a filter that is another one is seen."""
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    pixels[: size[0] // 2, : size[1] // 2] = (255, 0, 128)
    return pixels


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_letterbox_and_the_way_back_are_ours(runtime: str, size: tuple[int, int]) -> None:
    prepare = Preprocessing(96, 64)
    pixels = picture(size)
    boxed = prepare(pixels).astype(np.float32).mean(2)
    found = run(with_any_size(identity((96, 64)), prepare), pixels[None], runtime)
    # A value of a million may round to the other side: 1 of 255 in one of three channels.
    assert found["score"][0] == pytest.approx(boxed.mean(), abs=0.01)
    back = prepare.map_to_source(boxed, size)
    assert found["anomaly_map"].shape == (1, *size)
    assert np.abs(found["anomaly_map"][0] - back).max() < 0.7
    assert np.abs(found["anomaly_map"][0] - back).mean() < 0.01


def test_what_has_the_input_size_comes_through_to_the_bit() -> None:
    pixels = np.stack([picture((96, 64)), picture((96, 64))[::-1]])
    found = run(with_any_size(identity((96, 64)), Preprocessing(96, 64)), pixels, "onnx")
    wanted = run(identity((96, 64)), pixels, "onnx")
    assert np.array_equal(found["anomaly_map"], wanted["anomaly_map"])


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_model_judges_pictures_as_they_are(
    model_file: Path, part: Path, tmp_path: Path, format: Any
) -> None:
    if format == "openvino":
        pytest.importorskip("openvino")
    path = tmp_path / "any.blemish"
    report = export_model(
        model_file, path, format=format, any_size=True, images=part / "train" / "good"
    )
    assert report.entry.parity["own_size"] < 1e-3
    assert "takes pictures of any size" in report.notes[0]
    exported, trained = open_model(path), open_model(model_file)
    assert isinstance(exported, ExportedDetector)
    with Image.open(part / "test" / "stain" / "00.png") as image:
        shown = [np.asarray(image.resize(size)) for size in ((64, 64), (300, 200), (50, 90))]
    for pixels in shown:
        wanted = trained.inspect(pixels)
        output = exported.network(pixels[None])
        assert output.scores[0] == pytest.approx(wanted.score, rel=2e-3)
        assert output.maps[0].shape == pixels.shape[:2]
        assert np.abs(output.maps[0] - wanted.anomaly_map).max() < 0.01 * wanted.anomaly_map.max()
        # The same file, by the usual road.
        assert exported.inspect(pixels).score == pytest.approx(wanted.score, rel=1e-4)


def test_tiles_and_regions_are_refused(tmp_path: Path, good_parts: NDArray[np.uint8]) -> None:
    quiet = Progress(quiet=True)
    detector = Detector(tile=64, settings={"pool": 200, "rows": 50}, teacher_weights="random")
    detector.fit(good_parts[:6].repeat(2, 1).repeat(2, 2), false_alarm_rate=0.3, progress=quiet)
    detector.save(tmp_path / "m.blemish")
    with pytest.raises(ConfigError, match=r"sees pictures in tiles.*without --any-size"):
        export_model(tmp_path / "m.blemish", any_size=True)


def test_drawn_pictures_are_not_said_to_be_bgr(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are unlike the learned ones, and nobody gave them."""
    monkeypatch.setattr(LearnedPictures, "_swapped", lambda *_: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="looks like BGR"):
            open_model(model_file).inspect(np.full((64, 64, 3), (9, 90, 200), np.uint8))
        export_model(model_file, tmp_path / "any.blemish", any_size=True)


def test_tall_pictures_are_letterboxed_columns_first_whatever_pillow_does() -> None:
    """Pillow 13 begins with the rows where a picture is more than twice as high as wide."""
    prepare = Preprocessing(416, 160)
    grey = np.random.default_rng(0).integers(0, 256, (1261, 500)).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=2)
    boxed = prepare(pixels).astype(np.float32).mean(2)
    found = run(with_any_size(identity((416, 160)), prepare), pixels[None], "onnx")
    back = prepare.map_to_source(boxed, grey.shape)
    assert (np.abs(found["anomaly_map"][0] - back) > 0.01).mean() < 1e-3
