"""What a training of a detector reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blemish.training.train import TrainingReport

#: Said when no limits could be set because there was nothing to set them from.
NOT_CALIBRATED = (
    "Not calibrated, so no verdicts: no readable good image could be set aside. Run "
    "`blemish calibrate` with good images that training has not seen."
)


@dataclass(frozen=True)
class FitReport:
    """What :meth:`Detector.fit` did.

    Attributes:
        training_images, calibration_images: Numbers of good images used for each.
        products: Names of the products.
        layout: The layout that was recognised.
        failures: Path and reason of each image that could not be read.
        notes: What the user should know, one sentence each.
        seconds: Wall time.
        training: Losses and more.
        labelled_defects: Number of labelled defects that trained.
    """

    training_images: int
    calibration_images: int
    products: tuple[str, ...]
    layout: str
    failures: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]
    seconds: float
    training: TrainingReport = field(repr=False)
    labelled_defects: int = 0
