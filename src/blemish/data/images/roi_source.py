"""Region files: what is looked at or ignored, from a mask picture, LabelMe's shapes, or our JSON.

Ours holds width and height of the pictures and two lists of shapes, of which either may be
missing::

    {"width": 1250, "height": 500,
     "look": [{"rectangle": [40, 30, 1210, 470]}],
     "ignore": [{"polygon": [[600, 200], [660, 200], [630, 260]]}]}

A rectangle is left, top, right, bottom, as in predictions, the last two exclusive.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.data.images.open_file import MAX_PIXELS
from blemish.data.images.polygons import fill_shape
from blemish.data.images.reading import read_mask
from blemish.data.images.roi import RegionOfInterest
from blemish.errors import ConfigError, DataError, ImageError

#: A region: its file, or a mask ``(H, W)`` of what is not zero.
Area: TypeAlias = "str | Path | NDArray[Any]"
#: One for all products, or for each its own; the name ``""`` stands for all others.
Areas: TypeAlias = "Area | Mapping[str, Area] | None"

#: All that a region may be given as; areas alone are what is looked at.
RoiSource: TypeAlias = "RegionOfInterest | Areas"

_OURS = frozenset({"width", "height", "look", "ignore"})
#: Share of a mask's pixels that have one of two values; a photograph has far fewer.
_TWO_VALUES = 0.9


class _Marked(NamedTuple):
    """What a file marks ``(H, W)``, as looked at and as ignored; ``None``: it says nothing."""

    look: NDArray[np.bool_] | None
    ignore: NDArray[np.bool_] | None


def region_of_interest(look: Areas = None, ignore: Areas = None) -> RegionOfInterest:
    """The region of interest that files or masks describe.

    Args:
        look: What is looked at: a mask picture (what is not black), LabelMe's JSON (the shapes
            labelled ``ignore`` are ignored), a file as above, or a mask ``(H, W)``; by product
            where they differ.
        ignore: What is ignored, of the same kinds; all of LabelMe's shapes are.

    Raises:
        ImageError: A file cannot be read.
        DataError: A file that is none of these, an area without pixels, two of different size, or
            nothing that is left to look at.
        ConfigError: Neither is given.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.roi_source import region_of_interest
        >>> dirt = np.zeros((40, 60), bool)
        >>> dirt[:, 45:] = True
        >>> region_of_interest(ignore=dirt).share("")
        0.75
    """
    looked, ignored = _by_product(look), _by_product(ignore)
    names = dict.fromkeys([*looked, *ignored])
    if not names:
        raise ConfigError("No region of interest was given: name what is looked at, or ignored.")
    masks = {}
    for name in names:
        parts: list[tuple[str, NDArray[np.bool_], bool]] = []
        if (area := looked.get(name, looked.get(""))) is not None:
            marked = _read(area)
            parts += [(_said(area), part, keep) for part, keep in _parts(marked)]
        if (area := ignored.get(name, ignored.get(""))) is not None:
            parts.append((_said(area), _ignored(area), False))
        masks[name] = _joined(parts)
    return RegionOfInterest.of(masks)


def as_region(roi: RoiSource) -> RegionOfInterest | None:
    """The region of interest of what was given for one; ``None`` where nothing was."""
    if roi is None or isinstance(roi, RegionOfInterest):
        return roi
    return region_of_interest(roi)


def areas_by_product(options: Sequence[str] | None, option: str) -> dict[str, Area] | None:
    """Files by product, of ``[PRODUCT=]FILE`` each; ``option`` is used in messages.

    Raises:
        ConfigError: Two for one product.

    Example:
        >>> from blemish.data.images.roi_source import areas_by_product
        >>> areas_by_product(["frame.png", "nut=nut.json"], "--roi")
        {'': 'frame.png', 'nut': 'nut.json'}
    """
    areas: dict[str, Area] = {}
    for text in options or ():
        product, named, file = text.partition("=")
        if not named or Path(text).exists():
            product, file = "", text
        if product in areas:
            raise ConfigError(
                f"{option} names two files, {areas[product]} and {file}, for "
                f"{product or 'all products'}. Expected one: PRODUCT=FILE says which it is of."
            )
        areas[product] = file
    return areas or None


def _by_product(areas: Areas) -> Mapping[str, Area]:
    if areas is None:
        return {}
    return areas if isinstance(areas, Mapping) else {"": areas}


def _parts(marked: _Marked) -> list[tuple[NDArray[np.bool_], bool]]:
    both = ((marked.look, True), (marked.ignore, False))
    return [(part, keep) for part, keep in both if part is not None]


def _joined(parts: list[tuple[str, NDArray[np.bool_], bool]]) -> NDArray[np.bool_]:
    said, first, _ = parts[0]
    mask = np.ones(first.shape, bool)
    for other, part, keep in parts:
        if part.shape != first.shape:
            raise DataError(
                f"{other} is for pictures of {part.shape[0]}×{part.shape[1]} pixels (H×W), {said} "
                f"for {first.shape[0]}×{first.shape[1]}. Expected both for pictures of one size."
            )
        if not part.any():
            raise DataError(
                f"{other} is an empty region: it marks no pixel that is "
                f"{'looked at' if keep else 'ignored'}. Draw an area in it, or leave it out."
            )
        mask &= part if keep else ~part
    if not mask.any():
        raise DataError(
            f"{' and '.join(dict.fromkeys(name for name, _, _ in parts))}: every pixel is ignored, "
            "so that nothing is left to look at. Ignore less."
        )
    return mask


def _said(area: Area) -> str:
    return "The mask" if isinstance(area, np.ndarray) else str(area)


def _ignored(area: Area) -> NDArray[np.bool_]:
    """What a file marks, all of it as ignored."""
    if isinstance(area, np.ndarray):
        return _of_array(area)
    content = _content(Path(area))
    if content is None:
        return _of_picture(Path(area))
    if "shapes" not in content:
        raise DataError(
            f"{area} says itself what is looked at and what is ignored. Give it as the region of "
            "interest (--roi)."
        )
    marked = _labelme(Path(area), content)
    mask: NDArray[np.bool_] = np.any(_masks(marked), axis=0)
    return mask


def _masks(marked: _Marked) -> list[NDArray[np.bool_]]:
    return [part for part in marked if part is not None]


def _read(area: Area) -> _Marked:
    if isinstance(area, np.ndarray):
        return _Marked(_of_array(area), None)
    path = Path(area)
    content = _content(path)
    if content is None:
        return _Marked(_of_picture(path), None)
    return _labelme(path, content) if "shapes" in content else _ours(path, content)


def _of_array(area: NDArray[Any]) -> NDArray[np.bool_]:
    if area.ndim != 2 or not area.size:
        raise DataError(
            f"A region of interest of shape {area.shape} was given; expected a mask (H, W)."
        )
    return np.asarray(area != 0)


def _of_picture(path: Path) -> NDArray[np.bool_]:
    values = read_mask(path)
    counts = np.sort(np.bincount(values.ravel()))
    if counts[-2:].sum() < _TWO_VALUES * values.size:
        raise DataError(
            f"{path} is no mask: it has {np.count_nonzero(counts)} shades. Expected a picture in "
            "black and white, white what is marked."
        )
    return np.asarray(values > 0)


def _content(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds; ``None`` for a picture."""
    if path.suffix.lower() != ".json":
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ImageError(f"Cannot read {path}: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON file ({error}).") from error
    labelme = isinstance(content, dict) and isinstance(content.get("shapes"), list)
    ours = isinstance(content, dict) and {"width", "height"} <= content.keys() <= _OURS
    if not (labelme or ours):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else "no table"
        raise DataError(
            f"{path} describes no region of interest: found {found or 'nothing'}. Expected width, "
            "height and look or ignore, or LabelMe's shapes."
        )
    return dict(content)


