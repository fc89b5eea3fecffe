"""JSON schemas: what a server answers with, as types that check it and describe it in OpenAPI."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from blemish.calibration import Calibration, How
from blemish.calibration.good_scores import same_image
from blemish.calibration.limit_setters import image_name, limit_setters
from blemish.results import Branch, PartPose, Prediction, Verdict
from blemish.serving.history.pictures import Mark, Picture
from blemish.serving.history.versions import CalibrationVersion
from blemish.serving.http.part_answer import PartAnswer
from blemish.serving.model import ServedModel
from blemish.serving.order import Judged, NotJudged


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
    times_limit: float | None = Field(
        default=None, description="the same as a multiple of the map limit; 0 is good background"
    )


class BranchAnswer(BaseModel):
    """What one branch of a method says."""

    score: float | None
    p_value: float | None = None
    verdict: Verdict | None = None
    times_limit: float | None = None


class ExplanationAnswer(BaseModel):
    """Where to look when a branch objects that no map shows."""

    branch: str
    box: tuple[int, int, int, int]
    sentence: str


class PoseAnswer(BaseModel):
    """How the part of a picture lay, of a model that aligns pictures."""

    aligned: bool = Field(description="false: it was judged as it lay, and is unsure")
    angle: float = Field(description="degrees by which it was turned, clockwise")
    right: float = Field(description="shift to the right, as a share of the width")
    down: float
    quality: float = Field(description="correlation with the reference, up to 1")
    limit: float = Field(description="the least that good pictures call for")
    fault: str = Field(description="why it cannot be aligned, or was not found")
    box: tuple[int, int, int, int] | None = Field(
        description="top, left, height, width of what was seen, where pictures are cropped"
    )

    @classmethod
    def of(cls, pose: PartPose | None) -> PoseAnswer | None:
        """The answer for a pose, where there is one."""
        return None if pose is None else cls(aligned=pose.aligned, **vars(pose))


class PredictionAnswer(BaseModel):
    """One image of a request: a score, or an error with its status; both if it was not kept."""

    name: str
    id: int | None = Field(default=None, description="in the history, where it was kept")
    product: str | None = Field(
        default=None, description="by whose limits it is judged: the one named, else recognised"
    )
    recognised: str | None = Field(
        default=None, description="what the model takes it for, whatever was named"
    )
    rival: str | None = Field(
        default=None, description="what it may show as well: the stricter limits judged"
    )
    size: tuple[int, int] | None = Field(default=None, description="height and width of the image")
    verdict: Verdict | None = None
    score: float | None = Field(default=None, description="raw and unbounded; higher is worse")
    p_value: float | None = Field(default=None, description="share of good parts at least this odd")
    times_limit: float | None = Field(
        default=None,
        description="how far beyond: 0 at the median of good pictures, 1 at the limit",
    )
    branches: dict[str, BranchAnswer] = {}
    regions: list[RegionAnswer] = []
    explanation: ExplanationAnswer | None = None
    pose: PoseAnswer | None = None
    notes: list[str] = Field(
        default=[], description="how it is unlike what was learned, or how it was read"
    )
    map_png: str | None = Field(default=None, description="base64, where it was asked for")
    status: int = 200
    error: ErrorAnswer | None = None


class PredictAnswer(BaseModel):
    """The answer to one request, its images in order."""

    model: str
    calibration: int = Field(description="version of the calibration that judged all of them")
    results: list[PredictionAnswer]
    part: PartAnswer | None = Field(
        default=None, description="where the request named a part that is complete with it"
    )


class PictureAnswer(BaseModel):
    """A kept picture, judged by the limits asked for."""

    id: int
    name: str
    product: str | None
    recognised: str | None = Field(description="what the model takes it for, whatever was said")
    rival: str | None = Field(description="what it may show as well, where no product was said")
    named: bool = Field(description="whether somebody said the product")
    judged: str
    size: tuple[int, int]
    score: float
    p_value: float | None
    verdict: Verdict | None
    times_limit: float | None
    objecting: list[str] = Field(description="branches that are beyond their own limits")
    verdict_then: Verdict | None = Field(description="when it was judged, by the limits of then")
    mark: Mark | None
    kind: str = Field(description="of defect, as people call it; empty where nobody said")
    note: str = Field(description="what people wrote")
    pose: PoseAnswer | None


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


class RemarkRequest(BaseModel):
    """What a person writes of a picture; empty text takes it back."""

    kind: str = Field("", max_length=60, description="of defect, such as scratch")
    note: str = Field("", max_length=2000)


class ProductRequest(BaseModel):
    """Which product a person says a picture shows; ``null``: what the model takes it for."""

    product: str | None = Field(max_length=200)


class RecalibrationRequest(BaseModel):
    """Which limits to put in force."""

    how: How | None = Field(
        None,
        description="join or replace: use the pictures marked as good; exclude: leave those marked "
        "as defect out of the model's own; null: change the rate alone",
    )
    false_alarm_rate: float | None = Field(None, gt=0, le=0.5)
    leave_out: list[str] = Field(
        [],
        max_length=1000,
        description="good images, as `setters` of the history names them, to leave out of the "
        "limits in force; then how is null",
    )
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
    lost, judged = item.not_kept, item.prediction
    return PredictionAnswer(
        name=item.name,
        id=item.id,
        product=judged.product,
        recognised=judged.recognised,
        rival=judged.rival,
        size=item.size,
        verdict=judged.verdict,
        score=judged.score,
        p_value=judged.p_value,
        times_limit=judged.times_limit,
        pose=PoseAnswer.of(judged.pose),
        notes=[note.sentence for note in judged.notes],
        map_png=None if item.map_png is None else base64.b64encode(item.map_png).decode(),
        error=None if lost is None else ErrorAnswer(error=lost.code, detail=lost.detail),
        **_found(judged),
    )


def _found(prediction: Prediction) -> dict[str, Any]:
    """What is found in a picture: branches, regions (the worst first), and where to look."""
    regions = [RegionAnswer(**vars(region)) for region in prediction.regions]
    branches = {name: BranchAnswer(**vars(found)) for name, found in prediction.branches.items()}
    for branch in branches.values():
        if not math.isfinite(branch.score or 0):
            branch.score = None
    look = prediction.explanation
    explanation = None if look is None else ExplanationAnswer(**vars(look))
    return {"branches": branches, "regions": regions, "explanation": explanation}


def picture_answer(picture: Picture, calibration: Calibration | None) -> PictureAnswer:
    """A kept picture, judged anew by its score."""
    if calibration is None:
        return PictureAnswer(**_picture(picture, None, None, None, {}))
    return PictureAnswer(**_picture(picture, *picture.judged_by(calibration)))


def detail_answer(picture: Picture, prediction: Prediction) -> DetailAnswer:
    """A kept picture with what is found in it, judged anew by its map."""
    p = prediction
    judged = _picture(picture, p.p_value, p.verdict, p.times_limit, p.branches)
    return DetailAnswer(**judged, **_found(prediction))


def _picture(
    picture: Picture,
    p_value: float | None,
    verdict: Verdict | None,
    times_limit: float | None,
    branches: Mapping[str, Branch],
) -> dict[str, Any]:
    kept = {
        name: getattr(picture, name) for name in PictureAnswer.model_fields if name in vars(picture)
    }
    return {
        **kept,
        "rival": None if picture.named else picture.rival,
        "pose": PoseAnswer.of(picture.pose),
        "p_value": p_value,
        "verdict": verdict,
        "times_limit": times_limit,
        "objecting": [name for name, found in branches.items() if found.verdict == "defect"],
        "verdict_then": picture.verdict,
    }


def version_answer(
    version: CalibrationVersion, model: ServedModel, *, active: bool
) -> VersionAnswer:
    """A calibration and its limits."""
    own = {name: value for name, value in vars(version).items() if name != "calibration"}
    calibration = version.calibration
    return VersionAnswer(
        **own,
        active=active,
        false_alarm_rate=None if calibration is None else calibration.false_alarm_rate,
        unsure_rate=None if calibration is None else calibration.unsure_rate,
        n=0 if calibration is None else calibration.n,
        limits=[] if calibration is None else limits_json(calibration),
        notes=[] if calibration is None else model.notes(calibration),
    )


def limits_json(calibration: Calibration) -> list[dict[str, Any]]:
    """The limits of each product and the pooled ones, for JSON."""
    products: list[str | None] = [*calibration.products]
    # With one product and nothing else the pooled limits are its own.
    if len(calibration.groups) != 1 or not products:
        products.append(None)
    rates = ("defect_rate", "unsure_rate", "estimated", "n", "groups")
    names = ("product", "defect", "unsure", "map", "map_scale", *rates)
    found = [calibration.limits(product) for product in products]
    return [{name: getattr(limits, name) for name in names} for limits in found]


def setters_json(calibration: Calibration, pictures: Iterable[Picture]) -> list[dict[str, Any]]:
    """The good images that each product's limit rests on, those that stand far first, for JSON.

    ``id`` is that of the kept picture with the same content, where there is one to be shown.
    """
    kept = {picture.digest[:12]: picture.id for picture in pictures}
    found = [setters for setters in limit_setters(calibration) if setters.names]
    return [
        {
            "product": setters.product,
            "images": [
                {"image": image, "name": image_name(image), "id": kept.get(same_image(image))}
                for image in setters.images
                if image
            ],
            "far": setters.far,
            "times": setters.times if math.isfinite(setters.times) else None,
        }
        for setters in sorted(found, key=lambda setters: -setters.times)
    ]


def comparison(
    before: Calibration | None, after: Calibration, pictures: Iterable[Picture], model: ServedModel
) -> dict[str, Any]:
    """What new limits would change: the limits, and the verdicts of everything judged so far."""
    verdicts: dict[str, Counter[str]] = {"before": Counter(), "after": Counter()}
    marked = {mark: Counter[str]() for mark in ("good", "defect")}
    changed = []
    for picture in pictures:
        old = "none" if before is None else picture.judged_by(before).verdict
        new = picture.judged_by(after).verdict
        verdicts["before"][old] += 1
        verdicts["after"][new] += 1
        if old != new:
            changed.append({"id": picture.id, "before": old, "after": new})
        if picture.mark:
            marked[picture.mark]["total"] += 1
            marked[picture.mark]["stopped_before"] += old == "defect"
            marked[picture.mark]["stopped_after"] += new == "defect"
    return {
        "before": None if before is None else limits_json(before),
        "after": limits_json(after),
        "verdicts": {when: dict(counts) for when, counts in verdicts.items()},
        "marked": {mark: dict(counts) for mark, counts in marked.items()},
        "changed": changed,
        "notes": model.notes(after),
    }
