from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.calibration import CalibrationRecord, calibrate
from blemish.errors import ConfigError
from blemish.outputs.overlay import draw_overlay
from blemish.outputs.pictures import MaskSink, OverlaySink
from blemish.outputs.run import common_root
from blemish.results import Prediction


def prediction(path: Path | None, hot: int = 0) -> Prediction:
    amap = np.zeros((30, 40), np.float32)
    amap[hot, hot] = 5.0
    return Prediction(path, "nut", 1.0, amap, verdict="ok", p_value=0.5, mask=amap > 1)


def test_masks_are_0_and_255_at_the_size_of_the_image(tmp_path: Path) -> None:
    sink = MaskSink(tmp_path / "masks", root=tmp_path / "in")
    target = sink.write(prediction(tmp_path / "in" / "a" / "1.png", hot=7))
    assert target == tmp_path / "masks" / "a" / "1.png"
    with Image.open(target) as file:
        assert (file.mode, file.size) == ("L", (40, 30))
        pixels = np.asarray(file)
    assert np.argwhere(pixels == 255).tolist() == [[7, 7]]
    assert set(np.unique(pixels)) == {0, 255}


def test_sub_folders_are_mirrored_and_nothing_is_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "in"
    sources = [
        root / "good" / "1.png",
        root / "bad" / "1.png",
        root / "bad" / "1.jpg",
        root / "bad" / "1.jpg.png",
        root / "Bad" / "1.png",
        root / "x.gz#1",
        root / "x.gz#2",
        tmp_path / "other" / "1.png",
        None,
        None,
    ]
    sink = MaskSink(tmp_path / "out", root=root)
    targets = [sink.write(prediction(path, hot=i)) for i, path in enumerate(sources)]
    assert len({str(t).casefold() for t in targets}) == len(sources)
    assert targets[0].relative_to(tmp_path / "out") == Path("good/1.png")
    assert targets[2].name == "1.jpg.png"
    assert targets[7].relative_to(tmp_path / "out").parts[0] == "elsewhere"
    for i, target in enumerate(targets):
        assert np.asarray(Image.open(target))[i, i] == 255
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert sorted(files) == sorted(targets)  # no temporary file is left


def test_the_same_image_again_replaces_its_picture(tmp_path: Path) -> None:
    sink = MaskSink(tmp_path / "out", root=tmp_path)
    first = sink.write(prediction(tmp_path / "1.png", hot=1))
    assert sink.write(prediction(tmp_path / "sub" / ".." / "1.png", hot=2)) == first
    assert np.asarray(Image.open(first))[2, 2] == 255


def test_an_image_is_never_overwritten_by_its_own_mask(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "1.png")
    before = (tmp_path / "1.png").read_bytes()
    with pytest.raises(ConfigError, match="over the image itself"):
        MaskSink(tmp_path, root=tmp_path).write(prediction(tmp_path / "1.png"))
    assert (tmp_path / "1.png").read_bytes() == before


def test_missing_folders_and_masks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        MaskSink(tmp_path / "no" / "masks", root="in").write(prediction(Path("in/1.png")))
    bare = Prediction(Path("in/1.png"), None, 1.0, np.zeros((3, 4), np.float32))
    with pytest.raises(ConfigError, match="blemish calibrate"):
        MaskSink(tmp_path / "masks", root="in").write(bare)
    assert list(tmp_path.iterdir()) == []


def test_overlays_use_the_scale_of_their_product(tmp_path: Path) -> None:
    calibration = calibrate(
        [CalibrationRecord("nut", 1.0, peak=5.0), CalibrationRecord("bolt", 1.0, peak=500.0)]
    )
    image = np.full((30, 40, 3), 99, np.uint8)
    p = prediction(tmp_path / "1.png", hot=7)
    sink = OverlaySink(tmp_path / "out", root=tmp_path, calibration=calibration)
    written = np.asarray(Image.open(sink.write(p, image)))
    assert (written == np.asarray(draw_overlay(image, p, scale=(0.0, 10.0)))).all()


def test_common_root(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "b" / "1.png", tmp_path / "a" / "c" / "1.png"]
    assert common_root(paths) == tmp_path / "a"
    assert common_root(paths[:1]) == tmp_path / "a" / "b"
    assert common_root([Path("x/1.png"), Path("2.png")]) == Path.cwd()
    with pytest.raises(ConfigError, match="no folder in common"):
        common_root([])
