"""Out-of-fold records: what calibration keeps of training pictures, each measured by the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from blemish.calibration import CalibrationRecord
from blemish.calibration.good_scores import known_as
from blemish.data.images.look_units import LookScores, LookUnits
from blemish.data.sample import Sample
from blemish.inspection.two_scales import fused
from blemish.methods.base import OutOfFold
from blemish.training.batches import TrainingBatches


def out_of_fold_records(
    found: OutOfFold, data: TrainingBatches, rows: Sequence[int], units: LookUnits | None = None
) -> list[CalibrationRecord]:
    """The records of training pictures, of which every input is among those measured.

    As for a new picture, score, branches and peak are the largest of its tiles'; where tiles
    overlap the blended map is no higher than the higher of both. The map's median is taken as that
    of the tiles' medians. There are none where not all tiles train, nor of a picture of which a
    tile was not measured.

    Args:
        found: What the method says of its inputs.
        data: The inputs.
        rows: Those that the method was fitted on, in its order.
        units: In which tiles and a coarse look compare, where there is one.
    """
    if not data.whole:
        return []
    measured = _by_picture(found, data, rows)
    if units is not None:
        return [_fused(tiles, whole, units) for tiles, whole in measured if whole is not None]
    return [record for record, _ in measured]


def out_of_fold_units(
    found: OutOfFold, data: TrainingBatches, rows: Sequence[int]
) -> LookUnits | None:
    """In which tiles and a coarse look compare; ``None`` where there is no picture to tell by.

    Every picture has its part in them, so that none of these is less new to them than another.
    """
    if not data.coarse or not data.whole:
        return None
    pairs = [(one, other) for one, other in _by_picture(found, data, rows) if other is not None]
    if len(pairs) < 2:  # one has no deviation
        return None
    return LookUnits.of([(_look(one), _look(other)) for one, other in pairs])


def _look(record: CalibrationRecord) -> LookScores:
    return LookScores(record.score, record.peak, record.branches)


def _by_picture(
    found: OutOfFold, data: TrainingBatches, rows: Sequence[int]
) -> list[tuple[CalibrationRecord, CalibrationRecord | None]]:
    """Of every picture what its tiles say, and what a coarse look does."""
    inputs = Counter(data.pictures or rows)
    measured: dict[int, list[int]] = {}
    for place, image in enumerate(found.image.tolist()):
        row = rows[image]
        measured.setdefault(data.pictures[row] if data.pictures else row, []).append(place)
    pairs: list[tuple[CalibrationRecord, CalibrationRecord | None]] = []
    for picture, own in measured.items():
        if len(own) < inputs[picture]:
            continue
        sample = data.samples[rows[int(found.image[own[0]])]]
        looks: tuple[list[int], list[int]] = ([], [])
        for at in own:
            looks[bool(data.coarse and data.coarse[rows[int(found.image[at])]])].append(at)
        tiles, whole = (_record(found, sample, look) if look else None for look in looks)
        if tiles is not None:
            pairs.append((tiles, whole))
    return pairs


def _record(found: OutOfFold, sample: Sample, own: list[int]) -> CalibrationRecord:
    at = torch.tensor(own, device=found.score.device)
    return CalibrationRecord(
        product=sample.product or None,
        score=float(found.score[at].max()),
        peak=float(found.peak[at].max()),
        branches={name: float(v[at].max()) for name, v in found.branches.items()},
        map_low=float(found.map_low[at].median()),
        image=known_as(sample),
        group=sample.together or "",
    )


def _fused(
    tiles: CalibrationRecord, whole: CalibrationRecord, units: LookUnits
) -> CalibrationRecord:
    """As :func:`blemish.inspection.two_scales.both` does of a new picture."""
    return replace(
        tiles,
        score=fused(units.score, tiles.score, whole.score),
        peak=max(units.peak.told(tiles.peak, whole.peak)),
        map_low=max(units.peak.told(tiles.map_low, whole.map_low)),
        branches={
            name: fused(units.branch(name), value, whole.branches[name])
            for name, value in tiles.branches.items()
        },
    )
