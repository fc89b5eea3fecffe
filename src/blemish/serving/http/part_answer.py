"""Part answer: what several pictures of one part say of it together."""

from __future__ import annotations

from pydantic import BaseModel, Field

from blemish.calibration.parts import PartVerdict
from blemish.results import Verdict


class PartAnswer(BaseModel):
    """The verdict of a part."""

    part: str = Field(description="as the line calls it")
    views: int = Field(description="pictures of it")
    p_value: float = Field(description="the smallest of its views' times their number, at most 1")
    verdict: Verdict = Field(
        description="by its p-value; unsure also where a view is a defect or not judged and the "
        "p-value alone would let it pass"
    )

    @classmethod
    def of(cls, found: PartVerdict) -> PartAnswer:
        """The answer for a verdict."""
        return cls(part=found.part, views=found.views, p_value=found.p_value, verdict=found.verdict)
