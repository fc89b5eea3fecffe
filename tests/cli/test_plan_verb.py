"""``blemish plan``: what each way of seeing pictures means, and that fit does what it said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from blemish import Detector
from blemish.cli.app import app
from blemish.training.input_plan import line, other_ways, seen_by


def folder(root: Path, *sizes: tuple[int, int]) -> Path:
    (root / "good").mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.fromarray(np.full(size, 99, np.uint8)).save(root / "good" / f"{number}.png")
    return root


@pytest.fixture
def no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One millisecond per thousand pixels."""

    def measured(inputs: list[tuple[str, tuple[int, int]]], **_: Any) -> tuple[list[float], int]:
        return [h * w / 1000 for _, (h, w) in inputs], 3

    monkeypatch.setattr("blemish.training.input_plan.time_teachers", measured)


@pytest.mark.usefixtures("no_timing")
def test_the_table_has_size_and_time_of_every_way(tmp_path: Path) -> None:
    root = folder(tmp_path, (800, 800), (800, 800), (700, 800))
    result = CliRunner().invoke(app, ["plan", str(root)])
    assert result.exit_code == 0, result.output
    assert "800×800 (2), 700×800 (1)" in result.output
    assert "seen at 384×384: a defect of 10 pixels is 4.8 there" in result.output
    lines = re.findall(r"^(\S.*?)\s+efficientnet_\w+\s+(.*)$", result.output, re.M)
    rows = {flags: figures.split() for flags, figures in lines}
    assert rows["(default)"] == ["384×384", "1", "4.8", "147", "1.0"]
    assert rows["--size 800"] == ["800×800", "1", "10", "640", "4.3"]
    assert rows["--coarse"] == ["384×384", "1", "8", "557", "3.8"]
    assert re.search(r"^ +640×640 *$", result.output, re.M)
    assert rows["--tile auto"] == ["320×320", "9", "10", "922", "6.2"]
    assert rows["--tile auto --coarse"] == ["448×448", "5", "10", "1004", "6.8"]
    assert rows["--tile auto --scale 0.5"] == ["224×224", "4", "5", "201", "1.4"]


@pytest.mark.usefixtures("no_timing")
def test_it_ends_with_the_steps_and_minutes_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of the pictures is held out, and the steps are those of the others."""
    root = folder(tmp_path, *[(64, 64)] * 200)
    monkeypatch.setattr("blemish.training.plan.seconds_per_step", lambda *_, **__: 3.0)
    trained = CliRunner().invoke(app, ["plan", str(root), "--method", "rd"])
    assert trained.exit_code == 0, trained.output
    assert re.fullmatch(
        r"Learning from them: 160 pictures through the teacher, about \d+ s; then "
        r"700 steps of 16 pictures \(distill\), about 35 min on this machine's CPU\.",
        trained.stdout.splitlines()[-1],
    )
    fitted = CliRunner().invoke(app, ["plan", str(root)])
    assert "200 pictures through the teacher" in fitted.stdout.splitlines()[-1]
    end = " on this machine's CPU; then statistics, with no training step.\n"
    assert fitted.stdout.endswith(end)
    assert "if turned" not in fitted.stdout


@pytest.mark.usefixtures("no_timing")
def test_copies_that_a_fit_may_make_are_counted_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blemish.training.plan._seconds_per_picture", lambda *_: 1.0)
    few = folder(tmp_path, *[(64, 64)] * 20)
    said = CliRunner().invoke(app, ["plan", str(few)]).stdout.splitlines()[-1]
    assert (
        "20 pictures through the teacher, about 20 s, or 3 min if turned they look as good, "
        "on this machine's CPU; then"
    ) in said
    without = CliRunner().invoke(app, ["plan", str(few), "--set", "turned=0"])
    assert "if turned" not in without.stdout


def test_small_pictures_have_the_speeds_alone() -> None:
    ways = other_ways(Detector(), [(300, 300)] * 4)
    assert {way.flags for way in ways} == {"--speed fast", "--speed best"}


def test_a_line_of_pixels_has_ways_that_there_are() -> None:
    detector = Detector("trio", tile="auto")
    ways = other_ways(detector, [(1, 20_000)] * 3)
    assert "--tile auto --coarse" in [way.flags for way in ways]
    assert all(max(way.preprocessing.size) <= 8192 for way in ways)


def test_each_way_is_what_fit_would_do() -> None:
    sizes = [(500, 1250)] * 3
    for way in other_ways(Detector(), sizes):
        words = dict(re.findall(r"--(\w+) (\S+)", way.flags))
        if "size" in words:
            words["image_size"] = tuple(map(int, words.pop("size").split("x")))  # type: ignore[assignment]
        if "scale" in words:
            words["scale"] = float(words["scale"])  # type: ignore[assignment]
        if "--coarse" in way.flags:
            words["coarse"] = True  # type: ignore[assignment]
        fitted = seen_by(Detector(**words), sizes)  # type: ignore[arg-type]
        assert (fitted.preprocessing, fitted.passes) == (way.preprocessing, way.passes)


def test_fit_says_it_in_one_line() -> None:
    detector, sizes = Detector(), [(800, 800)]
    told = line(seen_by(detector, sizes), other_ways(detector, sizes))
    assert told == (
        "Pictures of 800×800 are seen at 384×384: a defect of 10 pixels is 4.8 there. `--size 800`:"
        " 10, 4.3 × the time. `--coarse`: 8, 3.8 × the time. "
        "`--tile auto`: 10, 9 tiles, 6.2 × the time. `--tile auto "
        "--coarse`: 10, 4 tiles and the whole, 6.8 × the time. `--tile auto --scale 0.5`: 5, 4 "
        "tiles, 1.4 × the time."
    )
    tiled = Detector(tile=256)
    assert line(seen_by(tiled, sizes), []) == (
        "Pictures of 800×800 are seen at their own size, in 16 tile(s) of 256×256: a defect of 10 "
        "pixels is 10 there."
    )


def test_nothing_to_plan_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "missing")])
    assert result.exit_code != 0
