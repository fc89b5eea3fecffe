"""The pictures of a report: image, anomaly map and ground truth of one part, small and embedded."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.data.images.image import read_image, read_mask
from blemish.data.images.pixels import to_rgb
from blemish.data.sample import Sample
from blemish.errors import DataError, ImageError
from blemish.inspection.regions import find_regions
from blemish.outputs.heat import blend_heat, block_max, draw_outline
from blemish.outputs.overlay import draw_look_box
from blemish.report.rows import Row
from blemish.results import Prediction

TRUTH_COLOUR = (0, 229, 255)  # in neither the heat colours nor most parts
# Of all pictures together; base64 makes four bytes of three, and the page needs some itself.
_BUDGET = 5 * 2**20
_MOST_PER_PICTURE = 40_000  # bytes; more would not be seen at these sizes
_MOST_FIGURES = 150
_QUALITIES = (86, 75, 60, 45, 30, 15)


@dataclass(frozen=True)
class PicturePlan:
    """How many pictures a report has room for, and how large.

    Attributes:
        per_group: Images of each group of each product.
        side: Longer side of a picture in pixels.
        most_bytes: Of one picture.

    Example:
        >>> from blemish.report.pictures import plan_pictures
        >>> plan_pictures(1, 6).side, plan_pictures(30, 6).per_group
        (384, 1)
    """

    per_group: int
    side: int
    most_bytes: int


def plan_pictures(products: int, per_group: int) -> PicturePlan:
    """Fit three groups per product into one file that still opens on a phone."""
    if per_group <= 0 or products <= 0:
        return PicturePlan(0, 224, _MOST_PER_PICTURE)
    per_group = max(1, min(per_group, _MOST_FIGURES // (3 * products)))
    figures = 3 * products * per_group
    side = 384 if figures <= 36 else 288 if figures <= 90 else 224
    return PicturePlan(per_group, side, min(_MOST_PER_PICTURE, _BUDGET // (3 * figures)))


@dataclass(frozen=True)
class Figure:
    """One part as a report shows it.

    Attributes:
        row: What is said of it.
        image, overlay: Data URIs.
        truth: Data URI of the image with the ground truth outlined; ``None`` without one.
        size: Width and height of the pictures in pixels.
    """

    row: Row
    image: str
    overlay: str
    truth: str | None
    size: tuple[int, int]


def draw_figure(
    row: Row,
    prediction: Prediction,
    *,
    scale: tuple[float, float],
    plan: PicturePlan,
    bit_depth: int = 16,
) -> Figure:
    """Draw one part.

    Args:
        row: The part.
        prediction: Its maps.
        scale: Map values at the ends of the colours.
        plan: Size and weight of the pictures.
        bit_depth: As in :func:`blemish.data.images.image.read_image`.

    Raises:
        ImageError: The image cannot be read.

    Example: see :func:`blemish.report.report.write_report`.
    """
    sample = row.sample
    if sample.image is not None:
        image = to_rgb(sample.image, bit_depth=bit_depth)
    else:
        image = read_image(sample.path, bit_depth=bit_depth)  # (H, W, 3)
    masks = [prediction.mask, _truth(sample, (image.shape[0], image.shape[1]))]
    image, amap, (marked, truth) = _fit(image, prediction.anomaly_map, masks, plan.side)
    overlay = blend_heat(image, amap, scale=scale, opacity=0.62)  # (h, w, 3)
    line = 2 if max(image.shape) >= 256 else 1
    if marked is not None:
        draw_outline(overlay, marked, line)
    if prediction.explanation is not None:
        across = overlay.shape[1] / prediction.anomaly_map.shape[1]
        down = overlay.shape[0] / prediction.anomaly_map.shape[0]
        picture = Image.fromarray(overlay)
        draw_look_box(picture, prediction.explanation.box, (across, down), line)
        overlay = np.asarray(picture)
    outlined = None
    if truth is not None:
        outlined = image.copy()
        draw_outline(outlined, truth, line, colour=TRUTH_COLOUR)
        outlined = _point_out(outlined, truth, line)
    return Figure(
        row=row,
        image=_data_uri(image, plan.most_bytes),
        overlay=_data_uri(overlay, plan.most_bytes),
        truth=None if outlined is None else _data_uri(outlined, plan.most_bytes),
        size=(image.shape[1], image.shape[0]),
    )


def _truth(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """All ground truth of an image as one ``(H, W)``; ``None`` where there is none to be read."""
    try:
        masks = [read_mask(path, expected_size=size) > 0 for path in sample.mask_paths]
    except (DataError, ImageError):
        return None  # the evaluation says what is wrong with it
    union: NDArray[np.bool_] | None = np.any(masks, axis=0) if masks else None
    return union


def _point_out(pixels: NDArray[np.uint8], truth: NDArray[np.bool_], line: int) -> NDArray[np.uint8]:
    """Put boxes around the defects too small for their outline to be seen at a glance."""
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    side, gap = max(truth.shape), 4 + 2 * line
    for region in find_regions(truth, truth.astype(np.float32), max_regions=20):
        left, top, right, bottom = region.box
        if max(right - left, bottom - top) > side / 8:
            continue
        box = (left - gap, top - gap, right - 1 + gap, bottom - 1 + gap)
        draw.rectangle(
            [v + d for v, d in zip(box, (-1, -1, 1, 1), strict=True)],
            outline=(0, 0, 0),
            width=line + 2,
        )
        draw.rectangle(box, outline=TRUTH_COLOUR, width=line)
    return np.asarray(picture)


def _fit(
    image: NDArray[np.uint8],
    amap: NDArray[np.float32],
    masks: Sequence[NDArray[np.bool_] | None],
    side: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[NDArray[np.bool_] | None]]:
    """All of one part with the longer side at most ``side``; tiny images become larger."""
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest > side:
        size = (max(width * side // longest, 1), max(height * side // longest, 1))
        small = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
        # The largest value of each block: a small defect stays visible.
        reduced = [None if mask is None else block_max(mask, size) for mask in masks]
        return np.array(small), block_max(amap, size), reduced
    factor = side // longest
    if factor < 2:
        return image, amap, list(masks)
    size = (width * factor, height * factor)
    smooth = Image.fromarray(np.asarray(amap, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return (
        _repeated(image, factor),
        np.asarray(smooth),
        [None if mask is None else _repeated(mask, factor) for mask in masks],
    )


def _repeated(array: NDArray, factor: int) -> NDArray:
    return array.repeat(factor, 0).repeat(factor, 1)


def _data_uri(pixels: NDArray[np.uint8], most_bytes: int) -> str:
    picture = Image.fromarray(pixels)
    for quality in _QUALITIES:
        file = io.BytesIO()
        # Full colour resolution: thin outlines would turn grey without it. Not "optimize", with
        # which Pillow fails on pictures that hardly compress.
        picture.save(file, "JPEG", quality=quality, subsampling=0)
        if file.tell() <= most_bytes:
            break
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def colour_bar() -> str:
    """The colour scale from 0 % to 100 % as a data URI.

    Example:
        >>> from blemish.report.pictures import colour_bar
        >>> colour_bar()[:22]
        'data:image/png;base64,'
    """
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(8, 0)  # (8, 256)
    grey = np.full((8, 256, 3), 150, np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(blend_heat(grey, ramp, scale=(0.0, 1.0), opacity=0.62))
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
