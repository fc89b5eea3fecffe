"""``blemish learn``: in place or elsewhere, shown before and after, the old file or the new one."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector
from blemish._progress import Progress
from blemish.model_file.bundle import read_manifest


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, part: Path) -> Path:
    detector = Detector("trio", image_size=64)
    detector.fit(part, false_alarm_rate=0.2, progress=Progress(quiet=True))
    path = tmp_path_factory.mktemp("trio") / "part.blemish"
    detector.save(path)
    return path


@pytest.fixture
def model(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(fitted, tmp_path / "m.blemish"))


@pytest.fixture
def more(tmp_path: Path, good_parts: NDArray[Any]) -> Path:
    folder = tmp_path / "more"
    folder.mkdir()
    for number, pixels in enumerate(good_parts[:6]):
        Image.fromarray(255 - pixels).save(folder / f"{number}.png")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_product_is_added_and_limits_are_shown(blemish: Any, model: Path, more: Path) -> None:
    before = digest(model)
    tried = blemish("learn", model, more, "--product", "lid", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "Nothing was written (--dry-run)." in tried.stdout
    assert digest(model) == before
    result = blemish("learn", model, more, "--product", "lid")
    assert result.returncode == 0, result.stderr
    assert read_manifest(model).products == ("part", "lid")
    [line] = [line for line in result.stdout.splitlines() if line.startswith("lid: ")]
    assert line.endswith("from 6 good images.")
    [line] = [line for line in result.stdout.splitlines() if line.startswith("part: ")]
    assert "(as before)" in line
    assert "Learned 6 good images of lid (new)" in result.stdout
    assert [line for line in tried.stdout.splitlines() if ": defect above" in line] == [
        line for line in result.stdout.splitlines() if ": defect above" in line
    ]
    assert "6 of lid" in blemish("info", model).stdout
    again = blemish("learn", model, more, "--product", "lid")
    assert again.returncode == 0
    assert "Nothing new to learn; nothing was written." in again.stdout
    assert "6 images are known already and count once" in again.stderr


def test_more_images_go_into_another_file(
    blemish: Any, model: Path, part_folder: Any, tmp_path: Path
) -> None:
    before = digest(model)
    root = part_folder(tmp_path / "x" / "part")
    for n, path in enumerate(sorted((root / "train" / "good").iterdir())):
        if n >= 4:
            path.unlink()
        else:
            Image.open(path).rotate(180).save(path)
    (root / "train" / "good" / "broken.png").write_text("no image")
    words = ("learn", model, root, "--out", "n.blemish", "--leave-out", "03.png")
    result = blemish(*words)
    assert result.returncode == 0, result.stderr
    assert "1 image(s) could not be read" in result.stderr
    assert "Learned 3 good images of part in" in result.stdout
    assert "from 15 good images." in result.stdout
    assert digest(model) == before
    assert (tmp_path / "n.blemish").is_file()


def test_where_it_warns_the_old_model_is_kept_beside(
    blemish: Any, model: Path, more: Path, part_folder: Any, tmp_path: Path
) -> None:
    before = digest(model)
    calm = blemish("learn", model, part_folder(tmp_path / "x", train=14), "--product", "part")
    assert calm.returncode == 0, calm.stderr
    kept = tmp_path / "m.blemish.bak"
    assert "By the limits before" not in calm.stderr
    assert "The model before takes" not in calm.stderr
    assert not kept.exists()
    now = digest(model)
    result = blemish("learn", model, more)  # negatives, which are all alike
    assert result.returncode == 0, result.stderr
    assert "takes 6 of 6 new good images of part for defects. Where they" in result.stderr
    assert f"model as it was is kept, {kept}. Back to it: mv {kept} {model}" in result.stderr
    assert digest(kept) == now != before
    assert digest(model) != now
    elsewhere = blemish("learn", kept, more, "--out", "other.blemish")
    assert elsewhere.returncode == 0
    assert "is kept" not in elsewhere.stderr


def test_what_cannot_learn_is_refused_and_no_file_touched(
    blemish: Any,
    refused: Any,
    model: Path,
    more: Path,
    tmp_path: Path,
    model_file: Path,
    exported_file: Path,
) -> None:
    message = refused(blemish("learn", exported_file, more, "--product", "lid"))
    assert "is an exported model, a finished graph that cannot learn" in message
    trained = Path(shutil.copy(model_file, tmp_path / "rd.blemish"))
    before = digest(trained)
    assert "rd cannot learn on" in refused(blemish("learn", trained, more))
    assert digest(trained) == before
    message = refused(blemish("learn", model, more, "--out", "nowhere/n.blemish"))
    assert "does not exist" in message


def test_an_interrupt_leaves_the_old_file(blemish: Any, model: Path, more: Path) -> None:
    before = digest(model)
    stop = (
        "import blemish.methods.trio.learning as learning\n"
        "def stopped(*_): raise KeyboardInterrupt\n"
        "learning._settle = stopped\n"
    )
    result = blemish("learn", model, more, "--product", "lid", before=stop)
    assert result.returncode == 130
    assert "Interrupted." in result.stderr
    assert digest(model) == before
    assert sorted(path.name for path in model.parent.iterdir()) == ["m.blemish", "more"]


def test_a_product_keeps_its_name_in_a_larger_tree(
    blemish: Any, model: Path, part: Path, good_parts: NDArray[Any], tmp_path: Path
) -> None:
    """Where two groups hold a part, the one that was learned is still called part."""
    folders = ("train/good", "train/good", "train/good", "test/good", "test/scratch")
    for group, light in ((part.resolve().parent.name, 0), ("other", 40)):
        for number, (pixels, folder) in enumerate(zip(good_parts[:5], folders, strict=True)):
            path = tmp_path / "all" / group / "part" / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels // 2 + light).save(path)
    result = blemish("learn", model, tmp_path / "all")
    assert result.returncode == 0, result.stderr
    assert "is what was learned as part." in result.stderr
    assert read_manifest(model).products == ("part", "other-part")
    result = blemish("calibrate", model, tmp_path / "all", "--how", "join", "--product", "part")
    assert result.returncode == 0, result.stderr
    assert "3 good images for training and calibration are taken" in result.stderr
