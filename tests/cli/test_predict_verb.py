"""``blemish predict``: exit codes, files written, and bad input."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.model_file.bundle import read_bundle, write_bundle


def test_the_exit_code_is_the_verdict(blemish: Any, judging: dict[str, Path]) -> None:
    ok = blemish("predict", judging["model"], judging["ok"])
    assert (ok.returncode, "1 ok" in ok.stdout) == (0, True)
    defect = blemish("predict", judging["model"], judging["ok"], judging["defect"])
    assert (defect.returncode, "1 defect" in defect.stdout) == (1, True)


def test_everything_asked_for_is_written(
    blemish: Any, judging: dict[str, Path], part: Path, tmp_path: Path
) -> None:
    shutil.copytree(part / "test", tmp_path / "new")
    result = blemish(
        "predict", judging["model"], "new", judging["defect"],
        "--csv", "out.csv", "--json", "out.jsonl", "--heatmaps", "maps", "--masks", "masks",
    )  # fmt: skip
    assert result.returncode in (0, 1), result.stderr
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) == 5
    assert [float(row["score"]) for row in rows] == [line["score"] for line in lines]
    for folder in ("maps", "masks"):
        pictures = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        assert len(pictures) == 5
        for path in pictures:
            with Image.open(path) as picture:
                picture.load()
    assert len(list((tmp_path / "new").rglob("*.png"))) == 4


def test_broken_images_are_listed_and_the_rest_judged(
    blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "line"
    (folder / "deeper").mkdir(parents=True)
    shutil.copy(judging["ok"], folder / "a.png")
    shutil.copy(judging["ok"], folder / "deeper" / "b.png")
    (folder / "cut.png").write_bytes(judging["ok"].read_bytes()[:400])
    (folder / "text.jpg").write_text("no image")
    (folder / "empty.png").touch()
    Image.new("L", (1, 1)).save(folder / "single.png")
    values = np.asarray(Image.open(judging["ok"]).convert("L")).astype(np.uint16) * 257
    Image.fromarray(values).save(folder / "16bit.tiff")
    result = blemish("predict", judging["model"], folder, "--csv", "out.csv")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "3 image(s) could not be read:" in result.stderr
    for name in ("cut.png", "text.jpg", "empty.png"):
        assert result.stderr.count(name) == 1
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert sum(bool(row["score"]) for row in rows) == 4
    shallow = blemish("predict", judging["model"], folder, "--no-recursive", "--json", "out.jsonl")
    assert shallow.returncode == 2
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("model", "images", "said"),
    [
        ("gone.blemish", "ok", "gone.blemish does not exist"),
        (".", "ok", "is a folder"),
        ("text", "ok", "not a blemish model file"),
        ("cut", "ok", "cut short or damaged"),
        ("altered", "ok", "damaged"),
        ("newer", "ok", "--upgrade"),
        ("model", "gone.png", "gone.png does not exist"),
        ("model", "nothing", "holds no images"),
    ],
)
def test_bad_models_and_paths_are_refused(
    model: str, images: str, said: str, blemish: Any, refused: Any, judging: Any, tmp_path: Path
) -> None:
    whole = judging["model"].read_bytes()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 3])
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    (tmp_path / "altered").write_bytes(changed)
    bundle = read_bundle(judging["model"])
    newer = bundle.manifest.model_copy(update={"schema_version": 99})
    write_bundle(tmp_path / "newer", newer, bundle.files)
    before = sorted(path.name for path in tmp_path.iterdir())
    message = refused(
        blemish("predict", judging.get(model, model), judging.get(images, images), "--csv", "o.csv")
    )
    assert said in message
    assert len(message.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_places_that_cannot_be_written_are_refused(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    ask = ("predict", judging["model"], judging["ok"])
    assert "does not exist" in refused(blemish(*ask, "--csv", "no/such.csv"))
    assert "Cannot write" in refused(blemish(*ask, "--json", "."))
    assert list(tmp_path.iterdir()) == []


def test_pictures_need_limits(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    bundle = read_bundle(judging["model"])
    plain = bundle.manifest.model_copy(update={"calibration": None})
    write_bundle(tmp_path / "plain.blemish", plain, bundle.files)
    result = blemish("predict", "plain.blemish", judging["ok"])
    assert result.returncode == 0
    assert "blemish calibrate" in result.stderr
    message = refused(blemish("predict", "plain.blemish", judging["ok"], "--heatmaps", "maps"))
    assert "blemish calibrate" in message
    assert not (tmp_path / "maps").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_file_name_that_is_no_text(
    fresh_blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    shutil.copy(judging["ok"], os.fsencode(tmp_path / "new") + b"/\xff\xe9.png")
    wanted = ("--csv", "out.csv", "--json", "out.jsonl", "--heatmaps", "maps")
    strict = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8:strict"}  # as most desktops are
    result = fresh_blemish("predict", judging["model"], "new", *wanted, variables=strict)
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1
    assert len([path for path in (tmp_path / "maps").rglob("*") if path.is_file()]) == 1


def test_ctrl_c_leaves_whole_lines(blemish: Any, judging: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for number in range(30):
        shutil.copy(judging["ok"], tmp_path / "new" / f"{number:02}.png")
    stop = """
import os, signal
import blemish.inspection.pipeline as pipeline
make, made = pipeline.make_prediction, []
def interrupted(*args, **kwargs):
    made.append(1)
    if len(made) == 12:
        os.kill(os.getpid(), signal.SIGINT)
    return make(*args, **kwargs)
pipeline.make_prediction = interrupted
"""
    result = blemish("predict", judging["model"], "new", "--json", "out.jsonl", before=stop)
    assert result.returncode == 130, result.stderr
    assert "Interrupted." in result.stderr
    assert "Traceback" not in result.stderr
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert 10 <= len(lines) <= 12
    assert all(json.loads(line)["score"] for line in lines)


def test_how_a_picture_was_read_is_said_once_for_all(
    blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    line = tmp_path / "line"
    line.mkdir()
    for number in range(3):
        values = np.full((64, 64), 1000 + number, np.uint16)
        pages = [Image.fromarray(values)] * 2
        pages[0].save(line / f"{number}.tif", save_all=True, append_images=pages[1:])
    result = blemish("predict", judging["model"], line, "--csv", "v.csv", "--json", "v.jsonl")
    assert result.returncode in (0, 1), result.stderr
    said = " ".join(result.stderr.split())
    assert said.count("3 pictures, such as 0.tif: Its values look like 10 bits") == 1
    assert said.count("3 pictures, such as 0.tif: It holds 2 pages or frames, of which") == 1
    assert "PictureWarning" not in result.stderr
    first = json.loads((tmp_path / "v.jsonl").read_text().splitlines()[0])
    assert len(first["notes"]) == 2


@pytest.mark.parametrize("option", ["--csv", "--json", "--heatmaps", "--masks", "--out"])
def test_a_dash_is_no_file(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path, option: str
) -> None:
    message = refused(blemish("predict", judging["model"], judging["ok"], option, "-"))
    assert "- stands for standard output elsewhere" in message
    assert not (tmp_path / "-").exists()


def test_a_product_with_a_slip_is_refused(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    for more in ((), ("--out", "results")):
        words = ("predict", judging["model"], judging["ok"], "--product", "prat", *more)
        message = refused(blemish(*words))
        assert "Unknown product 'prat'. Did you mean 'part'? Known: part." in message
    assert not (tmp_path / "results").exists()
