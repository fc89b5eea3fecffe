"""The strip below an overlay: verdict, score, p-value, product, file name and the colour scale."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from blemish.outputs.heat import heat_colours
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


def draw_caption(
    picture: Image.Image, prediction: Prediction, scale: tuple[float, float]
) -> Image.Image:
    """A new picture with the caption strip below; narrow ones are centred on its background.

    Args:
        picture: RGB.
        prediction: What the strip speaks of.
        scale: Map values at the ends of the colour bar.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> from blemish.outputs.caption import draw_caption
        >>> from blemish.results import Prediction
        >>> p = Prediction(path=None, product=None, score=0.3, anomaly_map=np.zeros((4, 4), "f4"))
        >>> draw_caption(Image.new("RGB", (640, 480)), p, (0.0, 1.0)).size > (640, 480)
        True
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
    draw.text(
        (x + pad, first),
        _fitted(draw, _numbers(prediction), large, room - x - pad),
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
    for word in prediction.explanation.sentence.split() if prediction.explanation else ():
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
    for name, score in prediction.branches.items():
        verdict = prediction.branch_verdicts.get(name)
        parts.append(f"{name} {score:.3g}" + (f" ({verdict})" if verdict else ""))
    return "   ".join(parts)


def _origin(prediction: Prediction) -> str:
    parts = [] if prediction.product is None else [prediction.product]
    if prediction.path is not None:
        parts.append("/".join(prediction.path.parts[-2:]))
    # Control characters in a file name would break the line.
    return "".join(c if c.isprintable() else "�" for c in "  ·  ".join(parts))


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
    low, high = 0, len(words)  # characters kept; low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        if draw.textlength("…" + words[-middle:], font) <= room:
            low = middle
        else:
            high = middle
    return "…" + words[len(words) - low :]
