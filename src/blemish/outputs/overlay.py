"""Overlay: one picture that says what was found, by heat map, outlines, boxes and a caption."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from blemish._progress import printable
from blemish.data.images.reading import read_image
from blemish.errors import ConfigError
from blemish.outputs.drawable import drawable
from blemish.outputs.heat import (
    blend_heat,
    dim_ignored,
    draw_outline,
    heat_colours,
    resize_together,
)
from blemish.outputs.products_seen import shown_product
from blemish.outputs.tally import times
from blemish.results import Prediction, Verdict

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Told apart by lightness as well as by hue, and always beside the word.
VERDICT_COLOURS: dict[Verdict | None, Colour] = {
    "ok": (38, 148, 76),
    "unsure": (240, 170, 30),
    "defect": (214, 40, 48),
    None: (120, 126, 134),
}
_STRIP: Colour = (22, 25, 30)
_BRIGHT: Colour = (240, 242, 245)
_DIM: Colour = (160, 167, 177)
_NARROWEST = 420  # pixels; below, the strip would not hold the words
_LOOK_COLOUR = (120, 200, 255)
_SMALLEST = 480  # pixels of the longer side; smaller images are enlarged so that text fits


def draw_overlay(
    image: NDArray[np.uint8],
    prediction: Prediction,
    *,
    scale: tuple[float, float],
    opacity: float = 0.6,
    max_side: int = 2048,
) -> Image.Image:
    """The image with its anomaly map in colour, marked areas, boxes and a caption below.

    The colours mean the same in every picture drawn with the same ``scale``. Large images are
    reduced so that the hottest pixel of each block survives: a small defect stays visible.

    ``image`` is the prediction's source ``(H, W, 3)`` uint8 RGB; ``scale`` holds the map values at
    0 % and 100 % of the colours, as ``Limits.map_scale`` does. The picture is at most ``max_side``
    pixels long without its caption; a small image comes out enlarged by a whole factor.

    Raises:
        ConfigError: The scale does not ascend, or the opacity lies outside [0, 1].
        DataError: Image and map differ in size, or the image is not RGB uint8.
    """
    height, width = image.shape[:2]
    amap, mask, roi = prediction.anomaly_map, prediction.mask, prediction.roi
    if amap.shape == (height, width):  # otherwise blend_heat says what is wrong
        longest, size = max(height, width), (width, height)
        if longest > max_side:
            size = (max(width * max_side // longest, 1), max(height * max_side // longest, 1))
        elif longest < _SMALLEST:
            factor = math.ceil(_SMALLEST / longest)
            size = (width * factor, height * factor)
        if size != (width, height):
            box = Image.Resampling.BOX
            image, amap, (mask, roi) = resize_together(image, amap, [mask, roi], size, box)
    pixels = blend_heat(image, amap, scale=scale, opacity=opacity)  # (h, w, 3)
    line = max(1, round(max(pixels.shape[:2]) / 640))
    if roi is not None:
        dim_ignored(pixels, image, roi)
    if mask is not None:
        draw_outline(pixels, mask, line)
    picture = Image.fromarray(pixels)
    _draw_boxes(picture, prediction, picture.width / width, picture.height / height, line)
    if prediction.explanation is not None:
        scale_of = (picture.width / width, picture.height / height)
        draw_look_box(picture, prediction.explanation.box, scale_of, line)
    return draw_caption(picture, prediction, scale)


def overlay_of(prediction: Prediction, *, opacity: float = 0.6) -> Image.Image:
    """The overlay of a prediction that knows its picture and its colours; see there."""
    p = prediction
    if p.map_scale is None:
        raise ConfigError(
            "An overlay's colours are tied to the limits, and there are none: calibrate the model "
            "with good images first, or draw the anomaly_map by colours of your own."
        )
    if p.image is None and p.path is None:
        raise ConfigError("This prediction has neither a picture nor the path of one.")
    image = read_image(p.path, bit_depth=p.bit_depth) if p.image is None and p.path else p.image
    return draw_overlay(np.asarray(image), p, scale=p.map_scale, opacity=opacity)


def draw_look_box(
    picture: Image.Image, box: tuple[int, int, int, int], scale: tuple[float, float], line: int
) -> None:
    """Draw the dashed box of an explanation: where to look, not what was measured there.

    ``box`` is left, top, right, bottom in pixels of the source image, ``scale`` the picture's
    pixels per one of those, across and down, ``line`` the width of the line.
    """
    draw = ImageDraw.Draw(picture)
    x0, x1 = round(box[0] * scale[0]), min(round(box[2] * scale[0]) - 1, picture.width - 1)
    y0, y1 = round(box[1] * scale[1]), min(round(box[3] * scale[1]) - 1, picture.height - 1)
    dash, width = 6 * line, line + 1
    draw.rectangle((x0, y0, x1, y1), outline=(0, 0, 0), width=width)
    for x in range(x0, x1 + 1, 2 * dash):
        end = min(x + dash, x1)
        draw.rectangle((x, y0, end, y0 + width - 1), _LOOK_COLOUR)
        draw.rectangle((x, y1 - width + 1, end, y1), _LOOK_COLOUR)
    for y in range(y0, y1 + 1, 2 * dash):
        end = min(y + dash, y1)
        draw.rectangle((x0, y, x0 + width - 1, end), _LOOK_COLOUR)
        draw.rectangle((x1 - width + 1, y, x1, end), _LOOK_COLOUR)


def _draw_boxes(
    picture: Image.Image, prediction: Prediction, across: float, down: float, line: int
) -> None:
    """Draw the regions' boxes, a little apart from what they enclose.

    Specks in or at the box of a worse region get none: their outline says enough.
    """
    draw = ImageDraw.Draw(picture)
    colour = VERDICT_COLOURS[prediction.verdict]
    width, gap = line + 1, 4 + 2 * line
    drawn: list[tuple[int, int, int, int]] = []
    for region in prediction.regions:  # the worst first
        left, top, right, bottom = region.box
        x, y = (left + right) / 2 * across, (top + bottom) / 2 * down
        if any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in drawn):
            continue
        x0, y0 = max(round(left * across) - gap, 0), max(round(top * down) - gap, 0)
        x1 = min(round(right * across) - 1 + gap, picture.width - 1)
        y1 = min(round(bottom * down) - 1 + gap, picture.height - 1)
        draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=(0, 0, 0), width=width + 2)
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=width)
        drawn.append((x0, y0, x1, y1))


def draw_caption(
    picture: Image.Image, prediction: Prediction, scale: tuple[float, float]
) -> Image.Image:
    """A new picture with the caption strip below; narrow ones are centred on its background.

    ``scale`` holds the map values at the ends of the colour bar.
    """
    width = max(picture.width, _NARROWEST)
    text = min(max(width // 42, 13), 36)  # pixels
    pad = text * 3 // 4
    large, small = ImageFont.load_default(text), ImageFont.load_default(text * 5 // 6)
    advice = _wrapped(prediction, small, width - 2 * pad)
    height = 2 * text + 3 * pad + len(advice) * (text + pad // 2)
    out = Image.new("RGB", (width, picture.height + height), _STRIP)
    out.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(out)
    first = picture.height + pad + text // 2  # middles of the two lines
    second = first + text + pad

    bar = _draw_scale(draw, (width - pad, first, second), scale, small, text)
    x = _draw_verdict(draw, (pad, first), prediction.verdict, large, text)
    room = bar - pad
    numbers = _numbers(prediction)
    if draw.textlength(numbers, large) > room - x - pad:
        # The score is what must be read, and which branches object.
        objecting = [n for n, b in prediction.branches.items() if b.verdict in ("defect", "unsure")]
        numbers = _numbers(replace(prediction, branches={}))
        by = f"{numbers}   by {', '.join(objecting)}"
        numbers = by if objecting and draw.textlength(by, large) <= room - x - pad else numbers
    draw.text(
        (x + pad, first),
        _fitted(draw, numbers, large, room - x - pad),
        _BRIGHT,
        large,
        anchor="lm",
    )
    draw.text(
        (pad, second), _fitted(draw, _origin(prediction), small, room - pad), _DIM, small, "lm"
    )
    for number, line in enumerate(advice, 1):
        middle = second + number * (text + pad // 2)
        draw.text((pad, middle), line, _BRIGHT, small, anchor="lm")
    return out


def _wrapped(prediction: Prediction, font: Font, room: int) -> list[str]:
    """The explanation's sentence in lines that fit; none without one."""
    lines: list[str] = []
    sentence = prediction.explanation.sentence if prediction.explanation else ""
    for word in drawable(sentence).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _numbers(prediction: Prediction) -> str:
    parts = [f"score {prediction.score:.4g}"]
    if prediction.p_value is not None:
        parts.append(f"p = {prediction.p_value:.3g}")
    if prediction.times_limit is not None:
        parts.append(times(prediction.times_limit))
    for name, branch in prediction.branches.items():
        verdict = f" ({branch.verdict})" if branch.verdict else ""
        parts.append(f"{name} {branch.score:.3g}{verdict}")
    return drawable("   ".join(parts))


