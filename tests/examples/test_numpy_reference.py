"""The reference for other languages judges as ``predict`` does, on drawn and on real pictures."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from blemish.inspector import open_model

PROGRAM = Path(__file__).parents[2] / "examples" / "numpy_reference.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("numpy_reference", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph(exported_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "part.onnx"
    open_model(exported_file).save(path)
    return path


def largest_difference(reference: ModuleType, graph: Path, paths: list[Path]) -> float:
    differences = []
    for wanted in open_model(graph).predict(paths, product="part", batch_size=1):
        assert wanted.path is not None
        with Image.open(wanted.path) as picture:
            score, verdict, amap = reference.judge(str(graph), picture)
        assert verdict == wanted.verdict
        assert amap.max() >= wanted.anomaly_map.max() - 1e-4
        differences.append(abs(score - wanted.score) / abs(wanted.score))
    return max(differences)


def test_on_drawn_pictures_of_several_shapes(
    reference: ModuleType, graph: Path, part: Path, tmp_path: Path
) -> None:
    paths = sorted((part / "test").rglob("*.png"))
    for index, size in enumerate([(90, 41), (33, 64), (200, 200)]):
        path = tmp_path / f"{index}.png"
        with Image.open(paths[index]) as picture:
            picture.resize(size).save(path)
        paths.append(path)
    assert largest_difference(reference, graph, paths) < 1e-6
    shown = subprocess.run(
        [sys.executable, str(PROGRAM), str(graph), str(paths[0])],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert shown.split(", ")[0] in ("ok", "unsure", "defect")


@pytest.mark.slow  # drawn ones above
def test_on_real_pictures(reference: ModuleType, graph: Path, shared_data: Path) -> None:
    paths = [
        path
        for folder in ("mvtec/bottle", "mvtec/pill", "lookout/cookie")
        for path in sorted((shared_data / folder / "test").rglob("*.*"))[::4][:8]
    ]
    assert len(paths) > 12
    assert largest_difference(reference, graph, paths) < 1e-6


def test_it_is_twenty_lines() -> None:
    body = PROGRAM.read_text().split("    session = ")[1].split("if __name__")[0]
    statements = [line for line in body.splitlines() if line.strip()]
    assert len(statements) <= 25
