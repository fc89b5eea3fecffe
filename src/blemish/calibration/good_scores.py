"""Calibration scores: what is kept of the good images that set the limits, a row each."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from blemish.calibration.conformal import Scores, in_groups
from blemish.data.images.open_file import open_file
from blemish.data.sample import Sample
from blemish.errors import CalibrationError
from blemish.results import Prediction

#: What good images do to those that are there: join them, replace them, or are taken out of them.
How = Literal["join", "replace", "exclude"]


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
        group: Name of the part, strip or lot that the image shares with others of its product;
            empty where it stands alone.

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
    group: str = ""

    @classmethod
    def of(cls, prediction: Prediction, image: str, product: str) -> CalibrationRecord:
        """The record of a good image that was judged, with its identity and its product."""
        return cls(
            product=product or None,
            score=prediction.score,
            peak=float(prediction.anomaly_map.max()),
            branches={name: branch.score for name, branch in prediction.branches.items()},
            map_low=float(np.median(prediction.map_values)),
            image=image,
        )


def image_identity(name: str, content: bytes) -> str:
    """What an image file is known by in a calibration: its name for people, its bytes for sure.

    Example:
        >>> from blemish.calibration.good_scores import image_identity
        >>> image_identity("part.png", b"...")
        'part.png#ab5df625bc76'
    """
    name = name.encode(errors="replace").decode()  # a manifest is UTF-8, a file name may not be
    return f"{name}#{hashlib.sha256(content).hexdigest()[:12]}"


def known_as(sample: Sample) -> str:
    """The identity of a sample's image in a calibration; nothing for an array."""
    if sample.image is not None:
        return ""
    with open_file(sample.path) as file:
        return image_identity(sample.path.name, file.read())


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
        image_groups: Part, strip or lot of each image, empty for one that stands alone; ``()``
            where all do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: str | None
    images: tuple[str, ...]
    scores: Scores
    peaks: Scores
    map_lows: Scores
    branches: dict[str, Scores] = Field(default_factory=dict)
    image_groups: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> GoodScores:
        n = len(self.scores)
        if n == 0:
            raise ValueError("there are no scores")
        grouped = [self.image_groups] if self.image_groups else []
        for values in (self.images, self.peaks, self.map_lows, *self.branches.values(), *grouped):
            if len(values) != n:
                raise ValueError(f"{n} scores, but {len(values)} of another kind")
        if any(a > b for a, b in pairwise(self.scores)):
            raise ValueError("scores are not in ascending order")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without groups as it was before there were any, digest included."""
        content: dict[str, Any] = write(self)
        if not self.image_groups:
            del content["image_groups"]
        return content

    def __repr__(self) -> str:
        return f"<GoodScores of {self.product or 'unknown product'}: {self.n} images>"

    @property
    def n(self) -> int:
        """Number of good images."""
        return len(self.scores)

    @cached_property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of images of each group, one that stands alone being a group of its own."""
        named = Counter(name for name in self.image_groups if name)
        return (*named.values(), *([1] * (self.n - named.total())))

    @cached_property
    def grouped(self) -> bool:
        """Whether the images come in groups, of two on average."""
        return in_groups(self.group_sizes)

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
                self.image_groups[row] if self.image_groups else "",
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
            image_groups=tuple(r.group for r in rows) if any(r.group for r in rows) else (),
        )

    @classmethod
    def by_product(cls, records: Sequence[CalibrationRecord]) -> tuple[GoodScores, ...]:
        """The records as one group per product, in the order of the products' names.

        Equal images of a product count once.

        Raises:
            CalibrationError: No records, a number that is not finite, or branches that differ.
        """
        if not records:
            raise CalibrationError(
                "No good images to calibrate with. Give images of good parts that were not used "
                "for training; 99 of them support a false-alarm rate of 1 %."
            )
        names = tuple(records[0].branches)
        groups: dict[str | None, dict[object, CalibrationRecord]] = {}
        for position, record in enumerate(records):
            _check(record, record.image or f"number {position + 1}", names)
            known = same_image(record.image) if record.image else position
            groups.setdefault(record.product, {}).setdefault(known, record)
        ordered = sorted(groups.items(), key=lambda item: item[0] or "")
        return tuple(cls.of(product, group.values()) for product, group in ordered)


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


def changed(
    groups: Iterable[GoodScores], records: Sequence[CalibrationRecord], how: How
) -> tuple[GoodScores, ...]:
    """The good images by product after ``records`` have joined, replaced or left them.

    Raises:
        CalibrationError: As of :func:`blemish.calibration.calibrate`.
    """
    after = {group.product: group for group in groups}
    if how == "exclude":
        _exclude(after, records)
    else:
        given = GoodScores.by_product(records)
        untouched = after.keys() - {group.product for group in given if how == "replace"}
        there = [after[product] for product in untouched]
        if len({frozenset(group.branches) for group in (*there, *given)}) > 1:
            raise CalibrationError(
                "These images were judged by a method with other branches than those that are "
                "there. Calibrate with scores of the same model."
            )
        for group in given:
            own = after[group.product] if group.product in untouched else None
            kept = [] if own is None else _others(own, group.images)
            after[group.product] = GoodScores.of(group.product, [*kept, *group.records()])
    return tuple(sorted(after.values(), key=lambda group: group.product or ""))


def as_measured(
    groups: Iterable[GoodScores], records: Iterable[CalibrationRecord]
) -> list[CalibrationRecord]:
    """The records, with the numbers that those of the same images have in the groups.

    What was measured by the others while learning would be measured by itself now, as too good.
    """
    there = {same_image(r.image): r for group in groups for r in group.records() if r.image}
    found = [(record, there.get(same_image(record.image))) for record in records]
    return [
        record
        if old is None
        else replace(
            old, product=record.product, image=record.image, group=record.group or old.group
        )
        for record, old in found
    ]


def _others(there: GoodScores, images: Iterable[str]) -> list[CalibrationRecord]:
    """The images that are there and not among those named, by their content."""
    known = {same_image(image) for image in images if image}
    return [r for r in there.records() if not r.image or same_image(r.image) not in known]


def _exclude(groups: dict[str | None, GoodScores], records: Sequence[CalibrationRecord]) -> None:
    gone: set[str] = set()
    for record in records:
        # An image of unknown product is looked for in all of them; one named twice goes once.
        own = record.product is not None and record.product in groups
        asked = [record.product] if own else list(groups)
        found = bool(record.image) and same_image(record.image) in gone
        for product in asked:
            kept = _others(groups[product], [record.image])
            if len(kept) == groups[product].n:
                continue
            found = True
            gone.add(same_image(record.image))
            if kept:
                groups[product] = GoodScores.of(product, kept)
            else:
                del groups[product]
        if not found:
            raise CalibrationError(
                f"{record.image or 'An image without a file'} is not among the good images of "
                "these limits, and cannot be excluded."
            )
    if not groups:
        raise CalibrationError(
            "No good image would be left. Give other good images first: blemish calibrate"
        )
