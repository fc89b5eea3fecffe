"""The sample in C++, compiled against the headers of OpenVINO's wheel, judges as ``predict``."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.export import export_model
from blemish.inspector import Inspector, open_model

SOURCE = Path(__file__).parents[2] / "examples" / "judge.cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openvino = pytest.importorskip("openvino")
    root = Path(openvino.__path__[0])
    libraries = sorted((root / "libs").glob("libopenvino.so.*"))
    compiler = shutil.which("g++")
    if compiler is None or not libraries or not (root / "include/openvino/openvino.hpp").is_file():
        pytest.skip("needs g++ and the headers in OpenVINO's wheel")
    target = tmp_path_factory.mktemp("program") / "judge"
    words = [compiler, "-std=c++17", "-Wall", "-Werror", str(SOURCE), "-o", str(target)]
    words += ["-isystem", str(root / "include"), str(libraries[0]), f"-Wl,-rpath,{root / 'libs'}"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert made.returncode == 0, made.stderr
    return target


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> tuple[Path, Inspector]:
    graph = tmp_path_factory.mktemp("graph") / "part.onnx"
    export_model(model_file, graph, any_size=True)
    return graph, open_model(graph)


def judged(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def agrees(program: Path, graph: Path, inspector: Inspector, ppm: Path) -> None:
    wanted = inspector.inspect(ppm, product="part")
    assert inspector.calibration is not None
    limits = inspector.calibration.limits("part")
    done = judged(program, graph, ppm, repr(limits.defect), repr(limits.unsure))
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"(\w+), score (\S+), highest at row (\d+), column (\d+)\n", done.stdout)
    assert found is not None, done.stdout
    assert found[1] == wanted.verdict
    assert float(found[2]) == pytest.approx(wanted.score, rel=2e-3)
    place = wanted.anomaly_map[int(found[3]), int(found[4])]
    assert place > 0.999 * wanted.anomaly_map.max()


@pytest.mark.parametrize("size", [(64, 64), (200, 90), (41, 300)], ids=str)
def test_on_drawn_pictures_of_any_size(
    program: Path, model: tuple[Path, Inspector], part: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    with Image.open(part / "test" / "stain" / "01.png") as image:
        image.resize(size).save(tmp_path / "a.ppm")
    agrees(program, *model, tmp_path / "a.ppm")


@pytest.mark.slow  # drawn ones of two sizes above
def test_on_real_pictures(
    program: Path, model: tuple[Path, Inspector], shared_data: Path, tmp_path: Path
) -> None:
    for folder in ("mvtec/bottle", "lookout/cookie"):
        for path in sorted((shared_data / folder / "test").rglob("*.*"))[::20][:3]:
            with Image.open(path) as image:
                image.convert("RGB").save(tmp_path / "a.ppm")
            agrees(program, *model, tmp_path / "a.ppm")


def test_what_it_cannot_read_it_says(
    program: Path, model: tuple[Path, Inspector], tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "grey.pgm")
    done = judged(program, model[0], tmp_path / "grey.pgm", 1, 1)
    assert (done.returncode, "expected a binary PPM" in done.stderr) == (2, True)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.ppm")
    (tmp_path / "a.ppm").write_bytes((tmp_path / "a.ppm").read_bytes()[:-5])
    assert "cut short" in judged(program, model[0], tmp_path / "a.ppm", 1, 1).stderr
