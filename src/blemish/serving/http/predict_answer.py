"""Predict answer: what is answered of judged pictures, of a request or of a call of the line."""

from __future__ import annotations

from collections.abc import Sequence

from blemish.calibration.parts import View, part_verdict
from blemish.serving.http.answers import PredictAnswer, prediction_answer
from blemish.serving.http.part_answer import PartAnswer
from blemish.serving.order import Judged, NotJudged
from blemish.serving.service import InspectionService


def predict_answer(
    service: InspectionService, items: Sequence[Judged | NotJudged], part: str | None
) -> PredictAnswer:
    """The answer for pictures of which one at least was judged; ``part`` is what they show."""
    version = next(item.version for item in items if isinstance(item, Judged))
    # Read for parts alone: most requests name none.
    limits = service.versions.get(version).calibration if part else None
    found = None
    if part and limits is not None:
        found = PartAnswer.of(part_verdict(part, [_view(item) for item in items], limits))
    return PredictAnswer(
        model=service.model.name,
        calibration=version,
        results=[prediction_answer(item) for item in items],
        part=found,
    )


def _view(item: Judged | NotJudged) -> View:
    if not isinstance(item, Judged):
        return View(item.name)
    found = item.prediction
    return View(item.name, found.product, found.verdict, found.p_value, found.score)
