"""What calibration keeps of the good images: their scores, by product."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

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
        image: Identity of the image (a digest or a path); enters the fingerprint only.

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


class GoodScores(BaseModel):
    """Everything kept of the good images of one product, each list ascending by itself.

    Attributes:
        product: Name of the product, ``None`` for images of unknown product.
        scores: Raw anomaly scores.
        peaks: Largest value of each anomaly map.
        map_lows: Median of each anomaly map.
        branches: Raw scores by branch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: str | None
    scores: Scores
    peaks: Scores
    map_lows: Scores
    branches: dict[str, Scores] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> GoodScores:
        n = len(self.scores)
        if n == 0:
            raise ValueError("there are no scores")
        for values in (self.scores, self.peaks, self.map_lows, *self.branches.values()):
            if len(values) != n:
                raise ValueError(f"{n} scores, but {len(values)} of another kind")
            if any(a > b for a, b in pairwise(values)):
                raise ValueError("scores are not in ascending order")
        return self

    @property
    def n(self) -> int:
        """Number of good images."""
        return len(self.scores)

    @classmethod
    def pooled(cls, groups: Iterable[GoodScores]) -> GoodScores:
        """All groups as one, of no product."""
        groups = tuple(groups)
        names = groups[0].branches
        return cls(
            product=None,
            scores=_sorted(g.scores for g in groups),
            peaks=_sorted(g.peaks for g in groups),
            map_lows=_sorted(g.map_lows for g in groups),
            branches={name: _sorted(g.branches[name] for g in groups) for name in names},
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
        return tuple(
            cls(
                product=product,
                scores=_sorted([r.score] for r in group),
                peaks=_sorted([r.peak] for r in group),
                map_lows=_sorted([r.map_low] for r in group),
                branches={name: _sorted([r.branches[name]] for r in group) for name in names},
            )
            for product, group in sorted(groups.items(), key=lambda item: item[0] or "")
        )


def fingerprint(records: Iterable[CalibrationRecord]) -> str:
    """SHA-256 over the records' image identities in any order; empty if they have none."""
    lines = sorted(f"{r.product or ''}\t{r.image}\n" for r in records if r.image)
    if not lines:
        return ""
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


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


def _sorted(parts: Iterable[Iterable[float]]) -> Scores:
    return tuple(sorted(float(value) for value in chain.from_iterable(parts)))
