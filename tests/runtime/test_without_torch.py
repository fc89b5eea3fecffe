"""The base installation is enough to predict with an exported model."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from blemish import Detector

#: Everything that the base installation does not bring.
ABSENT = (
    *("torch", "lightning", "pytorch_lightning", "sklearn", "scipy", "safetensors", "onnx"),
    *("onnxscript", "openvino", "timm", "torchmetrics"),
)
FORBID = f"import sys\nfor name in {ABSENT}: sys.modules[name] = None\n"
ROOT = Path(__file__).parents[2]


def run(folder: Path, *words: object, python: str = sys.executable, before: str = FORBID) -> str:
    program = f"{before}from blemish.cli.app import main\nmain()"
    result = subprocess.run(
        [python, "-c", program, *map(str, words)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    return result.stdout + result.stderr


def judge_without_torch(
    folder: Path, model: Path, images: Path, **how: str
) -> list[dict[str, str]]:
    targets = ("--csv", "o.csv", "--json", "o.jsonl", "--heatmaps", "heat", "--masks", "masks")
    run(folder, "predict", model, images, "--product", "part", *targets, **how)
    assert len(list((folder / "heat").rglob("*.*"))) == len(list(images.rglob("*.png")))
    assert list((folder / "masks").rglob("*.png"))
    with (folder / "o.csv").open() as file:
        return list(csv.DictReader(file))


def check_rows(rows: list[dict[str, str]], model: Path, images: Path) -> None:
    wanted = list(Detector.load(model).predict(images, product="part"))
    assert len(rows) == len(wanted) == 4
    for row, prediction in zip(rows, wanted, strict=True):
        assert float(row["score"]) == pytest.approx(prediction.score, rel=1e-4)
        assert row["verdict"] == prediction.verdict


def test_predict_needs_no_torch(
    model_file: Path, exported_file: Path, part: Path, tmp_path: Path
) -> None:
    check_rows(
        judge_without_torch(tmp_path, exported_file, part / "test"), model_file, part / "test"
    )


def test_the_other_verbs_of_the_line_need_no_torch(
    exported_file: Path, part: Path, tmp_path: Path
) -> None:
    good = part / "train" / "good"
    said = run(tmp_path, "calibrate", exported_file, good, "-o", "new.onnx", "--product", "part")
    assert "limits from 2 good images" in said  # the other ten trained
    assert "onnx, float32" in run(tmp_path, "info", "new.onnx")
    assert len(judge_without_torch(tmp_path, tmp_path / "new.onnx", part / "test")) == 4


def test_a_trained_model_says_what_is_missing(model_file: Path, part: Path, tmp_path: Path) -> None:
    program = f"{FORBID}from blemish.cli.app import main\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", program, "predict", str(model_file), str(part / "test")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert "trained model" in result.stderr
    assert 'pip install "blemish[train]"' in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_environment_with_the_base_installation_predicts(
    model_file: Path, exported_file: Path, part: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(ROOT)], check=True, timeout=600)
    found = subprocess.run(
        [python, "-m", "pip", "list"], capture_output=True, text=True, check=True
    )
    installed = {line.split()[0].lower() for line in found.stdout.splitlines() if line}
    assert {"blemish", "onnxruntime"} <= installed
    assert not {"torch", "scipy", "scikit-learn", "lightning", "onnx"} & installed
    rows = judge_without_torch(tmp_path, exported_file, part / "test", python=python, before="")
    check_rows(rows, model_file, part / "test")
