"""Polygons as masks: LabelMe's file per image, and COCO's file for many.

A mask is named by the LabelMe file, ``1.json``, or by the COCO file with the image's number behind
it, ``annotations.json#17``, and read where masks are read. A label that says good (``ok``,
``normal``) marks nothing. Polygons, rectangles, circles and COCO's run lengths are filled; lines
and points are drawn one pixel wide; an annotation with a box alone marks the box.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.errors import ImageError

_MARK = 255
_NOTHING = frozenset({"good", "ok", "normal", "background", "_background_"})


@dataclass(frozen=True)
class Polygons:
    """What an annotation file says of one image.

    Attributes:
        size: ``(H, W)`` of the image.
        shapes: Label and the shape as the file has it.
        file_name: The image's name, with folders where the file has them.
    """

    size: tuple[int, int]
    shapes: tuple[tuple[str, Any], ...]
    file_name: str = field(default="")


def is_polygons(path: Path) -> bool:
    """Whether a mask's name is that of polygons."""
    return path.suffix.lower() == ".json" or ".json#" in path.name.lower()


def read_polygons(path: Path) -> dict[str, Polygons] | None:
    """What a JSON file says of images, by the names of their masks; ``None`` for another file.

    Raises:
        ImageError: It is such a file and damaged.
    """
    try:
        status = path.stat()
        return _parsed(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ImageError(f"Cannot read {path}: {error}.") from error


def polygon_mask(path: Path) -> NDArray[np.uint8]:
    """The mask ``(H, W)`` of a name that :func:`read_polygons` gave: 0, or 255 where marked.

    Raises:
        ImageError: The file is missing, damaged or says nothing of the image.
    """
    found = _of(path)
    height, width = found.size
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    runs = np.zeros((height, width), bool)
    try:
        for _, shape in found.shapes:
            if isinstance(shape, dict) and "counts" in shape:
                runs |= _run_lengths(shape, found.size)
            else:
                fill_shape(draw, shape)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ImageError(f"Cannot read the polygons {path}: {error}. Export them again.") from error
    values = np.array(canvas)
    values[runs] = _MARK
    return values


def polygon_kind(path: Path) -> str:
    """The label of the first shape of a mask's polygons; empty where there is none."""
    return next((label for label, _ in _of(path).shapes), "")


def _of(path: Path) -> Polygons:
    file, _, _ = str(path).partition("#") if ".json#" in path.name.lower() else (str(path), "", "")
    found = (read_polygons(Path(file)) or {}).get(path.name)
    if found is None:
        raise ImageError(
            f"Cannot read {path} as a mask: it holds no polygons of that image. Expected LabelMe's "
            "shapes, or COCO's images and annotations."
        )
    return found


@lru_cache(maxsize=8)
def _parsed(path: Path, changed: int, length: int) -> dict[str, Polygons] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None  # any program may write JSON beside pictures
    if not isinstance(content, dict):
        return None
    try:
        if isinstance(content.get("shapes"), list) and "imageHeight" in content:
            return {path.name: _labelme(content)}
        if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
            return dict(_coco(content, path.name))
    except (TypeError, ValueError, KeyError) as error:
        raise ImageError(
            f"Cannot read the polygons in {path}: {error!r} is missing or of another type. Export "
            "the file again."
        ) from error
    return None


def _labelme(content: dict[str, Any]) -> Polygons:
    shapes = tuple((str(shape["label"]), shape) for shape in content["shapes"])
    size = (int(content["imageHeight"]), int(content["imageWidth"]))
    return Polygons(size, _defects(shapes), str(content.get("imagePath", "")).replace("\\", "/"))


def _coco(content: dict[str, Any], name: str) -> Iterator[tuple[str, Polygons]]:
    kinds = {item["id"]: str(item["name"]) for item in content.get("categories", ())}
    of_image: dict[Any, list[tuple[str, Any]]] = defaultdict(list)
    for one in content["annotations"]:
        label = kinds.get(one.get("category_id"), "defect")
        segments = one.get("segmentation") or [_box(one["bbox"])]
        for segment in [segments] if isinstance(segments, dict) else segments:
            of_image[one["image_id"]].append((label, segment))
    for image in content["images"]:
        size = (int(image["height"]), int(image["width"]))
        shapes = _defects(tuple(of_image[image["id"]]))
        file_name = str(image["file_name"]).replace("\\", "/")
        yield f"{name}#{image['id']}", Polygons(size, shapes, file_name)


def _defects(shapes: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    return tuple(shape for shape in shapes if shape[0].strip().lower() not in _NOTHING)


def _box(box: Sequence[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def fill_shape(draw: ImageDraw.ImageDraw, shape: Any) -> None:
    """Draw one shape: COCO's flat list of numbers, or LabelMe's points with the type of shape."""
    if not isinstance(shape, dict):
        draw.polygon([float(value) for value in shape], fill=_MARK, outline=_MARK)
        return
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type") or "polygon"
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        corners = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
        draw.rectangle(corners, fill=_MARK)
    elif kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = ((x - edge_x) ** 2 + (y - edge_y) ** 2) ** 0.5
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_MARK)
    elif kind in ("line", "linestrip"):
        draw.line(points, fill=_MARK)
    elif kind == "point":
        draw.point(points, fill=_MARK)
    elif kind == "polygon":
        draw.polygon(points, fill=_MARK, outline=_MARK)
    else:
        raise ValueError(f"the type of shape {kind!r} is not known")


def _run_lengths(shape: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """COCO's run lengths, down the columns, unmarked first; as numbers or packed in text."""
    counts = shape["counts"]
    runs = _unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
    height, width = size
    if sum(runs) != height * width:
        raise ValueError(f"run lengths of {sum(runs)} pixels for {height}×{width}")
    marked = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return marked.reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """Numbers of five bits a character, from the third on as differences (COCO's own packing)."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
