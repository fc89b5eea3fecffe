"""A service of the spots in this process, with its history in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blemish.serving.history.database import Database
from blemish.serving.history.pictures import PictureHistory
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.http.middleware import ServerMetrics
from blemish.serving.limits import ServeLimits
from blemish.serving.model import ServedModel
from blemish.serving.service import InspectionService


@contextlib.contextmanager
def open_service(
    model: ServedModel, folder: Path, delivery: Any = None
) -> Iterator[InspectionService]:
    """Ready to judge; whoever opens it closes it, in its own event loop."""
    limits = ServeLimits()
    with contextlib.closing(Database.open(folder / "state", model.identity)) as database:
        yield InspectionService(
            model,
            PictureHistory(database, limits),
            CalibrationVersions(database, model.calibration),
            limits=limits,
            metrics=ServerMetrics(),
            delivery=delivery,
        )
