"""Score normalisation of two looks: deviations of good pictures, in which tiles and whole compare.

The tiles of a picture and the coarse look at all of it are measured on different scales: the worst
of nine tiles of a good picture is odder than its one coarse look. Both are told in deviations of
good pictures from their median before the larger counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from blemish.errors import ConfigError

#: Deviation below which it is rounding.
_LEAST = 1e-6


class LookUnit(NamedTuple):
    """Median of good pictures, and their deviation."""

    middle: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, values: Sequence[float]) -> LookUnit:
        """From what good pictures have; deviation as the standard one."""
        return cls(float(np.median(values)), max(float(np.std(values)), _LEAST))


class LookScores(NamedTuple):
    """What tiles, or the whole, of a picture say: score, highest value of the map, branches."""

    score: float
    peak: float
    branches: Mapping[str, float]


class UnitPair(NamedTuple):
    """Of what the tiles and the whole of a picture say: of its score, or of its map's peak."""

    tiles: LookUnit = LookUnit()
    whole: LookUnit = LookUnit()

    def told(self, tiles: float, whole: float) -> tuple[float, float]:
        """Both values in deviations of good pictures."""
        (m, s), (n, t) = self
        return (tiles - m) / s, (whole - n) / t


@dataclass(frozen=True)
class LookUnits:
    """What makes two looks comparable; the plain numbers, before they are fitted.

    Attributes:
        score: Units of the picture's score.
        peak: Of the highest value of its map.
        branches: Of the branches' scores, by name.

    Example:
        >>> from blemish.data.images.look_units import LookUnits, LookUnit, UnitPair
        >>> units = LookUnits(UnitPair(LookUnit(2.0, 0.5), LookUnit(0.0, 1.0)))
        >>> LookUnits.from_json(units.to_json()) == units
        True
    """

    score: UnitPair = field(default_factory=UnitPair)
    peak: UnitPair = field(default_factory=UnitPair)
    branches: Mapping[str, UnitPair] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Sequence[tuple[LookScores, LookScores]]) -> LookUnits:
        """From what tiles and whole of good pictures say."""
        looks = list(zip(*pairs, strict=True))

        def pair(value: Callable[[LookScores], float]) -> UnitPair:
            return UnitPair(*(LookUnit.of([value(one) for one in look]) for look in looks))

        def branch(name: str) -> UnitPair:
            return pair(lambda one: one.branches[name])

        branches = {name: branch(name) for name in pairs[0][0].branches}
        return cls(pair(lambda one: one.score), pair(lambda one: one.peak), branches)

    def branch(self, name: str) -> UnitPair:
        """Units of a branch."""
        return self.branches.get(name, UnitPair())

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        branches = {name: _plain(units) for name, units in self.branches.items()}
        return {"score": _plain(self.score), "peak": _plain(self.peak), "branches": branches}

    @classmethod
    def from_json(cls, values: Any) -> LookUnits:
        """The inverse of :meth:`to_json`; :class:`ConfigError` for what is none of its values."""
        try:
            branches = {str(name): _units(own) for name, own in values["branches"].items()}
            return cls(_units(values["score"]), _units(values["peak"]), branches)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"The coarse look {values} is not one this version knows.") from error


def _plain(units: UnitPair) -> list[list[float]]:
    return [list(unit) for unit in units]


def _units(values: Any) -> UnitPair:
    (a, b), (c, d) = values
    numbers = [float(value) for value in (a, b, c, d)]
    if not all(map(math.isfinite, numbers)) or min(numbers[1], numbers[3]) <= 0:
        raise ValueError("a deviation is a number above 0")
    return UnitPair(LookUnit(*numbers[:2]), LookUnit(*numbers[2:]))
