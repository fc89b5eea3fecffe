"""Rendering: thumbnail, heat layer and overlay of a judged picture, and how its map is stored."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.alignment import to_source, whole_size
from blemish.data.images.open_file import open_header
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import ImageError
from blemish.outputs.heat import heat_colours, heat_opacity, heat_steps
from blemish.outputs.overlay import draw_overlay
from blemish.results import PartPose, Prediction

MapKind = Literal["heat", "grey", "overlay"]

_HEAT = 2048  # pixels of the longer side of a heat layer at most
_THUMBNAIL = 360  # pixels of the longer side: a tile of the page on a dense screen
_IGNORED = (0, 0, 0, 170)  # black that lets a third of the picture through
_HEADER = struct.Struct("<II")
_SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def pack_map(input_map: NDArray[np.float32]) -> bytes:
    """An anomaly map ``(H, W)`` float32, every bit of it, in fewer bytes.

    Example:
        >>> import numpy as np
        >>> from blemish.serving.drawing import pack_map, unpack_map
        >>> amap = np.random.default_rng(0).random((4, 6), dtype=np.float32)
        >>> bool((unpack_map(pack_map(amap)) == amap).all())
        True
    """
    amap = np.ascontiguousarray(input_map, "<f4")
    # Bytes of equal weight side by side: exponents of neighbours are alike, and compress.
    planes = amap.view(np.uint8).reshape(-1, 4).T
    return _HEADER.pack(*amap.shape) + zlib.compress(planes.tobytes(), 1)


def unpack_map(packed: bytes) -> NDArray[np.float32]:
    """The inverse of :func:`pack_map`: ``(H, W)`` float32."""
    height, width = _HEADER.unpack_from(packed)
    planes = np.frombuffer(zlib.decompress(packed[_HEADER.size :]), np.uint8).reshape(4, -1)
    amap = np.ascontiguousarray(planes.T).view("<f4").reshape(height, width)
    return np.asarray(amap, np.float32)


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """A small JPEG of ``(H, W, 3)`` uint8."""
    picture = Image.fromarray(image)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _encoded(picture, "JPEG", quality=82)


def heat_layer(
    input_map: NDArray[np.float32],
    source: tuple[int, int],
    *,
    preprocessing: Preprocessing,
    scale: tuple[float, float],
    product: str | None = None,
    pose: PartPose | None = None,
) -> bytes:
    """The colours of a map as a PNG to lay over the picture, clear where nothing is odd.

    At the resolution of the model, which is all there is to see, and of tiled pictures no larger
    than a screen, where a cell shows its highest value; whoever shows it stretches it over the
    picture.

    Args:
        input_map: ``(H, W)`` float32 at the size at which the model sees the picture.
        source: ``(H, W)`` of the source image.
        preprocessing: How it became the model's input.
        scale: Map values at 0 % and 100 % of the colours.
        product: Whose region of interest counts; what is ignored is dimmed.
        pose: How the part lay, where the model aligned the picture.
    """
    frame = source if pose is None or pose.box is None else pose.box[2:]
    top, left, height, width = preprocessing.placement(frame)
    seen = input_map[top : top + height, left : left + width]
    step = -(-max(seen.shape) // _HEAT)
    if step > 1:
        seen = np.maximum.reduceat(seen, np.arange(0, height, step), 0)
        seen = np.maximum.reduceat(seen, np.arange(0, width, step), 1)
    roi = preprocessing.roi
    size = (seen.shape[0], seen.shape[1])
    size = size if pose is None else whole_size(size, pose, source)
    looked_at = None if roi is None else roi.at(size, product or "")
    if pose is not None:
        seen, looked_at = to_source(np.ascontiguousarray(seen), looked_at, pose, source)
    return _heat_png(seen, scale, looked_at)


def map_png(
    kind: MapKind,
    image: NDArray[np.uint8],
    prediction: Prediction,
    scale: tuple[float, float],
) -> bytes:
    """A map as PNG, on request of a client.

    Args:
        kind: ``heat``: colours with opacity, at the source image's size. ``grey``: the map in 256
            steps of the scale, at the source image's size. ``overlay``: as ``blemish predict
            --heatmaps`` draws it, with outlines, boxes and a caption.
        image: ``(H, W, 3)`` uint8, the source image.
        prediction: What was found in it.
        scale: Map values at 0 % and 100 %.
    """
    if kind == "overlay":
        return _encoded(draw_overlay(image, prediction, scale=scale), "PNG", compress_level=3)
    if kind == "grey":
        steps = heat_steps(prediction.anomaly_map, scale)
        if prediction.roi is not None:
            steps[~prediction.roi] = 0
        return _encoded(Image.fromarray(steps), "PNG", compress_level=3)
    return _heat_png(prediction.anomaly_map, scale, prediction.roi)


def shown_as_it_is(content: bytes) -> tuple[bytes, str] | None:
    """An uploaded file with its type, if every browser shows it as the model saw it.

    That is a plain file of one picture in a browser's format, upright, without alpha or a colour
    profile. Others are to be drawn anew.
    """
    try:
        with io.BytesIO(content) as file:
            image = open_header(file, Path("picture"), 2**62)
            plain = (
                image.format in _SHOWN
                and image.mode in ("L", "RGB")
                and not {"transparency", "icc_profile", "exif"} & image.info.keys()
                and getattr(image, "n_frames", 1) == 1
            )
            return (content, _SHOWN[str(image.format)]) if plain else None
    except ImageError:
        return None


def drawn_anew(pixels: NDArray[np.uint8]) -> tuple[bytes, str]:
    """Pixels ``(H, W, 3)`` as the model saw them as a file for a browser, with its type."""
    return _encoded(Image.fromarray(pixels), "PNG", compress_level=1), "image/png"


def _heat_png(
    amap: NDArray[np.float32], scale: tuple[float, float], roi: NDArray[np.bool_] | None
) -> bytes:
    steps = heat_steps(amap, scale)  # (H, W)
    layer = np.empty((*steps.shape, 4), np.uint8)
    layer[..., :3] = heat_colours()[steps]
    layer[..., 3] = np.rint(255 * heat_opacity(1.0)).astype(np.uint8)[steps]
    if roi is not None:
        layer[~roi] = _IGNORED
    return _encoded(Image.fromarray(layer), "PNG", compress_level=3)


def _encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()
