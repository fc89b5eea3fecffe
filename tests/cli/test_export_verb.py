"""``blemish export`` as users meet it: what it says, what it writes, and how it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.inspector import open_model
from blemish.model_file.bundle import read_manifest

RunBlemish = Callable[..., Any]


def test_an_export_is_proved_described_and_used(
    blemish: RunBlemish, model_file: Path, part: Path, tmp_path: Path
) -> None:
    good = part / "train" / "good"
    result = blemish("export", model_file, "-o", "m.onnx", "--images", good)
    assert result.returncode == 0, result.stderr
    assert "Compared on 12 good images, 12 with a planted anomaly." in result.stdout
    assert "Verdicts that differ: 0 of 24" in result.stdout
    assert "Wrote " in result.stdout
    assert "No real image" not in result.stderr
    said = blemish("info", "m.onnx", "--all")
    assert "onnx, float32, from the trained model" in said.stdout
    trained = blemish("predict", model_file, part / "test", "--csv", "t.csv", "--product", "part")
    exported = blemish("predict", "m.onnx", part / "test", "--csv", "e.csv", "--product", "part")
    assert exported.returncode == trained.returncode
    rows = [(tmp_path / name).read_text().splitlines() for name in ("t.csv", "e.csv")]
    assert len(rows[0]) == len(rows[1]) == 5
    assert rows[0][0] == rows[1][0]
    evaluated = blemish("evaluate", "m.onnx", part)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "AUROC" in evaluated.stdout
    assert [path.name for path in tmp_path.iterdir() if ".tmp" in path.name] == []


def test_int8_takes_ranges_and_limits_from_the_images(
    blemish: RunBlemish, model_file: Path, new_good: Path, tmp_path: Path
) -> None:
    result = blemish(
        *("export", model_file, "-o", "m.blemish", "--int8", "--format", "openvino"),
        *("--images", new_good),
    )
    assert result.returncode == 0, result.stderr
    assert "The limits are new: from the int8 model's scores of 12 of the images" in result.stderr
    exported = open_model(tmp_path / "m.blemish")
    assert (exported.export.precision, exported.export.format) == ("int8", "openvino")
    assert exported.export.recalibrated
    assert exported.calibration != load_calibration(model_file)


def test_int8_says_that_its_limits_rest_on_fewer_images(
    blemish: RunBlemish, model_file: Path, new_good: Path, tmp_path: Path
) -> None:
    assert blemish("calibrate", model_file, new_good, "-o", "t.blemish").returncode == 0
    (tmp_path / "few").mkdir()
    for path in sorted(new_good.iterdir())[:6]:
        shutil.copy(path, tmp_path / "few")
    result = blemish("export", "t.blemish", "-o", "m.blemish", "--int8", "--images", "few")
    assert result.returncode == 0, result.stderr
    assert (
        "Important: The limits rest on 6 good images; those of the trained model rest on 12. "
        "Give all of them with --images"
    ) in result.stderr


def test_a_graph_for_any_size_is_said(blemish: RunBlemish, model_file: Path, part: Path) -> None:
    good = part / "train" / "good"
    result = blemish("export", model_file, "-o", "m.onnx", "--any-size", "--images", good)
    assert result.returncode == 0, result.stderr
    assert "takes pictures of any size. It letterboxed 20 at their own size" in result.stderr
    assert blemish("predict", "m.onnx", part / "test", "--product", "part").returncode in (0, 1)


def load_calibration(path: Path) -> Any:
    from blemish import Detector

    return Detector.load(path).calibration


def test_a_difference_fails_the_export_and_leaves_nothing(
    blemish: RunBlemish,
    refused: Callable[..., str],
    model_file: Path,
    tmp_path: Path,
) -> None:
    wrong = (
        "import blemish.export.exporter as e, onnx\n"
        "right = e.onnx_graph\n"
        "def wrong(method):\n"
        "    model = onnx.load_from_string(right(method))\n"
        "    weight = max(model.graph.initializer, key=lambda t: len(t.raw_data))\n"
        "    weight.raw_data = bytes(len(weight.raw_data))\n"
        "    return model.SerializeToString()\n"
        "e.onnx_graph = wrong\n"
    )
    (tmp_path / "m.blemish").write_bytes(b"what was here before")
    result = blemish("export", model_file, "-o", "m.blemish", before=wrong)
    message = refused(result)
    assert "The exported model is not the trained one; nothing was written." in message
    assert "at most 0.001 is accepted" in message
    assert [path.name for path in tmp_path.iterdir()] == ["m.blemish"]
    assert (tmp_path / "m.blemish").read_bytes() == b"what was here before"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.blemish",), "missing.blemish does not exist"),
        (("M", "-o", "no/such/m.onnx"), "does not exist"),
        (("M", "-o", "M"), "is the trained model itself"),
        (("M", "-o", "m.onnx", "--format", "openvino"), "needs a name in .blemish"),
        (("M", "-o", "m.blemish", "--int8"), "int8 needs good images"),
        (("M", "-o", "m.blemish", "--images", "nowhere"), "nowhere does not exist"),
        (("M", "-o", "m.blemish", "--images", "empty"), "holds no images"),
        (("E", "-o", "m.blemish"), "is an exported model"),
        (("cut.blemish", "-o", "m.blemish"), "cut short or damaged"),
    ],
)
def test_what_cannot_be_exported_is_said_at_once(
    blemish: RunBlemish,
    refused: Callable[..., str],
    model_file: Path,
    exported_file: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.blemish").write_bytes(model_file.read_bytes()[:50_000])
    known = {"M": model_file, "E": exported_file}
    assert message in refused(blemish("export", *(known.get(word, word) for word in words)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.blemish", "empty"]


def test_an_exported_model_is_calibrated_without_training(
    blemish: RunBlemish, exported_file: Path, new_good: Path, tmp_path: Path
) -> None:
    result = blemish("calibrate", exported_file, new_good, "-o", "new.blemish", "--product", "part")
    assert result.returncode == 0, result.stderr
    entry = read_manifest(tmp_path / "new.blemish").export
    assert entry is not None
    assert entry.recalibrated
    odd = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(odd).save(tmp_path / "odd.png")
    assert blemish("predict", "new.blemish", "odd.png").returncode in (0, 1)
