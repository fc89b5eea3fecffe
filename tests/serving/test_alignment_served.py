"""Alignment behind HTTP: the pose is answered, kept, and what is drawn lies as the picture does."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.registration import turning
from blemish.results import PartPose
from blemish.serving.drawing import heat_layer

cv2 = pytest.importorskip("cv2")

SIZE = (120, 160)
PLACE = (5.0, 0.05, 0.0)


def part(*, flaw: bool = False) -> np.ndarray:
    clean = np.full((*SIZE, 3), 25, np.uint8)
    cv2.rectangle(clean, (45, 35), (115, 85), (150, 120, 90), -1)
    cv2.rectangle(clean, (85, 40), (105, 55), (220, 220, 220), -1)
    if flaw:
        cv2.rectangle(clean, (60, 65), (69, 74), (255, 0, 0), -1)
    return clean


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_the_pose_is_answered_and_kept(start: Callable, tmp_path: Path) -> None:
    grain = np.random.default_rng(0).normal(0, 3, (12, *SIZE, 3))
    good = (part() + grain).clip(0, 255).astype(np.uint8)
    detector = Detector("patchcore", teacher_weights="random", image_size=(64, 96))
    options = TrainingOptions(device="cpu")
    quiet = Progress(quiet=True)
    detector.fit(good, align=True, false_alarm_rate=0.2, training=options, progress=quiet)
    detector.save(tmp_path / "m.blemish")
    client = start(model=tmp_path / "m.blemish").client
    matrix = turning(*PLACE, SIZE)
    border = cv2.BORDER_REFLECT_101
    grainy = (part(flaw=True) + grain[0]).clip(0, 255).astype(np.uint8)
    flawed = cv2.warpAffine(grainy, matrix, SIZE[::-1], borderMode=border)
    foreign = np.random.default_rng(1).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    answers = [
        client.post("/v1/predict?keep=true", content=png(image)).json()["results"][0]
        for image in (flawed, foreign)
    ]
    found, unlike = (answer["pose"] for answer in answers)
    assert found["aligned"]
    assert found["angle"] == pytest.approx(5, abs=0.5)
    assert not unlike["aligned"]
    assert "cannot be aligned" in unlike["fault"]
    assert answers[1]["verdict"] == "unsure"

    kept = client.get("/v1/history").json()["pictures"]
    assert [picture["verdict"] for picture in kept] == ["unsure", answers[0]["verdict"]]
    assert kept[0]["pose"] == unlike
    detail = client.get(f"/v1/pictures/{answers[0]['id']}").json()
    assert detail["regions"] == answers[0]["regions"]
    layer = client.get(f"/v1/pictures/{answers[0]['id']}/heat").content
    drawn = np.asarray(Image.open(io.BytesIO(layer)))
    assert (drawn[:2, :2, :3] == 0).all()  # a corner that fell out of the frame is dimmed
    assert drawn[20:40, 30:60, :3].any()


def test_the_layer_of_the_page_lies_as_the_picture_does() -> None:
    amap = np.zeros((64, 96), np.float32)
    amap[36:40, 36:41] = 1  # around (64, 71) of the picture
    layer = heat_layer(
        amap, SIZE, preprocessing=Preprocessing(64, 96), scale=(0.0, 1.0), pose=PartPose(*PLACE)
    )
    drawn = np.asarray(Image.open(io.BytesIO(layer)))[..., 3].astype(int)
    dimmed = np.asarray(Image.open(io.BytesIO(layer)))[..., :3].max(2) == 0
    row, column = np.unravel_index(int(np.where(dimmed, 0, drawn).argmax()), drawn.shape)
    x, y = turning(*PLACE, SIZE) @ [64.0, 71.0, 1]
    scale = drawn.shape[1] / SIZE[1]
    assert np.hypot(column - x * scale, row - y * scale) < 4
