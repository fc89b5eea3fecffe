"""One picture that says what was found: heat map, outlines, boxes and a caption."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.outputs.caption import VERDICT_COLOURS, draw_caption
from blemish.outputs.heat import blend_heat
from blemish.outputs.outline import block_max, draw_outline
from blemish.results import Prediction

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

    Args:
        image: ``(H, W, 3)`` uint8 RGB, the source image of the prediction.
        prediction: What was found in it.
        scale: Map values at 0 % and 100 % of the colours: ``Limits.map_scale`` of the calibration.
        opacity: Of the hottest colour, in [0, 1].
        max_side: Longest side of the picture in pixels, without the caption.

    Returns:
        An RGB picture. Small images come out enlarged by a whole factor.

    Raises:
        ConfigError: The scale does not ascend, or the opacity lies outside [0, 1].
        DataError: Image and map differ in size, or the image is not RGB uint8.

    Example:
        >>> import numpy as np
        >>> from blemish.outputs.overlay import draw_overlay
        >>> from blemish.results import Prediction
        >>> p = Prediction(path=None, product=None, score=0.3, anomaly_map=np.zeros((28, 28), "f4"))
        >>> draw_overlay(np.zeros((28, 28, 3), np.uint8), p, scale=(0.0, 1.0)).mode
        'RGB'
    """
    height, width = image.shape[:2]
    amap, mask = prediction.anomaly_map, prediction.mask
    if amap.shape == (height, width):  # otherwise blend_heat says what is wrong
        longest = max(height, width)
        if longest > max_side:
            size = (max(width * max_side // longest, 1), max(height * max_side // longest, 1))
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
            amap = block_max(amap, size)
            mask = None if mask is None else block_max(mask, size)
        elif longest < _SMALLEST:
            factor = math.ceil(_SMALLEST / longest)
            size = (width * factor, height * factor)
            image = image.repeat(factor, 0).repeat(factor, 1)  # the pixels as they are
            # Mode "F" interpolates the raw values without rounding them.
            amap = np.asarray(
                Image.fromarray(np.asarray(amap, np.float32)).resize(
                    size, Image.Resampling.BILINEAR
                )
            )
            mask = None if mask is None else mask.repeat(factor, 0).repeat(factor, 1)
    pixels = blend_heat(image, amap, scale=scale, opacity=opacity)  # (h, w, 3)
    line = max(1, round(max(pixels.shape[:2]) / 640))
    if mask is not None:
        draw_outline(pixels, mask, line)
    picture = Image.fromarray(pixels)
    _draw_boxes(picture, prediction, picture.width / width, picture.height / height, line)
    if prediction.explanation is not None:
        scale_of = (picture.width / width, picture.height / height)
        draw_look_box(picture, prediction.explanation.box, scale_of, line)
    return draw_caption(picture, prediction, scale)


def draw_look_box(
    picture: Image.Image, box: tuple[int, int, int, int], scale: tuple[float, float], line: int
) -> None:
    """Draw the dashed box of an explanation: where to look, not what was measured there.

    Args:
        picture: RGB, changed in place.
        box: Left, top, right, bottom in pixels of the source image.
        scale: Pixels of the picture per pixel of the source image, across and down.
        line: Width of the line.

    Example:
        >>> from PIL import Image
        >>> from blemish.outputs.overlay import draw_look_box
        >>> picture = Image.new("RGB", (40, 40))
        >>> draw_look_box(picture, (10, 10, 30, 30), (1.0, 1.0), 1)
        >>> picture.getpixel((10, 10))
        (120, 200, 255)
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
