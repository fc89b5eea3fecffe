"""What the command line says: of limits before and after, of a file, of this machine, of a wait."""

from __future__ import annotations

import csv
import itertools
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.calibration import Calibration
from blemish.cli.doctor import _verdict
from blemish.inspector import open_model
from blemish.model_file.bundle import read_bundle


@pytest.fixture
def model(judging: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(judging["model"], tmp_path / "m.blemish"))


def test_calibrate_says_old_and_new_limits_and_the_rate_they_give(
    blemish: Any, model: Path, new_good: Path
) -> None:
    before = open_model(model).calibration
    assert before is not None
    made = blemish("calibrate", model, new_good, "--false-alarm-rate", "0.2")
    after = open_model(model).calibration
    assert after is not None
    old, new = before.limits("part"), after.limits("part")
    assert (
        f"part: defect above {new.defect:.4g} (was {old.defect:.4g}), unsure above "
        f"{new.unsure:.4g} (was {old.unsure:.4g}); stops at most 20 % of good parts, asked for "
        "20 %, from 12 good images."
    ) in made.stdout
    again = blemish("calibrate", model, "--false-alarm-rate", "0.2")
    assert f"defect above {new.defect:.4g} (as before)" in again.stdout


@pytest.mark.parametrize("kind", ["trained", "exported", "bare"])
def test_another_rate_needs_no_torch_and_changes_nothing_else(
    fresh_blemish: Any, model_file: Path, exported_file: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "m.blemish"
    shutil.copy(model_file if kind == "trained" else exported_file, path)
    if kind == "bare":
        path = tmp_path / "m.onnx"
        open_model(exported_file).save(path)
    model = open_model(path)
    assert model.manifest is not None
    before, files = model.manifest, None if kind == "bare" else read_bundle(path).files
    absent = "import sys\nfor name in ('torch', 'onnxruntime', 'scipy'): sys.modules[name] = None\n"
    result = fresh_blemish("calibrate", path, "--false-alarm-rate", "0.25", before=absent)
    assert result.returncode == 0, result.stderr
    opened = open_model(path)
    assert opened.calibration is not None
    assert opened.calibration.false_alarm_rate == 0.25
    assert opened.manifest is not None
    assert opened.manifest.created == before.created
    assert opened.manifest.export == before.export
    if kind == "trained":
        assert read_bundle(path).files == files


def test_another_rate_takes_little_more_than_reading_the_model(model: Path) -> None:
    def seconds(*words: str) -> float:
        """Of the processor: on an idle machine the same as by the clock."""
        program = "import sys\nfrom blemish.cli.app import main\nmain()\n"
        times = []
        for _ in range(3):
            subprocess.run(
                [sys.executable, "-c", program, *words],
                check=True,
                timeout=60,
                stdout=subprocess.DEVNULL,
            )
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(used.ru_utime + used.ru_stime)
        return min(later - sooner for sooner, later in itertools.pairwise(times))

    again = seconds("calibrate", str(model), "--false-alarm-rate", "0.3", "-q")
    assert again < 2 * seconds("info", str(model))


def test_info_says_what_people_ask_and_the_rest_on_request(
    blemish: Any, model: Path, part: Path
) -> None:
    shown = blemish("info", model).stdout
    assert "64×64 pixels, 8 bits" in shown
    hidden = ("batch_size", "schema", "torch", "seed", read_bundle(model).manifest.digest)
    for word in hidden:
        assert word not in shown
    everything = blemish("info", model, "--all").stdout.replace("\n", "")
    for word in hidden[:-1]:
        assert word in everything


def test_info_says_the_bits_of_sixteen_bit_pictures(blemish: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "good").mkdir()
    for index in range(4):
        values = rng.integers(0, 4096, (64, 64)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "good" / f"{index}.png")
    options = ("--bit-depth", "12", "--size", "64", "--set", "steps=1", "--method", "rd")
    made = blemish("fit", tmp_path / "good", "--out", "d.blemish", *options)
    assert made.returncode == 0, made.stderr
    assert "64×64 pixels, 12 bits" in blemish("info", "d.blemish").stdout


def test_the_last_line_of_doctor_is_its_verdict(blemish: Any) -> None:
    shown = blemish("doctor").stdout.rstrip("\n").splitlines()
    assert shown[-1].startswith("Verdict: ready to judge with exported models")
    assert _verdict(False, set()) == (
        "Verdict: ready to judge with exported models, learn, export and serve."
    )
    assert _verdict(False, {"train", "serve"}) == (
        "Verdict: ready to judge with exported models and export; not to learn "
        '(pip install "blemish[train]") or serve (pip install "blemish[serve]").'
    )
    assert _verdict(True, set()) == "Verdict: not ready. Run: pip install blemish"


def test_a_training_says_before_it_begins_what_there_is_to_do(
    blemish: Any, part: Path, tmp_path: Path
) -> None:
    small = ("--size", "32", "--set", "steps=20", "--set", "batch_size=4", "--hold-out", "0.25")
    made = blemish("fit", part, "--method", "rd", "--out", "m.blemish", *small)
    assert made.returncode == 0, made.stderr
    lines = made.stderr.splitlines()
    (plan,) = [line for line in lines if line.startswith("To do: ")]
    assert "9 pictures through the teacher, about 1 s" in plan
    said = r"20 steps of 4 pictures \(distill\), about \d+ s on this machine(?:'s CPU)?\.$"
    assert re.search(said, plan)
    assert lines.index(plan) < min(k for k, line in enumerate(lines) if "Training " in line)
    trio = blemish("fit", part, "--out", "t.blemish", "--size", "32")
    assert "12 pictures through the teacher" in trio.stderr
    assert "statistics, with no training step" in trio.stderr
    assert "To do" not in blemish("fit", part, "--out", "t.blemish", "--size", "32", "-q").stderr


def test_ten_good_images_are_not_said_to_train_where_two_calibrate(
    blemish: Any, part: Path, tmp_path: Path
) -> None:
    shutil.copytree(part / "train" / "good", tmp_path / "nut" / "good")
    small = ("--size", "64", "--set", "steps=1", "--method", "rd")
    made = blemish("fit", tmp_path / "nut", "--out", "m.blemish", *small)
    assert made.returncode == 0, made.stderr
    assert "trained on 10 and calibrated on 2 good images" in made.stdout
    assert "all 12 good images are for learning and for the limits" in made.stderr
    assert "used for training" not in made.stderr


def test_benchmark_keeps_out_of_foreign_folders(
    blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    words = ("benchmark", "--method", "rd", "--data", part, "--out", "mine")
    assert "holds thesis.tex, and no rows.jsonl" in refused(blemish(*words))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_every_row_ends_with_error_and_model(
    blemish: Any, model: Path, part: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(part / "test" / "stain" / "00.png", folder / 'whole, and\r"quoted".png')
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty.png").write_bytes(b"")
    result = blemish("predict", model, folder, "--csv", "o.csv")
    assert result.returncode == 2
    digest = read_bundle(model).manifest.digest
    with (tmp_path / "o.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-2:] == ["error", "model"]
    assert len(rows) == 3
    assert all(len(row) == len(header) and row[-1] == digest for row in rows)
    assert [bool(row[-2]) for row in sorted(rows)] == [True, True, False]
    assert (tmp_path / "o.csv").read_bytes().endswith(b"\n")


def test_pictures_of_another_size_are_said_once(
    blemish: Any, model: Path, part: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with Image.open(part / "test" / "good" / "00.png") as image:
        for index in range(4):
            image.resize((130, 130)).save(folder / f"{index}.png")
    result = blemish("predict", model, folder)
    assert result.stderr.count("far larger than the good pictures") == 1
    assert "Important: 4 pictures, such as 0.png: It is far larger" in result.stderr


def test_many_products_are_listed_by_what_moved_most() -> None:
    from blemish.calibration import CalibrationRecord, calibrate
    from blemish.calibration.limit_changes import limit_changes

    before = calibrate(
        CalibrationRecord(f"p{product:02}", score, score)
        for product in range(30)
        for score in range(1, 31)
    )
    moved = [CalibrationRecord("p17", 900.0, 900.0)]
    lines = limit_changes(before, calibrate(moved, current=before, how="join"))
    assert len(lines) == 21
    assert lines[0].startswith("p17: defect above 900 (was 30)")
    assert lines[-1] == "… and 10 more products: blemish info MODEL"
    first = limit_changes(None, Calibration.from_json(before.to_json()))
    assert first[0] == (
        "p00: defect above 30, unsure above 29.45; stops at most 3.2 % of good parts, asked for "
        "1 %, from 30 good images."
    )
