"""``blemish fit`` with what users have: good folders, and wrong ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fit_options import BRIEF, SHORT, listing
from numpy.typing import NDArray
from PIL import Image

from blemish.methods.trio.config import TrioConfig
from blemish.model_file.bundle import read_manifest

Pixels = NDArray[np.uint8]


def save(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_a_folder_of_good_pictures_becomes_one_file(
    blemish: Any, part: Path, tmp_path: Path
) -> None:
    result = blemish("fit", part, *BRIEF, "--false-alarm-rate", "0.3")
    assert result.returncode == 0, result.stderr
    assert listing(tmp_path) == ["part.blemish"]
    manifest = read_manifest(tmp_path / "part.blemish")
    assert (manifest.method, manifest.products) == ("trio", ("part",))
    assert "Statistics" in result.stderr  # progress as plain lines
    assert "\r" not in result.stderr
    assert "trained on 12 and calibrated on 12 good images" in result.stdout


def test_images_are_left_out_of_learning_by_name(
    blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    gone = sorted(p.name for p in (part / "train" / "good").iterdir())[:2]
    named = [word for name in gone for word in ("--leave-out", name)]
    result = blemish("fit", part, *BRIEF, *named, "-o", "m.blemish")
    assert result.returncode == 0, result.stderr
    assert "trained on 10 and calibrated on 10 good images" in result.stdout
    kept = blemish("info", "m.blemish", "--json").stdout
    assert not any(name + "#" in kept for name in gone)
    again = blemish("calibrate", "m.blemish", "--exclude", "05.png")
    assert "`blemish fit … --leave-out 05.png`" in " ".join(again.stderr.split())
    message = refused(blemish("fit", part, *BRIEF, "--leave-out", "no.png", "-o", "n.blemish"))
    assert "no.png is not among the 12 good images" in message
    assert listing(tmp_path) == ["m.blemish"]


def test_the_speeds_are_shown_once_with_their_time_here(blemish: Any, part: Path) -> None:
    result = blemish("fit", part, "--speed", "fast", "--device", "cpu", "-o", "m.blemish")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert sum(line.startswith("speed ") for line in lines) == 1
    rows = [line.split() for line in lines if line.startswith(("fast ", "balanced ", "best "))]
    chosen = (True, False, False)
    for row, speed, mark in zip(rows, TrioConfig.speeds.values(), chosen, strict=True):
        first, *_ = speed.teacher.split("+")
        assert row[1:3] == [first, "128×128"]  # as small pictures are doubled
        assert float(row[3]) > 0
        assert row[4:7] == [f"{speed.image_auroc:.3f}", f"{100 * (speed.found_at_5 or 0):.0f}", "%"]
        assert row[7:] == ["chosen"] * mark
    second = next(n for n, line in enumerate(lines) if line.startswith("best ")) + 1
    assert lines[second].split() == ["+efficientnet_lite2"]
    assert "teacher forward, eager" in result.stdout
    assert "on eleven development products." in result.stdout
    assert next(i for i, line in enumerate(lines) if line.startswith("speed ")) < len(lines) - 1
    assert lines[-1].startswith("Wrote m.blemish")
    (shown,) = [s for s in blemish("info", "m.blemish").stdout.splitlines() if " speed " in s]
    assert shown.split() == ["speed", "fast"]
    refused = blemish("fit", part, "--speed", "fats")
    assert (refused.returncode, "Did you mean 'fast'?" in refused.stderr) == (2, True)


def test_a_size_that_is_named_is_timed_beside_the_speeds(blemish: Any, part: Path) -> None:
    result = blemish("fit", part, *BRIEF, "--speed", "best", "-o", "m.blemish")
    assert result.returncode == 0, result.stderr
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    (row,) = [line for line in lines if line.endswith("chosen")]
    assert row.startswith("as given")
    assert row.split()[2:4] == ["efficientnet_lite0", "32×32"]
    assert lines[lines.index(row) + 1].split() == ["+efficientnet_lite2"]
    assert "Note: Of the speed 'best' only the teacher (eff" in result.stderr
    (shown,) = [s for s in blemish("info", "m.blemish").stdout.splitlines() if " speed " in s]
    assert shown.strip().endswith("best, only its teacher")


def test_pictures_without_any_folders_are_taken_as_good(
    blemish: Any, part: Path, tmp_path: Path
) -> None:
    shutil.copytree(part / "train" / "good", tmp_path / "parts")
    result = blemish("fit", "parts/", *BRIEF)
    assert result.returncode == 0, result.stderr
    assert "all 12 are taken as good" in result.stderr
    assert read_manifest(tmp_path / "parts.blemish").products == ("parts",)


def test_quiet_says_nothing(blemish: Any, part: Path) -> None:
    result = blemish("fit", part, *BRIEF, "-q", "-o", "m.blemish")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_one_model_per_product_on_request(blemish: Any, part: Path, tmp_path: Path) -> None:
    for name in ("bolt", "nut"):
        shutil.copytree(part, tmp_path / "line" / name)
    result = blemish("fit", "line", *BRIEF, "--per-product")
    assert result.returncode == 0, result.stderr
    assert listing(tmp_path / "line-models") == ["bolt.blemish", "nut.blemish"]
    (tmp_path / "line-models" / "bolt.blemish").unlink()
    for image in (tmp_path / "line" / "bolt").rglob("*.png"):
        image.write_text("no image")
    result = blemish("fit", "line", *BRIEF, "--per-product")
    assert result.returncode == 2
    assert "Error: bolt: " in result.stderr
    assert "has 0 readable good images" in result.stderr
    assert result.stderr.splitlines()[-1] == "Without a model: bolt."
    assert listing(tmp_path / "line-models") == ["nut.blemish"]
    shutil.rmtree(tmp_path / "line" / "bolt")
    shutil.copytree(part, tmp_path / "line" / "bolt")
    result = blemish("fit", "line", *BRIEF, "--products", "nut", "-o", "one.blemish")
    assert read_manifest(tmp_path / "one.blemish").products == ("nut",)
    result = blemish("fit", "line", *BRIEF, "--products", "nut,pin")
    assert result.returncode == 2
    assert "No product 'pin' in line. Found: bolt, nut." in result.stderr


def _empty(root: Path) -> None:
    (root / "good").mkdir(parents=True)


def _no_good(root: Path) -> None:
    save(root / "scratch" / "0.png", np.zeros((64, 64, 3), np.uint8))


def _text(root: Path) -> None:
    _empty(root)
    for number in range(3):
        (root / "good" / f"{number}.jpg").write_text("this is no image")


def _truncated(root: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
        path = save(root / "good" / f"{number}.png", noise)
        path.write_bytes(path.read_bytes()[:2000])


def _one(root: Path) -> None:
    save(root / "good" / "0.png", np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "no data set at"),
        (lambda root: root.mkdir(), "is empty"),
        (lambda root: root.write_text("hello"), "of no known layout"),
        (_empty, "no usable images"),
        (_no_good, "of no known layout"),
        (_text, "0 readable good images"),
        (_truncated, "0 readable training images"),
        (_one, "1 readable good images"),
    ],
    ids=["missing", "empty", "file", "empty good", "no good", "text", "truncated", "one image"],
)
def test_folders_without_good_pictures_are_refused(
    make: Callable[[Path], None], said: str, blemish: Any, refused: Any, tmp_path: Path
) -> None:
    make(tmp_path / "data")
    before = listing(tmp_path)
    assert said in refused(blemish("fit", "data", *BRIEF, "-o", "m.blemish"))
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "rdd"), "Did you mean 'rd'"),
        (("--teacher", "resnet"), "Unknown teacher"),
        (("--teacher-weights", "gone.pth"), "gone.pth"),
        (("--size", "100"), "multiples of 32"),
        (("--size", "²"), "expected a side"),
        (("--size", "64x64x3"), "expected a side"),
        (("--set", "sigma"), "NAME=VALUE"),
        (("--set", "sigme=3"), "Did you mean 'sigma'"),
        (("--set", "steps=3"), "Unknown setting 'steps'"),
        (("-m", "rd", "--set", "learning-rate=nan"), "learning_rate='nan'"),
        (("--false-alarm-rate", "5"), "false-alarm rate is 5"),
        (("--unsure-rate", "0.001"), "unsure rate"),
        (("--hold-out", "1"), "held out"),
        (("--seed", "-1"), "seed is -1"),
        (("--device", "gpu"), "Unknown device"),
        (("--precision", "8"), "Unknown precision"),
        (("--cache-budget", "nan"), "cache budget"),
        (("--bit-depth", "99"), "bit_depth is 99"),
        (("--layout", "mvtek_ad"), "Did you mean 'mvtec_ad'"),
        (("-o", "no/such/folder.blemish"), "does not exist"),
        (("-o", "."), "is a folder"),
    ],
)
def test_wrong_options_are_refused_before_training(
    words: tuple[str, ...],
    said: str,
    part: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, to be quick."""
    from blemish.cli.app import main

    monkeypatch.setattr("blemish.training.train.train", lambda *a, **k: pytest.fail("it trained"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["blemish", "fit", str(part), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("Error: ")
    assert said in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--group", "["), "is no regular expression"),
        (("--group", "lot[0-9]"), "names none of the 12 images"),
        (("--labelled", "part/train/good"), "holds good/, which is not of defects"),
        (("--labelled", "nix"), "nix does not exist"),
        (("--method", "rd", "--labelled", "part/test/stain"), "rd learns from good images only"),
    ],
)
def test_groups_and_defects_are_refused_before_anything_is_timed_or_compared(
    blemish: Any, part: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    shutil.copytree(part, tmp_path / "part")
    result = blemish("fit", "part", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert "teacher" not in result.stdout
    assert "Comparing" not in result.stderr


def test_a_single_image_per_step_needs_more_than_the_smallest_size(
    blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    smallest = ("--method", "borad", "--size", "32", "--set", "batch_size=1", "--set", "steps=2")
    assert "larger size or batch_size" in refused(blemish("fit", part, *smallest))
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    "error", ["MemoryError", 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory")']
)
def test_too_little_memory_is_said_on_one_line(
    error: str, blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    full = f"""
import blemish.training.train
def train(*args, **kwargs):
    raise {error}
blemish.training.train.train = train
"""
    assert "not enough memory" in refused(blemish("fit", part, *BRIEF, before=full))
    assert listing(tmp_path) == []


def test_where_nothing_can_be_set_aside_there_are_no_verdicts(
    blemish: Any, good_parts: Pixels, tmp_path: Path
) -> None:
    for number in range(2):
        save(tmp_path / "few" / "good" / f"{number}.png", good_parts[number])
    result = blemish("fit", "few", *BRIEF, "--hold-out", "0.2")
    assert result.returncode == 0, result.stderr
    assert "Not calibrated" in result.stderr
    assert "blemish calibrate" in result.stderr
    assert read_manifest(tmp_path / "few.blemish").calibration is None


def test_two_images_calibrate_each_other_and_that_is_said_to_be_little(
    blemish: Any, good_parts: Pixels, tmp_path: Path
) -> None:
    for number in range(2):
        save(tmp_path / "few" / "good" / f"{number}.png", good_parts[number])
    result = blemish("fit", "few", *BRIEF)
    assert result.returncode == 0, result.stderr
    assert "2 good images only" in result.stderr
    assert "1 % needs at least 99 good images, 2 were given" in result.stderr


def test_mixed_pictures_train_and_broken_ones_are_listed(
    blemish: Any, good_parts: Pixels, tmp_path: Path
) -> None:
    good = tmp_path / "mixed" / "good"
    for number in range(4):
        save(good / f"{number}.png", good_parts[number])
    save(good / "wide.bmp", good_parts[4][:20])
    save(good / "grey.webp", good_parts[5][..., 0])
    save(good / "16bit.tiff", good_parts[6][..., 0].astype(np.uint16) * 257)
    save(good / "single.png", good_parts[7][:1, :1])
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    cut = save(good / "cut.png", noise)
    cut.write_bytes(cut.read_bytes()[:2000])
    (good / "text.jpg").write_text("no image")
    (good / "empty.png").touch()
    result = blemish("fit", "mixed", *BRIEF)
    assert result.returncode == 0, result.stderr
    assert "3 image(s) could not be read:" in result.stderr
    for name in ("cut.png", "text.jpg", "empty.png"):
        assert result.stderr.count(f"{name}") == 1
    training = read_manifest(tmp_path / "mixed.blemish").training
    assert training["training_images"] == training["calibration_images"] == 8


def test_a_few_labelled_defects_teach_a_method_that_uses_them(
    blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    stain = part / "test" / "stain"
    result = blemish(
        "fit", part, "--method", "anomem", "--labelled", stain, *SHORT, "-o", "m.blemish"
    )
    assert result.returncode == 0, result.stderr
    assert "trained on 2 labelled defects and 10 and calibrated on 2 good images" in result.stdout
    assert read_manifest(tmp_path / "m.blemish").training["labelled_defects"] == 2
    assert "holds good/" in refused(
        blemish("fit", part, "--method", "anomem", "--labelled", part / "test", *SHORT, "-o", "n.b")
    )
    assert listing(tmp_path) == ["m.blemish", "m.training.csv"]
