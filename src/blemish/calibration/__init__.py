"""Calibration: limits from good images, and nowhere else."""

from __future__ import annotations

from blemish.calibration.conformal import Judgement
from blemish.calibration.good_scores import (
    CalibrationRecord,
    GoodScores,
    How,
    image_identity,
)
from blemish.calibration.limits import Calibration, Limits, calibrate

__all__ = [
    "Calibration",
    "CalibrationRecord",
    "GoodScores",
    "How",
    "Judgement",
    "Limits",
    "calibrate",
    "image_identity",
]
