"""Training report: what happened in a training, filled while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blemish.calibration import CalibrationRecord
from blemish.data.images.look_units import LookUnits
from blemish.training.label_check import Suspect


@dataclass
class TrainingReport:
    """What happened in a training.

    Attributes:
        losses: Per stage, ``(step, {name: loss})`` at regular intervals.
    """

    losses: dict[str, list[tuple[int, dict[str, float]]]] = field(default_factory=dict)
    failures: list[tuple[Path, str]] = field(default_factory=list)  # images that cannot be read
    seconds: float = 0.0  # wall time, the feature cache included
    precision: str = "32-true"  # of the steps
    cached: bool = False  # whether it ran on cached features
    out_of_fold: list[CalibrationRecord] = field(default_factory=list)  # good images, by the others
    units: LookUnits | None = None  # of a coarse look and tiles, of good images by the others
    suspects: list[Suspect] = field(default_factory=list)  # good images that perhaps are none
    notes: list[str] = field(default_factory=list)  # of the method, as it is then
