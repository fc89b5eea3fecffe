"""Picture gallery: which parts a report shows, and their pictures, small and embedded."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.data.images.preprocess import to_rgb
from blemish.data.images.reading import read_image
from blemish.inspection.prediction import find_regions
from blemish.outputs.heat import blend_heat, dim_ignored, draw_outline, resize_together
from blemish.outputs.overlay import draw_look_box
from blemish.report.close_ups import MOST, close_ups
from blemish.report.data import Figure, Row, by_kind, read_truth
from blemish.results import Prediction

TRUTH_COLOUR = (0, 229, 255)  # in neither the heat colours nor most parts
# Of all pictures together; base64 makes four bytes of three, and the page needs some itself.
_BUDGET = 5 * 2**20
_MOST_PER_PICTURE = 40_000  # bytes; more would not be seen at these sizes
_MOST_FIGURES = 150
_QUALITIES = (86, 75, 60, 45, 30, 15)
# Of an image group without an alarm or a miss, so many are shown that came nearest to one.
_NEAREST = 3


@dataclass(frozen=True)
class PicturePlan:
    """How many pictures a report has room for, and how large.

    Attributes:
        per_group: Images of each group of each product.
        side: Longer side of a picture in pixels.
        most_bytes: Of one picture.
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
    # The close-ups of a part take no more than one picture.
    return PicturePlan(per_group, side, min(_MOST_PER_PICTURE, _BUDGET // (4 * figures)))


@dataclass(frozen=True)
class Chosen:
    """The images a report shows of one product.

    Attributes:
        alarms: Good images, the highest score first: false alarms and what came nearest to one.
        misses: Defective images, the lowest score first: misses and what came nearest to one.
        hits: Defects that were found, each kind's most typical first.
    """

    alarms: tuple[Row, ...] = ()
    misses: tuple[Row, ...] = ()
    hits: tuple[Row, ...] = ()

    @property
    def all(self) -> tuple[Row, ...]:
        """All of them."""
        return (*self.alarms, *self.misses, *self.hits)


def choose_images(rows: Sequence[Row], *, most: int) -> Chosen:
    """The images to show of one product, at most ``most`` per group."""
    good = sorted((r for r in rows if r.kind == "good"), key=lambda r: -r.score)
    bad = sorted((r for r in rows if r.kind != "good"), key=lambda r: r.score)
    alarms = _worst(good, [r for r in good if r.verdict in ("unsure", "defect")], most)
    misses = _worst(bad, [r for r in bad if r.verdict in ("unsure", "ok")], most)
    # Without verdicts, whatever is not among the lowest scores counts as found.
    found = [r for r in bad if r.verdict in ("defect", None) and r not in misses]
    return Chosen(tuple(alarms), tuple(misses), tuple(_typical(found, most)))


def _worst(ordered: list[Row], wrong: list[Row], most: int) -> list[Row]:
    shown = ordered if ordered and ordered[0].verdict is None else wrong
    if len(shown) < _NEAREST:
        shown = ordered[:_NEAREST]
    return shown[:most]


def _typical(found: list[Row], most: int) -> list[Row]:
    """From each kind in turn the row nearest to the kind's median score, then the next."""
    queues = []
    for rows in by_kind(found).values():
        middle = float(np.median([row.score for row in rows]))
        queues.append(sorted(rows, key=lambda row: abs(row.score - middle)))
    queues.sort(key=len, reverse=True)
    chosen: list[Row] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return chosen[:most]


def display_scale(rows: Sequence[Row]) -> tuple[float, float]:
    """Map values at the ends of the colours for a model without limits, from the good images.

    The same rule as ``Limits.map_scale``, taken from the test images for want of better: good for
    the eye, not for a verdict.
    """
    good = [row for row in rows if row.kind == "good"] or list(rows)
    if not good:
        return 0.0, 1.0
    low = float(np.median([row.background for row in good]))
    high = low + 2.0 * (max(row.peak for row in good) - low)
    return low, high if high > low and math.isfinite(high) else low + 1.0


def draw_figure(
    row: Row,
    prediction: Prediction,
    *,
    scale: tuple[float, float],
    plan: PicturePlan,
    bit_depth: int = 16,
) -> Figure:
    """Draw one part; ``scale`` holds the map values at the ends of the colours."""
    sample = row.sample
    if sample.image is not None:
        image = to_rgb(sample.image, bit_depth=bit_depth)
    else:
        image = read_image(sample.path, bit_depth=bit_depth)  # (H, W, 3)
    masks = [prediction.mask, read_truth(sample, (image.shape[0], image.shape[1])), prediction.roi]
    near = close_ups(image, prediction.anomaly_map, *masks[:2], side=plan.side)
    image, amap, (marked, truth, roi) = _fit(image, prediction.anomaly_map, masks, plan.side)
    overlay = blend_heat(image, amap, scale=scale, opacity=0.62)  # (h, w, 3)
    line = 2 if max(image.shape) >= 256 else 1
    if roi is not None:
        dim_ignored(overlay, image, roi)
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
        close_ups=tuple(
            (_data_uri(one.pixels, plan.most_bytes // MOST), one.pixels.shape[1::-1], one.label)
            for one in near
        ),
    )


def small_picture(
    path: Path, *, bit_depth: int = 16, side: int = 224
) -> tuple[str, tuple[int, int]]:
    """An image file, small, as a data URI, and its ``(width, height)``.

    Raises:
        ImageError: It cannot be read.
    """
    image = read_image(path, bit_depth=bit_depth)  # (H, W, 3)
    image, _, _ = _fit(image, np.zeros(image.shape[:2], np.float32), [], side)
    return _data_uri(image, _MOST_PER_PICTURE), (image.shape[1], image.shape[0])


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
    else:
        size = (width * (side // longest), height * (side // longest))
    if size == (width, height):
        return image, amap, list(masks)
    return resize_together(image, amap, masks, size, Image.Resampling.LANCZOS)


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
    """The colour scale from 0 % to 100 % as a data URI."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(8, 0)  # (8, 256)
    grey = np.full((8, 256, 3), 150, np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(blend_heat(grey, ramp, scale=(0.0, 1.0), opacity=0.62))
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
