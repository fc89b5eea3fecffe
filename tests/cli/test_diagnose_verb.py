"""The verb ``blemish diagnose``: the real command, what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish._progress import Progress
from blemish.detector import Detector

RunBlemish = Callable[..., object]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random weights: nothing here depends on what it finds."""
    good = np.random.default_rng(0).integers(90, 110, (12, 64, 64, 3)).astype(np.uint8)
    detector = Detector("borad", teacher_weights="random", settings={"steps": 1, "batch_size": 2})
    detector.fit(good, false_alarm_rate=0.3, progress=Progress(quiet=True))
    path = tmp_path_factory.mktemp("model") / "parts.blemish"
    detector.save(path)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for product in ("nut", "bolt"):
        for name in ("train/good", "test/good", "test/dent"):
            folder = tmp_path / "parts" / product / name
            folder.mkdir(parents=True)
            for i in range(3):
                Image.fromarray(rng.integers(0, 255, (60, 70, 3)).astype(np.uint8)).save(
                    folder / f"{i:03}.png"
                )
    return tmp_path / "parts"


def test_the_three_tables_are_printed(blemish: RunBlemish, model: Path, parts: Path) -> None:
    done = blemish("diagnose", model, parts, "--images", "2")
    assert done.returncode == 0, done.stderr
    for words in (
        "Anomaly leakage, good images of the test split",
        "copied, level 3",
        "scratch",
        "Separability of good images by product",
        "the teacher's deepest level",
        "Separation of the scores",
        "real",
    ):
        assert words in done.stdout
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_the_figures_as_json(blemish: RunBlemish, model: Path, parts: Path, tmp_path: Path) -> None:
    done = blemish("diagnose", model, parts, "--images", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert {p["product"] for p in content["products"]} == {"nut", "bolt"}
    assert content["products"][0]["planted"]["effect_size"] is None  # one good image: no spread
    assert len(content["leakage"]["copied"]) == 3
    written = blemish("diagnose", model, parts, "--images", "1", "--json", "out.json", "-q")
    assert (written.returncode, written.stdout) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text()) == content


def test_good_images_of_the_training_are_named_so(
    blemish: RunBlemish, model: Path, parts: Path
) -> None:
    done = blemish("diagnose", model, parts, "--images", "1", "--split", "train")
    assert done.returncode == 0
    assert "good images of the train split" in done.stdout
    assert "Note: The good images are training images of" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no.blemish", "parts"], "no.blemish does not exist"),
        (["MODEL", "nowhere"], "nowhere"),
        (["MODEL", "empty"], "empty"),
        (["MODEL", "parts", "--split", "tset"], "Did you mean"),
        (["MODEL", "parts", "--json", "no/such/out.json"], "no/such"),
    ],
)
def test_mistakes_end_with_one_line(
    blemish: RunBlemish, model: Path, parts: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = blemish("diagnose", *(str(model) if word == "MODEL" else word for word in words))
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_can_say_why_it_misses(
    blemish: RunBlemish, model: Path, parts: Path, tmp_path: Path
) -> None:
    done = blemish("report", model, parts, "--diagnose", "--pictures", "0", "-q")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text("utf-8")
    for words in ('href="#diagnosis"', "Why it misses", "Anomaly leakage", "nut, real defects"):
        assert words in page
    found = json.loads(blemish("diagnose", model, parts, "--json", "-").stdout)
    assert f"<td>{found['leakage']['copied'][0]:.3f}</td>" in page
    assert f"<td>{found['bottleneck']['silhouette']:.3f}</td>" in page
    plain = blemish("report", model, parts, "--pictures", "0", "-q", "-o", "plain.html")
    assert plain.returncode == 0
    assert "Why it misses" not in (tmp_path / "plain.html").read_text("utf-8")
