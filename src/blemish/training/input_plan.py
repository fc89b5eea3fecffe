"""Input plan: what each way of seeing the pictures at hand makes of a small defect, and costs.

Said before any training, for the most usual size of the pictures: how large the network's input is,
how many of them a picture is, how large a defect is that has ten pixels in the picture, and what
the teacher takes for a picture on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blemish.data.images.preprocess import LARGEST_SIDE, MULTIPLE, Preprocessing
from blemish.methods.input_choice import InputChoice, Size, usual_size
from blemish.teachers.timing import time_teachers

if TYPE_CHECKING:
    from blemish.detector import Detector
    from blemish.methods.speeds import Speed

#: Pixels of the defect whose size is told.
DEFECT = 10
#: Larger inputs that are told of, as shares of the picture's own size.
_LARGER = (0.5, 1.0)
#: Pixels of an input beyond which one picture fills too much memory on the way.
_LARGEST = 1024**2


@dataclass(frozen=True)
class Seen:
    """One way of seeing pictures.

    Attributes:
        flags: What asks for it.
        preprocessing: How a picture becomes the input.
        passes: Teacher and ``(H, W)`` of each look that is taken at an input.
        source: ``(H, W)`` of the picture that all is told of.
        ms: Milliseconds of the teacher for a picture on this machine; ``None``: not timed.
        chosen: Whether nothing else would be asked for.
    """

    flags: str
    preprocessing: Preprocessing
    passes: list[tuple[str, Size]]
    source: Size
    ms: float | None = None
    chosen: bool = False

    @property
    def teacher(self) -> str:
        """Name of the teacher."""
        return self.passes[0][0]

    @property
    def inputs(self) -> int:
        """Number of inputs of the network that the picture is."""
        return len(self.preprocessing.inputs(self.source))

    @property
    def scale(self) -> float:
        """Size at which the picture is seen, relative to its own."""
        _, _, height, width = self.preprocessing.placement(self.source)
        return math.sqrt(height * width / (self.source[0] * self.source[1]))

    @property
    def pixels(self) -> int:
        """Pixels that the network sees of a picture, those of overlaps and two looks twice."""
        return self.inputs * sum(math.prod(size) for _, size in self.passes)

    def sentence(self) -> str:
        """What it means for a defect of ten pixels."""
        tall, wide = self.source
        height, width = self.preprocessing.size
        (_, whole), *closer = self.passes
        if self.preprocessing.tiling is not None:
            grid = self.preprocessing.inputs(self.source)
            tiles = f"{grid.tiles} tile(s) of {height}×{width}"
            tiles += ", and whole in one more" if grid.coarse else ""
            size = "their own size" if self.scale > 0.999 else f"{self.scale:.2g} of their size"
            how = f"at {size}, in {tiles}"
        else:
            how = f"at {height}×{width}"
        if closer:
            how += f", and once more at {_times(whole)}"
        return (
            f"Pictures of {tall}×{wide} are seen {how}: a defect of {DEFECT} pixels is "
            f"{DEFECT * self.scale:.3g} there."
        )


def seen_by(detector: Detector, sizes: Sequence[Size]) -> Seen:
    """How a detector that is not trained yet will see pictures of ``sizes`` ``(H, W)``."""
    point, teacher = detector.speed.point, _teacher(detector)
    return replace(_seen("", detector, detector.input, point, teacher, sizes), chosen=True)


def other_ways(detector: Detector, sizes: Sequence[Size]) -> list[Seen]:
    """The other speeds of its dial; larger inputs and tiles, where pictures are larger than it."""
    chosen, source = seen_by(detector, sizes), usual_size(sizes)

    def add(flags: str, choice: InputChoice, speed: Speed = detector.speed.point) -> None:
        own = speed.teacher if flags.startswith("--speed") else chosen.teacher
        way = _seen(flags, detector, choice, speed, own, sizes)
        if (way.passes, way.preprocessing) not in [(w.passes, w.preprocessing) for w in known]:
            known.append(way)

    known = [chosen]
    if detector.speed.name is not None:
        for name, speed in detector.config.speeds.items():
            add(f"--speed {name}", InputChoice(), speed)
    if chosen.preprocessing.tiling is None and chosen.scale >= 1:
        return known[1:]
    side = detector.speed.point.side
    for share in _LARGER:
        tall, wide = (MULTIPLE * max(1, round(share * one / MULTIPLE)) for one in source)
        if 1.5 * side**2 < tall * wide <= _LARGEST and max(tall, wide) <= LARGEST_SIDE:
            size = f"{tall}" if tall == wide else f"{tall}x{wide}"
            add(f"--size {size}", InputChoice((tall, wide)))
    if detector.config.can_look_twice and detector.speed.point.are_large([source]):
        add("--coarse", InputChoice(coarse=True))
    if max(source) > side:
        add("--tile auto", InputChoice(tile="auto"))
        both = InputChoice(tile="auto", coarse=True)
        add("--tile auto --coarse", both)
    if max(source) / 2 > side:
        half = InputChoice(tile="auto", scale=0.5)
        add("--tile auto --scale 0.5", half)
    return known[1:]


def timed(ways: Sequence[Seen], *, seconds: float = 3.0) -> tuple[list[Seen], int]:
    """The ways with their times, and of how many passes of each teacher that is the fastest.

    A teacher is timed on its smallest input; time grows with the pixels. Timed one by one, a busy
    machine would make the larger input the faster one now and then.
    """
    if any(way.teacher == "none" for way in ways):
        return list(ways), 0
    smallest: dict[str, Size] = {}
    for teacher, size in sorted(
        (p for way in ways for p in way.passes), key=lambda p: math.prod(p[1])
    ):
        smallest.setdefault(teacher, size)
    times, passes = time_teachers(list(smallest.items()), seconds=seconds)
    per_pixel = {
        teacher: ms / math.prod(size)
        for (teacher, size), ms in zip(smallest.items(), times, strict=True)
    }
    return [
        replace(
            way,
            ms=way.inputs * sum(per_pixel[name] * math.prod(size) for name, size in way.passes),
        )
        for way in ways
    ], passes


def line(chosen: Seen, others: Sequence[Seen]) -> str:
    """One line: what is chosen, and what larger inputs and tiles would cost of it."""
    told = chosen.sentence()
    larger = [way for way in others if not way.flags.startswith("--speed")]
    for way in larger:
        grid = way.preprocessing.inputs(way.source)
        tiles = f"{grid.tiles} tiles, " if way.preprocessing.tiling is not None else ""
        tiles = f"{grid.tiles} tiles and the whole, " if grid.coarse else tiles
        times = way.pixels / chosen.pixels
        told += f" `{way.flags}`: {DEFECT * way.scale:.3g}, {tiles}{times:.1f} × the time."
    return told


def _seen(
    flags: str,
    detector: Detector,
    choice: InputChoice,
    speed: Speed,
    teacher: str,
    sizes: Sequence[Size],
) -> Seen:
    config = choice.looks(detector.asked, speed).settled(sizes)
    preprocessing = choice.preprocessing(speed, config, sizes, detector.bit_depth)
    passes = config.passes(teacher, preprocessing.size)
    return Seen(flags, preprocessing, passes, usual_size(sizes))


def _times(size: Size) -> str:
    return "×".join(map(str, size))


def _teacher(detector: Detector) -> str:
    return detector.teacher if isinstance(detector.teacher, str) else detector.teacher.name
