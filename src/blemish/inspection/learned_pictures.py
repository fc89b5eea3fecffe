"""Learned pictures: what size and colour the good ones had, to say of a new one that it is unlike.

A network judges a picture of another scale, shape or order of channels without complaint; its score
then means something else. So it is said, beside the verdict and never in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.appearance import appearance
from blemish.data.images.reading import read_header, read_image
from blemish.data.sample import Sample, spread
from blemish.errors import DataError, ImageError
from blemish.results import Note

#: Pictures that are read for a product's look: those of one product hardly differ.
_READ = 8
#: And of all products together, so that a training of many products does not wait for it.
_READ_IN_ALL = 64
#: Sides that differ by more than this factor from what was learned are worth a note, and shapes.
_FAR, _OBLIQUE = 1.8, 1.25
#: Red and blue must differ by as much, in grey values, for their exchange to be seen.
_COLOURED = 10.0


@dataclass(frozen=True)
class LearnedPictures:
    """What the good training pictures had in common.

    Attributes:
        sides: Smallest and largest side of a square of as many pixels.
        shapes: Smallest and largest height per width.
        colours: Mean red, green and blue of each product, where some could be read.
        deep: Whether there are pictures of 16 bits; ``None`` where they are in no file.
        looks: Mean brightness, sharpness and colour of each product, as of
            :func:`~blemish.data.images.appearance.appearance`.

    Example:
        >>> from blemish.inspection.learned_pictures import LearnedPictures
        >>> learned = LearnedPictures((1024, 1024), (1, 1))
        >>> [note.kind for note in learned.notes((512, 256), None, None)]
        ['size', 'shape']
    """

    sides: tuple[float, float]
    shapes: tuple[float, float]
    colours: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    deep: bool | None = None
    looks: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, samples: Sequence[Sample], sizes: Iterable[tuple[int, int]], *, bit_depth: int
    ) -> LearnedPictures:
        """Of good samples and the sizes ``(H, W)`` of all; a few pictures are read."""
        sides, shapes = zip(*((math.sqrt(h * w), h / w) for h, w in sizes), strict=True)
        products = list(dict.fromkeys(sample.product for sample in samples))
        each = max(1, min(_READ, _READ_IN_ALL // len(products)))
        colours, looks = {}, {}
        deep: list[bool] = []
        for product in products:
            own = [sample for sample in samples if sample.product == product]
            chosen = spread(own, each)
            deep += [_is_deep(sample) for sample in chosen if sample.image is None]
            seen = [_look(sample, bit_depth) for sample in chosen]
            readable = [look for look in seen if look is not None]
            if readable:
                red, green, blue, *look = np.mean(readable, axis=0).tolist()
                colours[product] = (round(red, 1), round(green, 1), round(blue, 1))
                brightness, sharpness, colour = (round(value, 4) for value in look)
                looks[product] = (brightness, sharpness, colour)
        ends = (min(sides), max(sides)), (min(shapes), max(shapes))
        return cls(*ends, colours, any(deep) if deep else None, looks)

    def joined(self, more: LearnedPictures) -> LearnedPictures:
        """What these and more pictures have in common; of a known product the look stays."""
        both = zip((self.sides, self.shapes), (more.sides, more.shapes), strict=True)
        sides, shapes = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in both)
        known = [deep for deep in (self.deep, more.deep) if deep is not None]
        colours = {**more.colours, **self.colours}
        looks = {**more.looks, **self.looks}
        return LearnedPictures(sides, shapes, colours, any(known) if known else None, looks)

    def notes(
        self, size: tuple[int, int], pixels: NDArray[np.uint8] | None, product: str | None
    ) -> tuple[Note, ...]:
        """How a picture is unlike those that were learned, most telling first.

        Args:
            size: Its ``(H, W)``.
            pixels: Its pixels ``(H, W, 3)`` where a program gave them: a file says itself in which
                order its channels are.
            product: The product it shows, where somebody says so: what a model takes it for may
                be wrong by its very colours.
        """
        found = []
        if pixels is not None and self._swapped(pixels, product):
            found.append(
                Note(
                    "channels",
                    "Its colours are those of the good pictures with red and blue exchanged: it "
                    'looks like BGR, as OpenCV reads. Say inspect(image, channels="bgr"), or give '
                    "image[..., ::-1].",
                )
            )
        side, shape = math.sqrt(size[0] * size[1]), size[0] / size[1]
        if not self.sides[0] / _FAR <= side <= self.sides[1] * _FAR:
            far = "smaller" if side < self.sides[0] else "larger"
            found.append(
                Note(
                    "size",
                    f"It is far {far} than the good pictures: {size[0]}×{size[1]} pixels (H×W), "
                    f"and they were like {_span(self.sides)} square. If it does not show the same "
                    "field of view, the limits do not hold for it.",
                )
            )
        if not self.shapes[0] / _OBLIQUE <= shape <= self.shapes[1] * _OBLIQUE:
            found.append(
                Note(
                    "shape",
                    f"It has another aspect than the good pictures: {size[0]}×{size[1]} pixels "
                    f"(H×W) are {_plain(shape)} high per width, and theirs was "
                    f"{_span(self.shapes)}. Its parts look smaller or larger to the model.",
                )
            )
        return tuple(found)

    def _swapped(self, pixels: NDArray[np.uint8], product: str | None) -> bool:
        """Whether the colours are those of a product, the one named or any, the other way round."""
        named = self.colours.get(product or "")
        known = list(self.colours.values()) if named is None else [named]
        if not known:
            return False
        mean = pixels.reshape(-1, 3).mean(axis=0)
        as_it_is = min(float(np.abs(mean - colour).sum()) for colour in known)
        turned = min(known, key=lambda colour: float(np.abs(mean[::-1] - colour).sum()))
        red, blue = turned[0], turned[2]
        if abs(red - blue) < _COLOURED:
            return False
        opposed = (mean[0] - mean[2]) / (red - blue)
        return bool(opposed < -0.5 and np.abs(mean[::-1] - turned).sum() < as_it_is / 2)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> LearnedPictures | None:
        """The inverse of :meth:`to_json`; ``None`` from files that do not say it."""
        try:
            sides, shapes, colours = (dict(content)[n] for n in ("sides", "shapes", "colours"))  # type: ignore[call-overload]
            deep = content.get("deep")  # type: ignore[attr-defined]
            looks = dict(content.get("looks") or {})  # type: ignore[attr-defined]
            return cls(tuple(sides), tuple(shapes), dict(colours), deep, looks)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


def _is_deep(sample: Sample) -> bool:
    try:
        return read_header(sample.path).mode.startswith(("I", "F"))
    except ImageError:  # said elsewhere, when it was to train
        return False


def _look(sample: Sample, bit_depth: int) -> tuple[float, ...] | None:
    """Mean red, green and blue, and the appearance."""
    try:
        pixels = (
            read_image(sample.path, bit_depth=bit_depth) if sample.image is None else (sample.image)
        )
    except (ImageError, DataError):  # said elsewhere, when it was to train
        return None
    return None if pixels.ndim == 2 else (*pixels.reshape(-1, 3).mean(axis=0), *appearance(pixels))


def _span(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.3g}" if end < 100 else f"{end:.0f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _plain(value: float) -> str:
    """Three digits, and no exponent for a picture of one pixel's width."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
