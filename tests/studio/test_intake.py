"""What dropped files are taken for, and where marks put them."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
from studio_steps import picture

from blemish.data.layouts import read_data_set
from blemish.errors import ConfigError
from blemish.results import UNKNOWN_PRODUCT
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import Contents, Picture, PictureHistory
from blemish.serving.limits import RefusalError, ServeLimits
from blemish.studio.intake import place_of
from blemish.studio.marked import take_marked
from blemish.studio.orders import TrainOrder
from blemish.studio.pictures import write_outline
from blemish.studio.studio import Studio


@pytest.mark.parametrize(
    ("path", "product", "role", "kind"),
    [
        ("bottle/train/good/000.png", "bottle", "good", ""),
        ("bottle/test/broken_large/000.png", "bottle", "defect", "broken_large"),
        ("line/bottle/OK_parts/1.png", "bottle", "good", ""),
        ("NG/scratch/1.png", None, "defect", "scratch"),
        ("lid_NG_7.png", None, "defect", ""),
        ("monday/1.png", "monday", "unsorted", ""),
        ("bottle\\good\\1.png", "bottle", "good", ""),
    ],
)
def test_folders_say_what_is_in_them(path: str, product: str | None, role: str, kind: str) -> None:
    place = place_of(path)
    assert (place.product, place.role, place.kind) == (product, role, kind)


def test_masks_are_no_pictures() -> None:
    assert place_of("bottle/ground_truth/broken/000_mask.png").masks


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "line", ServeLimits())


def take(studio: Studio, path: str, content: bytes) -> str:
    return studio.intake.take(path, content, product=None, role=None).path


def test_files_of_one_name_are_both_kept_and_equal_ones_once(studio: Studio) -> None:
    assert take(studio, "nut/good/1.png", picture(1)) == "nut/good/1.png"
    assert take(studio, "nut/bad/1.png", picture(2)) == "nut/defect/1-2.png"
    studio.pictures.mark(["nut/good/1.png"], "unsorted")
    again = studio.intake.take("nut/good/x.png", picture(1), product=None, role=None)
    assert again.equal_to == "nut/unsorted/1.png"


def test_what_is_no_picture_is_refused(studio: Studio) -> None:
    with pytest.raises(RefusalError) as refused:
        take(studio, "nut/good/1.png", b"no picture")
    assert refused.value.status == 415
    assert not studio.pictures.all()


def test_an_outline_moves_with_its_picture(studio: Studio, tmp_path: Path) -> None:
    take(studio, "nut/bad/1.png", picture(1, spot=True))
    (tmp_path / "line/pictures/nut/defect/1.png.json").write_text("{}")
    studio.pictures.mark(["nut/defect/1.png"], "defect", "spots")
    assert (tmp_path / "line/pictures/nut/defect/spots/1.png.json").is_file()
    [found] = studio.pictures.all()
    assert (found.kind, found.outlined) == ("spots", True)


def test_pictures_of_one_stem_have_each_their_outline(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "line/pictures/nut/defect"
    for name, corner in (("1.png", 20), ("1.bmp", 40)):
        take(studio, f"nut/bad/{name}", picture(corner, spot=True))
        write_outline(folder / name, (64, 64), [[(0, 0), (corner, 0), (corner, corner)]])
    for k in range(3):
        take(studio, f"nut/good/{k}.png", picture(k))
    data = read_data_set(tmp_path / "line/pictures")
    masks = {s.path.name: [m.name for m in s.mask_paths] for s in data.samples if not s.is_good}
    assert masks == {"1.png": ["1.png.json"], "1.bmp": ["1.bmp.json"]}


def test_the_product_of_pictures_is_corrected(studio: Studio, tmp_path: Path) -> None:
    for k in range(3):
        take(studio, f"good/{k}.png", picture(k))
    take(studio, "bad/9.png", picture(9, spot=True))
    studio.pictures.mark(["parts/defect/9.png"], "defect", "spots")
    write_outline(tmp_path / "line/pictures/parts/defect/spots/9.png", (64, 64), [[(0, 0)] * 3])
    studio.pictures.leave_out(["parts/good/1.png", "parts/good/2.png"], leave=True)
    take(studio, "nut/good/0.png", picture(70))
    paths = ["parts/good/0.png", "parts/good/1.png", "parts/defect/spots/9.png"]
    moved = studio.intake.give_product(paths, "nut")
    assert moved == ["nut/good/0-2.png", "nut/good/1.png", "nut/defect/spots/9.png"]
    assert studio.pictures.left_out() == ["parts/2.png", "nut/1.png"]
    assert [p.path for p in studio.pictures.all() if p.outlined] == ["nut/defect/spots/9.png"]
    again = studio.intake.take("nut/good/x.png", picture(0), product=None, role=None)
    assert again.equal_to == "nut/good/0-2.png"
    studio.intake.give_product(["parts/good/2.png"], "nut")
    assert studio.pictures.products() == ["nut"]
    with pytest.raises(RefusalError, match="no name for a product"):
        studio.intake.give_product(["nut/good/0.png"], "../x")


def test_the_command_line_reads_the_same(studio: Studio, tmp_path: Path) -> None:
    for k in range(6):
        take(studio, f"nut/good/{k}.png", picture(k))
        take(studio, f"bolt/good/{k}.png", picture(100 + k))
    take(studio, "nut/test/spots/9.png", picture(9, spot=True))
    data = read_data_set(tmp_path / "line/pictures")
    assert data.products == ("bolt", "nut")
    assert sum(sample.is_good for sample in data.samples) == 12


def test_too_few_pictures_are_said_before_anything_trains(studio: Studio) -> None:
    for k in range(3):
        take(studio, f"nut/good/{k}.png", picture(k))
    with pytest.raises(RefusalError, match="nut has 3"):
        studio.train(TrainOrder(recipe="instant", name="x"))
    for k in range(3, 6):
        take(studio, f"nut/good/{k}.png", picture(k))
    with pytest.raises(RefusalError, match="at least 3 of each product"):
        studio.train(TrainOrder(recipe="few", name="x"))
    job = studio.train(TrainOrder(recipe="instant", name="x"))
    assert job.command.startswith("blemish fit --good nut=pictures/nut/good --out models/x.blemish")
    with pytest.raises(RefusalError, match="being trained already"):
        studio.train(TrainOrder(recipe="instant", name="x"))


def test_a_project_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Cannot keep a project"):
        Studio(tmp_path / "file", ServeLimits())


def test_marks_of_inspecting_go_into_the_project(studio: Studio, tmp_path: Path) -> None:
    take(studio, "nut/waits.png", picture(1))
    take(studio, "nut/good/learned.png", picture(2))
    with contextlib.closing(Database.open(tmp_path / "state", "model")) as database:
        history = PictureHistory(database, ServeLimits())
        for seed, name, mark, product in (
            (1, "waits.png", "defect", "nut"),
            (2, "learned.png", "defect", "nut"),
            (3, "new.png", "defect", "nut"),
            (4, "fine.png", "good", "nut"),
            (5, "odd.png", "good", UNKNOWN_PRODUCT),
            (6, "nobody.png", None, "nut"),
        ):
            content = picture(seed)
            digest = hashlib.sha256(content).hexdigest()
            figures = {"score": 1.0, "peak": 1.0, "map_low": 0.0, "branches": {}}
            judged = Picture(digest, product, name, (64, 64), verdict="ok", version=1, **figures)
            key = history.keep(judged, Contents(content, b"", b""))
            history.set_mark(key, mark)
            history.remark(key, "deep/scratch" if mark == "defect" else "", "")
        counts = take_marked(history, studio.intake, studio.pictures)
        again = take_marked(history, studio.intake, studio.pictures)
    assert counts == {"good": 1, "defect": 1, "sorted": 1, "known": 0, "differ": 1, "unknown": 1}
    assert again == {"good": 0, "defect": 0, "sorted": 0, "known": 3, "differ": 1, "unknown": 1}
    assert [p.path for p in studio.pictures.all()] == [
        "nut/good/fine.png",
        "nut/good/learned.png",
        "nut/defect/deep_scratch/new.png",
        "nut/defect/deep_scratch/waits.png",
    ]