def _origin(prediction: Prediction) -> str:
    parts = []
    if prediction.product is not None:
        parts.append(shown_product(prediction))
    if prediction.path is not None:
        parts.append("/".join(prediction.path.parts[-2:]))
    return drawable(printable("  ·  ".join(parts)))


def _draw_verdict(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], verdict: Verdict | None, font: Font, text: int
) -> int:
    """Draw the verdict as a badge at its left middle; return where it ends."""
    word = "NOT CALIBRATED" if verdict is None else verdict.upper()
    left, middle = at
    right = left + round(draw.textlength(word, font)) + text
    half = text * 3 // 4
    draw.rounded_rectangle(
        (left, middle - half, right, middle + half), text // 3, VERDICT_COLOURS[verdict]
    )
    ink = _STRIP if verdict == "unsure" else (255, 255, 255)
    draw.text(((left + right) / 2, middle), word, ink, font, anchor="mm")
    return right


def _draw_scale(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int, int],
    scale: tuple[float, float],
    font: Font,
    text: int,
) -> int:
    """Draw the colour bar, its ends named below, right-aligned; return where it begins."""
    right, first, second = at
    low, high = (f"{value:.3g}" for value in scale)
    ends = draw.textlength(low, font) + draw.textlength(high, font) + text
    left = right - max(7 * text, round(ends))
    colours = heat_colours()
    for x in range(left, right):
        r, g, b = colours[(x - left) * 255 // (right - left - 1)].tolist()
        draw.line((x, first - text // 3, x, first + text // 3), (r, g, b))
    draw.text((left, second), low, _DIM, font, anchor="lm")
    draw.text((right, second), high, _DIM, font, anchor="rm")
    return left


def _fitted(draw: ImageDraw.ImageDraw, words: str, font: Font, room: float) -> str:
    """``words`` shortened in front until they fit: the end of a path tells more than its start."""
    if draw.textlength(words, font) <= room:
        return words
    # The first length at which it is too long comes behind all those that fit.
    fits = range(1, len(words))
    kept = bisect_right(fits, room, key=lambda n: draw.textlength("…" + words[-n:], font))
    return "…" + words[len(words) - kept :]
