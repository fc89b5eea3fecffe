"""Out-of-fold records: what calibration keeps of training pictures, each measured by the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from blemish.calibration import CalibrationRecord
from blemish.calibration.good_scores import known_as
from blemish.methods.base import OutOfFold
from blemish.training.batches import TrainingBatches


def out_of_fold_records(
    found: OutOfFold, data: TrainingBatches, rows: Sequence[int]
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
    """
    if not data.whole:
        return []
    tiles = Counter(data.pictures or rows)
    measured: dict[int, list[int]] = {}
    for place, image in enumerate(found.image.tolist()):
        row = rows[image]
        measured.setdefault(data.pictures[row] if data.pictures else row, []).append(place)
    records = []
    for picture, own in measured.items():
        if len(own) < tiles[picture]:
            continue
        sample = data.samples[rows[int(found.image[own[0]])]]
        at = torch.tensor(own, device=found.score.device)
        records.append(
            CalibrationRecord(
                product=sample.product or None,
                score=float(found.score[at].max()),
                peak=float(found.peak[at].max()),
                branches={name: float(v[at].max()) for name, v in found.branches.items()},
                map_low=float(found.map_low[at].median()),
                image=known_as(sample),
                group=sample.together or "",
            )
        )
    return records
