from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from blemish.errors import DataError
from blemish.inspection.prediction import find_regions
from blemish.outputs.overlay import (
    VERDICT_COLOURS,
    _fitted,
    _numbers,
    draw_caption,
    draw_overlay,
)
from blemish.results import Branch, Explanation, Prediction, Verdict

GREY = 100


def prediction(
    height: int, width: int, spot: tuple[int, int, int, int] | None, verdict: Verdict | None
) -> Prediction:
    """A map of zeros with a hot rectangle (left, top, right, bottom)."""
    amap = np.zeros((height, width), np.float32)
    if spot:
        amap[spot[1] : spot[3], spot[0] : spot[2]] = 1.0
    mask = amap > 0.5
    return Prediction(
        path=Path("bottle/scratch/001.png"),
        product="bottle",
        score=1.234567,
        anomaly_map=amap,
        p_value=0.0123,
        verdict=verdict,
        mask=mask,
        regions=find_regions(mask, amap),
    )


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def changed(picture: Image.Image, height: int) -> np.ndarray:
    """Which pixels of the picture proper, without the caption, are not the grey image's. (h, w)"""
    return (np.asarray(picture)[:height] != GREY).any(axis=2)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((28, 28), (504, 504)), ((600, 800), (600, 800)), ((3000, 4000), (1536, 2048))],
)
def test_any_size_gives_a_picture_that_can_be_read(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    h, w = size
    spot = (w // 4, h // 4, w // 2, h // 2)
    picture = draw_overlay(grey(h, w), prediction(h, w, spot, "defect"), scale=(0.0, 1.0))
    assert picture.mode == "RGB"
    assert picture.width == expected[1]
    assert picture.height > expected[0]
    marked = changed(picture, expected[0])
    ys, xs = np.nonzero(marked)
    # Heat, outline and box lie where the defect is, and nowhere else.
    fh, fw = expected[0] / h, expected[1] / w
    margin = 25
    assert abs(xs.min() - spot[0] * fw) < margin
    assert abs(xs.max() - spot[2] * fw) < margin
    assert abs(ys.min() - spot[1] * fh) < margin
    assert abs(ys.max() - spot[3] * fh) < margin


def test_a_thin_strip_is_reduced_along_its_length() -> None:
    hot = prediction(5000, 1, (0, 2000, 1, 2001), "defect")
    picture = draw_overlay(grey(5000, 1), hot, scale=(0.0, 1.0))
    assert picture.height > 2048
    middle = np.asarray(picture)[:2048, (picture.width - 1) // 2]  # the strip stands in the middle
    assert np.ptp(middle.astype(int), axis=1).max() > 60  # the hot pixel is coloured


def test_a_good_image_stays_as_it_is() -> None:
    picture = draw_overlay(grey(500, 500), prediction(500, 500, None, "ok"), scale=(0.0, 1.0))
    assert not changed(picture, 500).any()


def test_box_and_outline_have_their_colours() -> None:
    p = prediction(500, 500, (200, 100, 300, 180), "unsure")
    pixels = np.asarray(draw_overlay(grey(500, 500), p, scale=(0.0, 1.0)))[:500]
    box = (pixels == VERDICT_COLOURS["unsure"]).all(axis=2)
    ys, xs = np.nonzero(box)
    assert xs.min() < 200 <= 300 <= xs.max() < 310
    assert ys.min() < 100 <= 180 <= ys.max() < 190
    assert (pixels[100, 200:300] == 255).all()  # the outline runs on the edge of the mask


def test_a_single_hot_pixel_survives_the_reduction() -> None:
    p = prediction(3000, 4000, (1234, 777, 1235, 778), "defect")
    plain = Prediction(path=None, product=None, score=1.0, anomaly_map=p.anomaly_map)
    picture = draw_overlay(grey(3000, 4000), plain, scale=(0.0, 1.0), max_side=1000)
    marked = changed(picture, 750)
    assert marked.sum() == 1
    assert marked[777 // 4, 1234 // 4]


def test_specks_at_a_worse_region_get_no_box_of_their_own() -> None:
    p = prediction(500, 500, (200, 100, 300, 180), "defect")
    amap = p.anomaly_map.copy()
    amap[182, 250] = 0.9  # a speck just below
    amap[400, 50] = 0.9  # and one on its own
    mask = amap > 0.5
    both = Prediction(
        path=None, product=None, score=1, anomaly_map=amap, verdict="defect", mask=mask,
        regions=find_regions(mask, amap),
    )  # fmt: skip
    assert len(both.regions) == 3
    pixels = np.asarray(draw_overlay(grey(500, 500), both, scale=(0.0, 1.0)))[:500]
    red = (pixels == VERDICT_COLOURS["defect"]).all(axis=2)
    near = red[170:200, 215:285]
    assert near.any(axis=1).sum() == 2  # only the lower side of the large box, two lines thick
    assert red[380:420, 30:70].any()


@pytest.mark.parametrize("verdict", ["ok", "unsure", "defect", None])
def test_the_caption_shows_the_verdict_in_its_colour(verdict: Verdict | None) -> None:
    p = prediction(500, 500, None, verdict)
    picture = draw_caption(Image.new("RGB", (500, 500)), p, (0.0, 1.0))
    strip = np.asarray(picture)[500:]
    others = {v: (strip == c).all(axis=2).sum() for v, c in VERDICT_COLOURS.items()}
    assert others.pop(verdict) > 300
    assert max(others.values()) < 20  # the smoothed edges of letters may meet the grey


def test_narrow_pictures_get_room_for_the_caption() -> None:
    picture = draw_overlay(grey(900, 60), prediction(900, 60, None, "ok"), scale=(0.0, 1.0))
    assert picture.width == 420
    assert (np.asarray(picture)[:900, 180:240] == GREY).all()


def test_what_does_not_fit_is_shortened_in_front() -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (10, 10)))
    font = ImageFont.load_default(20)
    words = "a/very/long/path/that/does/not/fit/anywhere/003.png"
    short = _fitted(draw, words, font, 150)
    assert short.startswith("…")
    assert short.endswith("003.png")
    assert draw.textlength(short, font) <= 150 < draw.textlength(words, font)
    assert _fitted(draw, "003.png", font, 150) == "003.png"
    assert _fitted(draw, words, font, 0) == "…"


def test_odd_file_names_and_many_branches_do_not_break_the_caption() -> None:
    p = Prediction(
        path=Path("a\nb/\udcff" + "x" * 300 + ".png"),
        product=None,
        score=-1e-30,
        anomaly_map=np.zeros((30, 30), np.float32),
        branches={f"branch_{i}": Branch(1e9) for i in range(20)},
    )
    assert draw_overlay(grey(30, 30), p, scale=(0.0, 1.0)).size[0] == 480


def test_a_map_of_another_image_is_refused() -> None:
    with pytest.raises(DataError, match="made from another image"):
        draw_overlay(grey(30, 40), prediction(40, 30, None, "ok"), scale=(0.0, 1.0))


def test_an_explanation_is_a_dashed_box_and_a_sentence_in_the_caption() -> None:
    plain = prediction(480, 640, None, "defect")
    sentence = "Look first at the dashed box (top right): " + "something is odd there. " * 4
    told = replace(plain, explanation=Explanation("logical", (400, 40, 600, 140), sentence))
    without = draw_overlay(grey(480, 640), plain, scale=(0.0, 1.0))
    picture = draw_overlay(grey(480, 640), told, scale=(0.0, 1.0))
    drawn = changed(picture, 480)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (40, 139, 400, 599)
    assert not drawn[60:120, 420:580].any()
    edge = np.asarray(picture)[40, 400:600]
    assert 0.3 < (edge == (120, 200, 255)).all(-1).mean() < 0.8
    assert picture.height > without.height + 20


def test_the_caption_says_each_branchs_verdict() -> None:
    told = replace(
        prediction(480, 640, None, "defect"),
        branches={"structural": Branch(0.1, 0.5, "ok"), "logical": Branch(6.2, 0.01, "defect")},
    )
    assert _numbers(told).endswith("structural 0.1 (ok)   logical 6.2 (defect)")


def test_where_the_caption_is_narrow_the_score_stays_and_the_branches_numbers_go() -> None:
    width = 480
    plain = prediction(480, width, None, "defect")

    def caption(**branches: Branch) -> np.ndarray:
        told = replace(plain, branches=branches)
        return np.asarray(draw_overlay(grey(480, width), told, scale=(0, 1)))[480:]

    none = caption()
    silent = caption(structural=Branch(15.8, 0.5, "ok"), logical=Branch(4.512, 0.6, "ok"))
    assert np.array_equal(silent, none)
    objecting = caption(structural=Branch(15.8, 0.01, "defect"), logical=Branch(4.5, 0.6, "ok"))
    assert not np.array_equal(objecting, none)
    # What stands first, verdict and score, is the same.
    assert np.array_equal(objecting[:, : width // 3], none[:, : width // 3])
