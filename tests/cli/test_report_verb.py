"""The verb ``blemish report``: one run of the real command, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish._progress import Progress
from blemish.cli.app import main
from blemish.detector import Detector


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random weights: nothing here depends on what it finds."""
    good = np.random.default_rng(0).integers(90, 110, (12, 32, 32, 3)).astype(np.uint8)
    settings = {"steps": 1, "batch_size": 2}
    detector = Detector("rd", teacher_weights="random", image_size=32, settings=settings)
    detector.fit(good, false_alarm_rate=0.3, progress=Progress(quiet=True))
    path = tmp_path_factory.mktemp("model") / "parts.blemish"
    detector.save(path)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for name in ("train/good", "test/good", "test/dent"):
        folder = tmp_path / "parts" / "nut" / name
        folder.mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (40, 30), (60 * i, 90, 90)).save(folder / f"{i:03}.png")
    return tmp_path / "parts"


def test_the_command_writes_a_report(
    blemish: Callable[..., Any], model: Path, parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    done = blemish("report", model, parts, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "Good parts: " in done.stdout
    assert "Weakest defect kinds: " in done.stdout
    assert f"Wrote {out}" in done.stdout
    page = out.read_text(encoding="utf-8")
    assert "What parts.blemish finds and what it misses" in page
    assert "blemish report " in page  # the command
    assert "efficientnet_lite0 with random weights" in page
    assert "Loading the model" in page
    assert page.count('<figure class="part">') > 3


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Path | str) -> int:
    monkeypatch.setattr(sys, "argv", ["blemish", "report", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_an_unreadable_image_is_told_and_the_rest_is_reported(
    model: Path,
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (parts / "nut" / "test" / "dent" / "002.png").write_bytes(b"\x89PNG no more")
    out = tmp_path / "report.html"
    assert run(monkeypatch, model, parts, "-o", out, "-q") == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "1 image(s) could not be read" in printed.err
    assert "002.png" in out.read_text(encoding="utf-8")


def test_where_to_write_is_asked_before_any_work(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # The model does not exist either, and is not what is complained of.
    assert run(monkeypatch, "none.blemish", parts, "-o", tmp_path / "no" / "report.html") == 2
    assert "the folder" in capfd.readouterr().err
    assert run(monkeypatch, "none.blemish", parts, "-o", tmp_path / "report.html") == 2
    assert "none.blemish does not exist" in capfd.readouterr().err
    assert not (tmp_path / "report.html").exists()
