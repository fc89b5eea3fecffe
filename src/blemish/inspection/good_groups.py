"""Groups of calibrating images: from names and looks, and never one that the model has learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration, CalibrationRecord
from blemish.calibration.good_scores import same_image
from blemish.data.equal_pictures import Look, together
from blemish.data.grouping import grouped
from blemish.data.sample import Sample
from blemish.errors import CalibrationError


class GoodGroups:
    """Good images, the groups they are told to be of, and what was noticed on the way.

    Args:
        samples: Good images. Those whose groups are all settled already are not compared.
        group: As of :func:`blemish.data.grouping.grouped`; ``auto`` takes the pattern by which the
            training images were grouped before it guesses.
        training: What the model file says of the training.
    """

    def __init__(self, samples: Sequence[Sample], group: str, training: Mapping[str, Any]) -> None:
        self._learned: Mapping[str, Mapping[str, Any]] = training.get("groups") or {}
        known = {product: entry["by"] for product, entry in self._learned.items() if entry["by"]}
        self._each_alone = group == "none"
        self._compares = group != "none" and any(s.group is None for s in samples)
        self.samples, _, self.notes = grouped(samples, group, known=known)
        self._looks: dict[Path, Look] = {}

    def look(self, sample: Sample, content: bytes, rgb: NDArray[np.uint8]) -> None:
        """Take note of the very pixels ``(H, W, 3)`` that are judged."""
        if self._compares:
            self._looks[sample.path] = Look.of(content, rgb)

    def name(self, judged: Iterable[tuple[Sample, CalibrationRecord]]) -> list[CalibrationRecord]:
        """The records with the names of their groups, near-equal images of one."""
        pairs = list(judged)
        samples = [sample for sample, _ in pairs]
        found, said = together(samples, [self._looks.get(s.path) for s in samples])
        self.notes += said
        return [
            replace(record, group=sample.together or "")
            for sample, (_, record) in zip(found, pairs, strict=True)
        ]

    def unlearned(
        self, records: Sequence[CalibrationRecord], current: Calibration | None
    ) -> list[CalibrationRecord]:
        """The records without those of groups that trained, unless they calibrate already.

        Raises:
            CalibrationError: None is left.
        """
        if self._each_alone:  # also those that had a group when they were measured
            records = [replace(record, group="") for record in records]
        there = () if current is None else current.groups
        measured = {same_image(image) for good in there for image in good.images if image}
        left = [r for r in records if same_image(r.image) in measured or not self._is_learned(r)]
        out = len(records) - len(left)
        if out:
            first = next(r for r in records if r not in left)
            said = (
                f"{out} of {len(records)} good images are of groups that the model has learned, "
                f"such as {first.group}"
            )
            if not left:
                raise CalibrationError(
                    f"{said}: their scores are too good for limits. Give images of other parts or "
                    "lots, or --group none where they are some."
                )
            self.notes.append(f"{said}, and do not calibrate. --group none takes each for new.")
        return left

    def _is_learned(self, record: CalibrationRecord) -> bool:
        return record.group in self._learned.get(record.product or "", {}).get("names", ())
