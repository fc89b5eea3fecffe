"""Part answer: what several pictures of one part say of it together.

They are the pictures of one request, or of one call of the line. By Bonferroni's rule a part of
three views is called defective no more often than a part of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from blemish.calibration import Calibration
from blemish.calibration.lots import part_p_value
from blemish.results import Verdict
from blemish.serving.order import Judged, NotJudged


class PartAnswer(BaseModel):
    """The verdict of a part."""

    part: str = Field(description="as the line calls it")
    views: int = Field(description="pictures of it")
    p_value: float = Field(description="the smallest of its views' times their number, at most 1")
    verdict: Verdict = Field(
        description="by its p-value; unsure also where a view is a defect or not judged and the "
        "p-value alone would let it pass"
    )


def part_answer(
    part: str | None, items: Sequence[Judged | NotJudged], calibration: Calibration | None
) -> PartAnswer | None:
    """The verdict of a part; ``None`` where none was named, or there are no limits.

    Args:
        part: As the line calls it.
        items: Its views; one that was not judged counts as one that might have been odd.
        calibration: Whose rates decide.
    """
    judged = [item.prediction for item in items if isinstance(item, Judged)]
    found = [p.p_value for p in judged if p.p_value is not None]
    if not part or calibration is None or not found:
        return None
    if len(items) == 1:  # the part is its picture
        (alone,) = judged
        return PartAnswer(part=part, views=1, p_value=found[0], verdict=alone.verdict or "unsure")
    p_value = part_p_value([*found, *[1.0] * (len(items) - len(found))])
    doubtful = len(found) < len(items) or any(p.verdict == "defect" for p in judged)
    verdict: Verdict = "unsure" if doubtful or p_value <= calibration.unsure_rate else "ok"
    if p_value <= calibration.false_alarm_rate:
        verdict = "defect"
    return PartAnswer(part=part, views=len(items), p_value=p_value, verdict=verdict)
