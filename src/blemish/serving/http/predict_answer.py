"""Predict answer: what is answered of judged pictures, of a request or of a call of the line."""

from __future__ import annotations

from collections.abc import Sequence

from blemish.calibration.parts import PartVerdict
from blemish.serving.http.answers import PredictAnswer, prediction_answer
from blemish.serving.http.part_answer import PartAnswer
from blemish.serving.order import Judged, NotJudged
from blemish.serving.service import InspectionService


def predict_answer(
    service: InspectionService, items: Sequence[Judged | NotJudged], part: PartVerdict | None
) -> PredictAnswer:
    """The answer for pictures of which one at least was judged, and the part that they complete."""
    return PredictAnswer(
        model=service.model.name,
        calibration=next(item.version for item in items if isinstance(item, Judged)),
        results=[prediction_answer(item) for item in items],
        part=None if part is None else PartAnswer.of(part),
    )
