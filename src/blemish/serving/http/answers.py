"""The JSON a server answers with, as types: they check it, and become the OpenAPI description."""

from __future__ import annotations

import base64
import math
from typing import Any, Literal

from pydantic import BaseModel, Field

from blemish.calibration import Calibration, How
from blemish.results import Prediction, Verdict
from blemish.serving.history.pictures import Mark, Picture
from blemish.serving.history.recalibration import limits_json
from blemish.serving.history.versions import CalibrationVersion
from blemish.serving.service import Judged, NotJudged


class ErrorAnswer(BaseModel):
    """A refusal: a fixed word for programs, a sentence for people."""

    error: str
    detail: str


class RegionAnswer(BaseModel):
    """A connected anomalous area."""

    box: tuple[int, int, int, int] = Field(
        description="left, top, right, bottom in pixels of the image; right and bottom exclusive"
    )
    area: int = Field(description="pixels above the map limit")
    peak: float = Field(description="largest map value inside")


class BranchAnswer(BaseModel):
    """What one branch of a method says."""

    score: float | None
    p_value: float | None = None
    verdict: Verdict | None = None


class ExplanationAnswer(BaseModel):
    """Where to look when a branch objects that no map shows."""

    branch: str
    box: tuple[int, int, int, int]
    sentence: str


class PredictionAnswer(BaseModel):
    """One image of a request: a score, or an error with its status; both if it was not kept."""

    name: str
    id: int | None = Field(default=None, description="in the history, where it was kept")
    product: str | None = None
    size: tuple[int, int] | None = Field(default=None, description="height and width of the image")
    verdict: Verdict | None = None
    score: float | None = Field(default=None, description="raw and unbounded; higher is worse")
    p_value: float | None = Field(default=None, description="share of good parts at least this odd")
    branches: dict[str, BranchAnswer] = {}
    regions: list[RegionAnswer] = []
    explanation: ExplanationAnswer | None = None
    map_png: str | None = Field(default=None, description="base64, where it was asked for")
    status: int = 200
    error: ErrorAnswer | None = None


class PredictAnswer(BaseModel):
    """The answer to one request, its images in order."""

    model: str
    calibration: int = Field(description="version of the calibration in force")
    results: list[PredictionAnswer]


class PictureAnswer(BaseModel):
    """A kept picture, judged by the limits asked for."""

    id: int
    name: str
    product: str | None
    judged: str
    size: tuple[int, int]
    score: float
    p_value: float | None
    verdict: Verdict | None
    verdict_then: Verdict | None = Field(description="when it was judged, by the limits of then")
    mark: Mark | None


class DetailAnswer(PictureAnswer):
    """A kept picture with what is found in it."""

    branches: dict[str, BranchAnswer]
    regions: list[RegionAnswer]
    explanation: ExplanationAnswer | None


class VersionAnswer(BaseModel):
    """One calibration."""

    version: int
    created: str
    source: Literal["model", "marks", "rate"]
    parent: int | None
    note: str
    active: bool
    false_alarm_rate: float | None
    unsure_rate: float | None
    n: int = Field(description="good images behind it")
    limits: list[dict[str, Any]]
    notes: list[str]


class MarkRequest(BaseModel):
    """What a person says of a picture; ``null`` takes it back."""

    mark: Mark | None


class RecalibrationRequest(BaseModel):
    """Which limits to put in force."""

    how: How | None = Field(
        None,
        description="join or replace: use the pictures marked as good; null: change the rate alone",
    )
    false_alarm_rate: float | None = Field(None, gt=0, le=0.5)
    expected: int | None = Field(None, description="the version seen in force; another gives 409")


class ActivateRequest(BaseModel):
    """Which earlier calibration to put in force again; ``null`` undoes the last step."""

    version: int | None = None
    expected: int | None = None


class RemoveRequest(BaseModel):
    """Which pictures to forget; ``null``: all without a mark."""

    ids: list[int] | None = Field(None, max_length=10_000)


class LoginRequest(BaseModel):
    """The token, for a cookie."""

    token: str = Field(max_length=4096)


def prediction_answer(item: Judged | NotJudged) -> PredictionAnswer:
    """One image's part of the answer."""
    if isinstance(item, NotJudged):
        error = ErrorAnswer(error=item.refusal.code, detail=item.refusal.detail)
        return PredictionAnswer(name=item.name, status=item.refusal.status, error=error)
    lost = item.not_kept
    png = None if item.map_png is None else base64.b64encode(item.map_png).decode()
    return PredictionAnswer(
        name=item.name,
        id=item.id,
        product=item.prediction.product,
        size=item.size,
        verdict=item.prediction.verdict,
        score=item.prediction.score,
        p_value=item.prediction.p_value,
        branches=branch_answers(item.prediction),
        regions=region_answers(item.prediction),
        explanation=explanation_answer(item.prediction),
        map_png=png,
        error=None if lost is None else ErrorAnswer(error=lost.code, detail=lost.detail),
    )


def region_answers(prediction: Prediction) -> list[RegionAnswer]:
    """What is found in a picture, the worst first."""
    return [RegionAnswer(box=r.box, area=r.area, peak=r.peak) for r in prediction.regions]


def explanation_answer(prediction: Prediction) -> ExplanationAnswer | None:
    """Where to look, in plain words, where a logical branch objects."""
    found = prediction.explanation
    if found is None:
        return None
    return ExplanationAnswer(branch=found.branch, box=found.box, sentence=found.sentence)


def branch_answers(prediction: Prediction) -> dict[str, BranchAnswer]:
    """What each branch says, as it was judged with the picture."""
    return {
        name: BranchAnswer(
            score=branch.score if math.isfinite(branch.score) else None,
            p_value=branch.p_value,
            verdict=branch.verdict,
        )
        for name, branch in prediction.branches.items()
    }


def picture_answer(picture: Picture, calibration: Calibration | None) -> PictureAnswer:
    """A kept picture, judged anew."""
    p_value, verdict = None, None
    if calibration is not None:
        p_value, verdict = calibration.judge(picture.score, picture.product)
    return PictureAnswer(
        id=picture.id,
        name=picture.name,
        product=picture.product,
        judged=picture.judged,
        size=picture.size,
        score=picture.score,
        p_value=p_value,
        verdict=verdict,
        verdict_then=picture.verdict,
        mark=picture.mark,
    )


def version_answer(version: CalibrationVersion, *, active: bool) -> VersionAnswer:
    """A calibration and its limits."""
    calibration = version.calibration
    return VersionAnswer(
        version=version.version,
        created=version.created,
        source=version.source,
        parent=version.parent,
        note=version.note,
        active=active,
        false_alarm_rate=None if calibration is None else calibration.false_alarm_rate,
        unsure_rate=None if calibration is None else calibration.unsure_rate,
        n=0 if calibration is None else calibration.n,
        limits=[] if calibration is None else limits_json(calibration),
        notes=[] if calibration is None else calibration.notes(),
    )
