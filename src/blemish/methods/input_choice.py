"""Input choice: the size at which a network sees pictures, squeezed whole or cut into tiles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blemish.data.images.look_units import LookUnits
from blemish.data.images.preprocess import (
    LARGEST_SIDE,
    MULTIPLE,
    Preprocessing,
    choose_input_size,
)
from blemish.data.images.tiles import Tiling, default_overlap
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.methods.settings import MethodConfig
    from blemish.methods.speeds import Speed

Size = tuple[int, int]
#: Pixels of pictures, in those of a close look, below which it is not worth it.
_WORTH = 0.8


@dataclass(frozen=True)
class InputChoice:
    """What a user asked of the network's input.

    Attributes:
        image_size: ``(H, W)`` that whole pictures are scaled to; ``None``: by speed and pictures.
        tile: ``(H, W)`` of the tiles that pictures are cut into; ``auto``: at most of the speed's
            side, as few as will do and no larger than they need be, where pictures are larger;
            ``None``: pictures are not cut.
        overlap: Pixels that neighbouring tiles share at least; ``None``: an eighth of a tile.
        scale: Size at which pictures are cut, relative to their own; ``None``: 1.
        coarse: Whether the whole picture, scaled to a tile, is an input too. Tiles that are
            ``auto`` then have the pictures' shape, and are no smaller than the whole by itself.
            Without tiles: whether the input is shrunk for a look at the whole and, larger by
            default, is looked at closely besides; the trio can.

    Raises:
        ConfigError: Sizes that cannot be, both kinds of them, or what only tiles have without any.

    Example:
        >>> from blemish.methods.input_choice import InputChoice
        >>> from blemish.methods.settings import MethodConfig
        >>> from blemish.methods.speeds import SPEEDS
        >>> choice = InputChoice(tile="auto")
        >>> choice.preprocessing(SPEEDS["balanced"], MethodConfig(), [(800, 800)]).tiling
        Tiling(overlap=40, scale=1.0, coarse=None)
    """

    image_size: Size | None = None
    tile: Size | Literal["auto"] | None = None
    overlap: int | None = None
    scale: float | None = None
    coarse: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None:
            Preprocessing(*self.image_size)
        if self.tile is None:
            given = {"overlap": self.overlap, "scale": self.scale}
            for name, value in given.items():
                if value is not None:
                    raise ConfigError(
                        f"{name}={value} says how pictures are cut into tiles, and none were asked "
                        "for. Give a tile's side too, such as 256, or auto."
                    )
            return
        if self.image_size is not None:
            raise ConfigError(
                f"An input size {_text(self.image_size)} and tiles "
                f"{self.tile if self.tile == 'auto' else _text(self.tile)} were asked for; a tile "
                "is the input. Give one of the two."
            )
        if self.tile == "auto":
            self._tiling((MULTIPLE, MULTIPLE))  # the scale; the overlap, once the tile is known
        else:
            Preprocessing(*self.tile, tiling=self._tiling(self.tile))

    @classmethod
    def of(
        cls,
        image_size: int | Size | None = None,
        tile: int | Size | str | None = None,
        overlap: int | None = None,
        scale: float | None = None,
        coarse: bool = False,
    ) -> InputChoice:
        """From values as a user gives them: a side stands for a square."""
        size = tile if tile == "auto" else _size(tile, "tile")
        return cls(_size(image_size, "image_size"), size, overlap, scale, coarse)  # type: ignore[arg-type]

    @property
    def named(self) -> Size | None:
        """The input's size where it was named."""
        return self.image_size if self.tile in (None, "auto") else self.tile  # type: ignore[return-value]

    def looks(self, config: MethodConfig, speed: Speed) -> MethodConfig:
        """A method's settings with a second look where one was asked for.

        Raises:
            ConfigError: The method has none, or the input's size leaves nothing to shrink.
        """
        if not self.coarse or self.tile is not None:
            return config
        config = config.looking_twice(speed.side)
        if self.image_size is not None and len(config.passes("", self.image_size)) < 2:
            raise ConfigError(
                f"coarse=True shrinks the input for a look at the whole, and one of "
                f"{_text(self.image_size)} is no larger than that. Give a larger size, or none."
            )
        return config

    def preprocessing(
        self, speed: Speed, config: MethodConfig, sizes: Sequence[Size], bit_depth: int = 16
    ) -> Preprocessing:
        """How pictures of ``sizes`` ``(H, W)`` become the input."""
        if self.tile is None:
            size = self.image_size or speed.input_size(config, sizes)
            return Preprocessing(*size, bit_depth=bit_depth)
        tile = self.tile
        if tile == "auto":
            longest = max(map(max, sizes))
            if self.scale is None and longest <= speed.side:
                return Preprocessing(*speed.input_size(config, sizes), bit_depth=bit_depth)
            fit = self._around if self.coarse else self._fitting
            tile = fit(speed.side, sizes)
        return Preprocessing(*tile, bit_depth=bit_depth, tiling=self._tiling(tile))

    def notes(self, preprocessing: Preprocessing, sizes: Sequence[Size]) -> list[str]:
        """What the user should know of tiles that fit the pictures badly."""
        if self.tile is None:
            seen = math.prod(preprocessing.size)
            if not self.coarse or math.prod(usual_size(sizes)) >= _WORTH * seen:
                return []
            return [
                f"The close look sees pictures of {_text(usual_size(sizes))} at "
                f"{_text(preprocessing.size)} and finds no more in them: coarse is for larger ones."
            ]
        if preprocessing.tiling is None:
            return [
                f"No picture is larger than {_text(max(sizes))}, less than a tile: they are seen "
                f"whole, at {_text(preprocessing.size)}."
            ]
        scaled = [preprocessing.tiling.scaled(size) for size in sizes]
        small = [
            size
            for size, (height, width) in zip(sizes, scaled, strict=True)
            if height < preprocessing.height or width < preprocessing.width
        ]
        if not small:
            return []
        return [
            f"{len(small)} of {len(sizes)} pictures, of {_text(small[0])} for one, are smaller "
            f"than a tile of {_text(preprocessing.size)}: around them there is a field of grey, "
            "which takes as long as what they show. Choose a smaller --tile."
        ]

    def _fitting(self, most: int, sizes: Sequence[Size]) -> Size:
        """Tiles of sides up to ``most`` that are no larger than pictures of the usual size need."""
        overlap = default_overlap((most, most)) if self.overlap is None else self.overlap
        Tiling(overlap).check((most, most))
        scaled = self._tiling((most, most)).scaled(usual_size(sizes))
        counts = [max(1, math.ceil((side - overlap) / (most - overlap))) for side in scaled]
        height, width = (
            min(most, math.ceil((side + (n - 1) * overlap) / n / MULTIPLE) * MULTIPLE)
            for side, n in zip(scaled, counts, strict=True)
        )
        return height, width

    def _around(self, side: int, sizes: Sequence[Size]) -> Size:
        """Tiles of the pictures' shape about as large as the whole is seen by itself, or larger."""
        whole = choose_input_size(sizes, side=side)
        overlap = default_overlap(whole) if self.overlap is None else self.overlap
        Tiling(overlap).check(whole)
        height, width = (
            min(
                LARGEST_SIDE,
                max(least, math.ceil((seen + (n - 1) * overlap) / n / MULTIPLE) * MULTIPLE),
            )
            for seen, least in zip(
                self._tiling(whole).scaled(usual_size(sizes)), whole, strict=True
            )
            for n in [max(1 + (seen > least), round(seen / least))]
        )
        return height, width

    def _tiling(self, tile: Size) -> Tiling:
        overlap = default_overlap(tile) if self.overlap is None else self.overlap
        scale = 1.0 if self.scale is None else self.scale
        return Tiling(overlap, scale, LookUnits() if self.coarse else None)


def usual_size(sizes: Sequence[Size]) -> Size:
    """``(H, W)`` of most pictures; the largest, where as many have another."""
    counts = Counter(sizes)
    return max(counts, key=lambda size: (counts[size], size))


def _size(value: int | Size | str | None, name: str) -> Size | None:
    if value is None:
        return None
    sides = (value, value) if isinstance(value, int) else value
    if isinstance(sides, str) or len(sides) != 2:
        auto = ", or auto" if name == "tile" else ""
        raise ConfigError(
            f"{name} is {value!r}; expected a side, such as 256, or two of them: (height, width)"
            f"{auto}."
        )
    return sides


def _text(size: Size) -> str:
    return f"{size[0]}×{size[1]}"
