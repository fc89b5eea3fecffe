"""A detector that learns in a second, for the tests of the one door."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
BRIEF = {"steps": 2, "batch_size": 4}
Pixels = NDArray[np.uint8]


def brief(**kwargs: Any) -> Detector:
    return Detector("rd", image_size=64, settings=BRIEF, **kwargs)


def fit(detector: Detector, data: Any, **options: Any) -> Any:
    return detector.fit(
        data, **{"false_alarm_rate": 0.3, "training": CPU, "progress": QUIET, **options}
    ).fit_report
