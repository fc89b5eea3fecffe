"""Report of a fit: what was trained on what, for the user and for the model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blemish.evaluation.learned_defects import LEARNED
from blemish.inspection.learned_images import LEARNED_IMAGES
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.training.log import TrainingLog
from blemish.training.options import TrainingOptions
from blemish.training.training_report import TrainingReport


@dataclass(frozen=True)
class FitReport:
    """What :meth:`Detector.fit` did."""

    training_images: int  # good images that trained
    calibration_images: int
    products: tuple[str, ...]
    layout: str  # the one that was recognised
    failures: tuple[tuple[Path, str], ...]  # path and reason of images that cannot be read
    notes: tuple[str, ...]  # what the user should know, one sentence each
    seconds: float  # wall time
    training: TrainingReport = field(repr=False)
    #: Takes what is measured afterwards too: ``log.measured(detector.evaluate(data))``.
    log: TrainingLog = field(default_factory=TrainingLog, repr=False, compare=False)
    labelled_defects: int = 0  # those that trained
    labelled_images: tuple[str, ...] = ()  # what their files are known by
    learned_images: str = field(default="", repr=False)  # digests of the good ones that trained
    input_images: tuple[tuple[int, int], ...] = ()  # smallest and largest (H, W) of the good ones
    pictures: LearnedPictures | None = None  # what the good ones had in common
    groups: Mapping[str, Any] = field(default_factory=dict)  # see blemish.training.sides
    product_folders: Mapping[str, str] = field(default_factory=dict)  # data/known_products.py

    def figures(self) -> dict[str, float]:
        """What the training log ends with."""
        return {
            "seconds": self.seconds,
            "training_images": self.training_images,
            "calibration_images": self.calibration_images,
        }

    def to_json(self, options: TrainingOptions) -> dict[str, Any]:
        """What the model file says of the training."""
        return {
            "seed": options.seed,
            "training_images": self.training_images,
            "calibration_images": self.calibration_images,
            "labelled_defects": self.labelled_defects,
            LEARNED: list(self.labelled_images),
            LEARNED_IMAGES: self.learned_images,
            "input_images": [list(size) for size in self.input_images],
            "pictures": None if self.pictures is None else self.pictures.to_json(),
            "groups": dict(self.groups),
            "product_folders": dict(self.product_folders),
            "layout": self.layout,
            "precision": self.training.precision,
            "seconds": round(self.seconds, 1),
            # Whether images that it has learned calibrate: leaving one out of the limits is half.
            "cross_fitted": bool(self.training.out_of_fold),
        }