def _ours(path: Path, content: dict[str, Any]) -> _Marked:
    size = _size(path, content["height"], content["width"])
    if not {"look", "ignore"} & content.keys():
        raise DataError(f"{path} has neither look nor ignore. Expected a list of shapes in one.")
    marked: list[NDArray[np.bool_] | None] = []
    for name in ("look", "ignore"):
        shapes = content.get(name)
        if shapes is None:
            marked.append(None)
            continue
        try:
            marked.append(_drawn([_shape(shape) for shape in shapes], size))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path}: {name} cannot be read ({error}). Expected a list of "
                '{"rectangle": [left, top, right, bottom]} and {"polygon": [[x, y], …]}, in pixels.'
            ) from error
    return _Marked(*marked)


def _labelme(path: Path, content: dict[str, Any]) -> _Marked:
    try:
        size = _size(path, content["imageHeight"], content["imageWidth"])
        sides: tuple[list[Any], list[Any]] = ([], [])
        for shape in content["shapes"]:
            sides[str(shape["label"]).strip().lower() == "ignore"].append(shape)
        look, ignore = (_drawn(shapes, size) for shapes in sides)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise DataError(
            f"Cannot read the shapes in {path}: {error!r} is missing or of another type. Export "
            "the file again."
        ) from error
    # Where some of the picture is drawn as ignored and nothing else, the rest is looked at.
    both = bool(sides[0]), bool(sides[1])
    return _Marked(look if both[0] or not both[1] else None, ignore if both[1] else None)


def _size(path: Path, height: Any, width: Any) -> tuple[int, int]:
    whole = all(type(value) is int and value > 0 for value in (height, width))
    if not whole or height * width > MAX_PIXELS:
        raise DataError(
            f"{path} is for pictures of {height}×{width} pixels (H×W); expected whole numbers "
            f"above 0, and at most {MAX_PIXELS:,} pixels."
        )
    return height, width


def _shape(shape: Any) -> dict[str, Any]:
    """One of our shapes, checked, as LabelMe has it."""
    if not isinstance(shape, dict) or len(shape) != 1:
        raise ValueError(f"found {shape!r}")
    [(kind, values)] = shape.items()
    points = np.asarray(values, float)
    if not all(map(math.isfinite, points.flat)):
        raise ValueError(f"found {shape!r}")
    if kind == "rectangle" and points.shape == (4,):
        left, top, right, bottom = points.round()
        if left >= right or top >= bottom:
            raise ValueError(f"the rectangle {values} has no inside")
        corners = [[left, top], [right - 1, bottom - 1]]
        return {"shape_type": "rectangle", "points": corners}
    if kind == "polygon" and points.ndim == 2 and points.shape[1] == 2 and len(points) > 2:
        return {"shape_type": "polygon", "points": points.tolist()}
    raise ValueError(f"found {shape!r}")


def _drawn(shapes: list[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    canvas = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    for shape in shapes:
        fill_shape(draw, shape)
    return np.array(canvas) > 0
