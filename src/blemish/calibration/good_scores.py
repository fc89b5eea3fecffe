"""Calibration scores: what is kept of the good images that set the limits, by product."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from blemish.errors import CalibrationError

Scores = tuple[FiniteFloat, ...]


@dataclass(frozen=True)
class CalibrationRecord:
    """What calibration needs of one held-out good image.

    Attributes:
        product: The image's product, ``None`` where unknown.
        score: Raw anomaly score.
        peak: Largest value of the anomaly map.
        branches: Raw scores of the method's branches by name.
        map_low: Median of the anomaly map: what "nothing here" looks like.
        image: Identity of the image, see :func:`image_identity`; empty for arrays.

    Example:
        >>> from blemish.calibration.good_scores import CalibrationRecord
        >>> CalibrationRecord("bottle", score=0.4, peak=0.9, map_low=0.1).branches
        {}
    """

    product: str | None
    score: float
    peak: float
    branches: Mapping[str, float] = field(default_factory=dict)
    map_low: float = 0.0
    image: str = ""


def image_identity(name: str, content: bytes) -> str:
    """What an image file is known by in a calibration: its name for people, its bytes for sure.

    Example:
        >>> from blemish.calibration.good_scores import image_identity
        >>> image_identity("part.png", b"...")
        'part.png#ab5df625bc76'
    """
    name = name.encode(errors="replace").decode()  # a manifest is UTF-8, a file name may not be
    return f"{name}#{hashlib.sha256(content).hexdigest()[:12]}"


def same_image(identity: str) -> str:
    """What two files of one content have in common; the identity itself where it has no digest."""
    return identity.rpartition("#")[2]


class GoodScores(BaseModel):
    """Everything kept of the good images of one product, a row each, by ascending score.

    Attributes:
        product: Name of the product, ``None`` for images of unknown product.
        images: Identity of each image, empty where it has none.
        scores: Raw anomaly scores.
        peaks: Largest value of each anomaly map.
        map_lows: Median of each anomaly map.
        branches: Raw scores by branch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: str | None
    images: tuple[str, ...]
    scores: Scores
    peaks: Scores
    map_lows: Scores
    branches: dict[str, Scores] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> GoodScores:
        n = len(self.scores)
        if n == 0:
            raise ValueError("there are no scores")
        for values in (self.images, self.peaks, self.map_lows, *self.branches.values()):
            if len(values) != n:
                raise ValueError(f"{n} scores, but {len(values)} of another kind")
        if any(a > b for a, b in pairwise(self.scores)):
            raise ValueError("scores are not in ascending order")
        return self

    def __repr__(self) -> str:
        return f"<GoodScores of {self.product or 'unknown product'}: {self.n} images>"

    @property
    def n(self) -> int:
        """Number of good images."""
        return len(self.scores)

    @cached_property
    def ascending_peaks(self) -> Scores:
        """The peaks by themselves, ascending."""
        return tuple(sorted(self.peaks))

    @cached_property
    def ascending_branches(self) -> dict[str, Scores]:
        """The scores of each branch by themselves, ascending."""
        return {name: tuple(sorted(values)) for name, values in self.branches.items()}

    def records(self) -> list[CalibrationRecord]:
        """The images as they were given, by ascending score."""
        return [
            CalibrationRecord(
                self.product,
                self.scores[row],
                self.peaks[row],
                {name: values[row] for name, values in self.branches.items()},
                self.map_lows[row],
                image,
            )
            for row, image in enumerate(self.images)
        ]

    @classmethod
    def of(cls, product: str | None, records: Iterable[CalibrationRecord]) -> GoodScores:
        """The records as one group of ``product``, whatever products they name."""
        rows = sorted(records, key=lambda r: (r.score, r.image, r.peak, r.map_low))
        return cls(
            product=product,
            images=tuple(r.image for r in rows),
            scores=tuple(float(r.score) for r in rows),
            peaks=tuple(float(r.peak) for r in rows),
            map_lows=tuple(float(r.map_low) for r in rows),
            branches={n: tuple(float(r.branches[n]) for r in rows) for n in rows[0].branches},
        )

    @classmethod
    def by_product(cls, records: Sequence[CalibrationRecord]) -> tuple[GoodScores, ...]:
        """The records as one group per product, in the order of the products' names.

        Raises:
            CalibrationError: No records, a number that is not finite, or branches that differ.
        """
        if not records:
            raise CalibrationError(
                "No good images to calibrate with. Give images of good parts that were not used "
                "for training; 99 of them support a false-alarm rate of 1 %."
            )
        names = tuple(records[0].branches)
        groups: dict[str | None, list[CalibrationRecord]] = {}
        for position, record in enumerate(records):
            _check(record, record.image or f"number {position + 1}", names)
            groups.setdefault(record.product, []).append(record)
        ordered = sorted(groups.items(), key=lambda item: item[0] or "")
        return tuple(cls.of(product, group) for product, group in ordered)


def _check(record: CalibrationRecord, which: str, names: tuple[str, ...]) -> None:
    if set(record.branches) != set(names):
        raise CalibrationError(
            f"Good image {which} has scores of the branches {sorted(record.branches)}, the first "
            f"one of {sorted(names)}: all must come from the same model."
        )
    values = {"score": record.score, "peak of the map": record.peak, "map": record.map_low}
    values.update({f"score of branch {name}": s for name, s in record.branches.items()})
    for what, value in values.items():
        if not math.isfinite(value):
            raise CalibrationError(
                f"The {what} of good image {which} is {value}, not a finite number: no limit can "
                "be derived. The training probably diverged; train again with a lower rate."
            )
