from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_in import BACKGROUND, BrightSpots, limits_at, write_part

from blemish.data.sample import Sample
from blemish.errors import ImageError
from blemish.report.close_ups import close_ups
from blemish.report.data import make_row
from blemish.report.pictures import (
    TRUTH_COLOUR,
    PicturePlan,
    colour_bar,
    draw_figure,
    plan_pictures,
)

PLAN = PicturePlan(per_group=6, side=128, most_bytes=40_000)


def decoded(uri: str | None) -> np.ndarray:
    assert uri is not None
    kind, _, content = uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels have about that colour; JPEG keeps none exactly. (h, w)"""
    return np.abs(pixels - colour).max(axis=2) < 60


def part(folder: Path, *, size: int = 32, spot: int = 90, masked: bool = True) -> Sample:
    mask = folder / "mask.png"
    path = write_part(folder / "1.png", spot, size=size, mask=mask if masked else None)
    return Sample(path, "nut", "test", 1, "dent", (mask,) if masked else ())


def figure(sample: Sample, plan: PicturePlan = PLAN):
    prediction = next(BrightSpots(limits_at(3.0)).predict(sample))
    return draw_figure(make_row(sample, prediction), prediction, scale=(0.0, 6.0), plan=plan)


@pytest.mark.parametrize(("size", "drawn"), [(32, 128), (100, 100), (128, 128), (1000, 128)])
def test_pictures_fit_whatever_the_image(tmp_path: Path, size: int, drawn: int) -> None:
    made = figure(part(tmp_path, size=size))
    assert made.size == (drawn, drawn)
    for uri in (made.image, made.overlay, made.truth):
        assert decoded(uri).shape == (drawn, drawn, 3)


def test_an_elongated_image_keeps_its_shape(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 200), (BACKGROUND,) * 3).save(tmp_path / "1.png")
    made = figure(Sample(tmp_path / "1.png", "nut", "test", 0))
    assert made.size == (128, 16)


@pytest.mark.parametrize("size", [32, 1000])
def test_the_overlay_is_hot_and_outlined_where_the_spot_is(tmp_path: Path, size: int) -> None:
    made = figure(part(tmp_path, size=size))
    changed = np.abs(decoded(made.overlay) - decoded(made.image)).max(axis=2) > 40
    ys, xs = np.nonzero(changed)
    assert 20 < xs.min() < xs.max() < 60  # the spot reaches from 32 to 48
    assert 20 < ys.min() < ys.max() < 60
    middle = decoded(made.overlay)[40, 40] - decoded(made.image)[40, 40]
    assert middle[0] > 20 > middle[2]  # yellow, away from the outline
    assert (decoded(made.overlay).min(axis=2) > 200).any()  # the white outline


def test_ground_truth_is_outlined_and_a_small_one_boxed(tmp_path: Path) -> None:
    drawn = near(decoded(figure(part(tmp_path)).truth), TRUTH_COLOUR)
    xs = np.nonzero(drawn)[1]
    assert xs.min() < 30 < 50 < xs.max() < 60  # the box stands off the spot
    assert not drawn[:20].any()
    large = part(tmp_path / "large")
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(large.mask_paths[0])
    edge = near(decoded(figure(large).truth), TRUTH_COLOUR)
    assert edge[0].mean() > 0.9
    assert not edge[20:-20, 20:-20].any()


def test_without_ground_truth_there_is_no_such_picture(tmp_path: Path) -> None:
    assert figure(part(tmp_path, masked=False)).truth is None
    other_size = part(tmp_path / "b")
    Image.fromarray(np.ones((5, 5), np.uint8)).save(other_size.mask_paths[0])
    assert figure(other_size).truth is None


def test_pixels_without_a_file(tmp_path: Path) -> None:
    image = np.full((28, 28), BACKGROUND, np.uint8)
    sample = Sample(Path("images.gz#3"), "nut", "test", 0, image=image)
    assert figure(sample).size == (112, 112)  # a whole factor: pixels stay pixels


def test_a_busy_image_stays_within_its_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "1.png")
    made = figure(
        Sample(tmp_path / "1.png", "nut", "test", 0), PicturePlan(6, 288, most_bytes=22_000)
    )
    for uri in (made.image, made.overlay):
        assert len(base64.b64decode(uri.partition(",")[2])) <= 22_000


def test_an_image_that_has_gone_is_an_error(tmp_path: Path) -> None:
    sample = part(tmp_path)
    prediction = next(BrightSpots(limits_at(3.0)).predict(sample))
    row = make_row(sample, prediction)
    sample.path.unlink()
    with pytest.raises(ImageError, match=r"1\.png"):
        draw_figure(row, prediction, scale=(0.0, 6.0), plan=PLAN)


@pytest.mark.parametrize("products", [1, 2, 4, 12, 30, 200])
@pytest.mark.parametrize("asked", [1, 6, 50])
def test_the_plan_fits_one_file(products: int, asked: int) -> None:
    plan = plan_pictures(products, asked)
    assert 1 <= plan.per_group <= asked
    pictures = 3 * 3 * products * plan.per_group  # groups, pictures of each part
    assert pictures * plan.most_bytes * 4 / 3 <= 7 * 2**20


def test_no_pictures_on_request() -> None:
    assert plan_pictures(3, 0).per_group == 0


def test_the_colour_bar_runs_from_grey_to_yellow() -> None:
    content = base64.b64decode(colour_bar().partition(",")[2])
    bar = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert bar[0, 0].tolist() == [150, 150, 150]
    assert bar[0, -1, 0] > bar[0, -1, 2] + 30


def test_of_a_large_image_what_is_marked_is_shown_as_it_is(tmp_path: Path) -> None:
    made = figure(part(tmp_path, size=1000))
    assert made.close_ups
    source, size, label = made.close_ups[0]
    close = decoded(source)
    assert (close.shape[1], close.shape[0]) == size
    assert label.startswith("at ")
    # Neither shrunk nor drawn into: the spot and the ground around it.
    assert set(np.unique(close // 8)) >= {90 // 8, BACKGROUND // 8}
    assert figure(part(tmp_path, size=200)).close_ups == ()


def test_close_ups_are_of_different_places_and_of_a_miss_too() -> None:
    image = np.zeros((2000, 3000, 3), np.uint8)
    marked, truth = np.zeros((2, 2000, 3000), bool)
    marked[100:103, 100:103] = marked[110:113, 150:153] = truth[101, 101] = True
    amap = marked.astype(np.float32)
    found = close_ups(image, amap, marked, truth, side=384)
    assert [one.label for one in found] == ["at 112, 112"]  # all of it in one
    truth[1000:1010, 2000:2100] = True
    found = close_ups(image, amap, marked, truth, side=384)
    assert [one.label for one in found] == ["at 112, 112", "at 2050, 1005"]
    truth[1000:1010, 1500:2500] = True
    found = close_ups(image, amap, None, truth, side=384)
    assert [one.label for one in found] == ["at 112, 112", "at 2000, 1000, 11 %"]
    assert found[1].pixels.shape == (224, 224, 3)
    assert close_ups(image[:700, :700], amap[:700, :700], marked[:700, :700], None, side=384) == []
