"""Message: one verdict as other systems receive it, JSON of a documented schema."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import datetime, timezone
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from blemish.calibration.parts import PartVerdict
from blemish.results import Prediction, Verdict

#: Largest side of the picture that goes along, pixels.
_OVERLAY = 1024


class SentRegion(BaseModel):
    """A marked area, in pixels of the source picture."""

    box: tuple[int, int, int, int] = Field(description="left, top, right, bottom; the last two out")
    area: int
    peak: float | None
    times_limit: float | None = None


class SentBranch(BaseModel):
    """What one branch of the method says."""

    score: float | None
    p_value: float | None = None
    verdict: Literal["ok", "unsure", "defect"] | None = None
    times_limit: float | None = None


class SentPose(BaseModel):
    """How the part lay, of a model that aligns pictures before it judges them."""

    aligned: bool = Field(description="false: judged as it lies, and at best unsure")
    angle: float = Field(description="degrees about the picture's middle, clockwise")
    right: float = Field(description="shift after that, as a share of the width")
    down: float = Field(description="the same of the height")
    quality: float = Field(description="correlation with the reference once both are undone")
    limit: float = Field(description="the least quality that good pictures call for")
    box: tuple[int, int, int, int] | None = Field(
        default=None, description="top, left, height, width of the part where pictures are cropped"
    )


class Message(BaseModel):
    """One verdict: of a picture, or of a part of several views.

    The same picture judged again by the same model and limits has the same ``id``: a receiver that
    keeps the ids it has seen gets every verdict exactly once, though it may be sent twice.

    Example:
        >>> import numpy as np
        >>> from blemish.delivery.message import message_of
        >>> from blemish.results import Prediction
        >>> found = Prediction(None, "nut", 3.5, np.zeros((4, 4), np.float32), verdict="defect")
        >>> message_of(found, "line3.blemish").verdict
        'defect'
    """

    model_config = ConfigDict(title="blemish verdict", extra="forbid")

    version: Literal[1] = Field(default=1, description="of this schema")
    id: str = Field(description="the same for the same verdict, sent once or twice")
    time: str = Field(description="when it was judged, ISO 8601 in UTC")
    model: str = Field(description="name of the model file")
    path: str | None = Field(description="the picture's file, where it has one")
    part: str | None = Field(default=None, description="which part, as the line calls it")
    views: int | None = Field(
        default=None,
        description="that it is the verdict of the part, and of how many pictures; "
        "null: of one picture alone",
    )
    taken: str | None = Field(default=None, description="when a camera took it, ISO 8601 in UTC")
    product: str | None
    recognised: str | None = Field(default=None, description="as the model takes it")
    rival: str | None = None
    verdict: Literal["ok", "unsure", "defect"] | None
    score: float | None
    p_value: float | None
    times_limit: float | None
    branches: dict[str, SentBranch]
    regions: list[SentRegion]
    explanation: dict[str, Any] | None = None
    calibration: str | None = Field(default=None, description="version of the limits")
    pose: SentPose | None = None
    notes: list[str] = []
    alarm: str | None = Field(
        default=None, description="instead of a verdict: that something has changed, in a sentence"
    )
    left_out: int = Field(
        default=0, description="verdicts that the target's least time apart kept back before this"
    )
    overlay: str | None = Field(
        default=None, description="the picture with heat map and boxes, JPEG in base64"
    )


def message_of(
    prediction: Prediction,
    model: str,
    *,
    part: str | None = None,
    views: int | None = None,
    taken: float | None = None,
) -> Message:
    """A prediction as a message; ``model`` is the model file's name, ``taken`` in epoch seconds.

    ``views`` is how many pictures its part has: the verdict of an only one is that of the part.
    """
    when = None if taken is None else datetime.fromtimestamp(taken, timezone.utc)
    return Message(
        id=_identity(prediction, model, part),
        time=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        model=model,
        part=part,
        views=1 if views == 1 else None,
        taken=None if when is None else when.isoformat(timespec="milliseconds"),
        **prediction.to_dict(),
    )


def part_message(found: PartVerdict, model: str) -> Message:
    """The verdict of a part as a message; its pictures have theirs, with marked areas."""
    scores = (repr(view.score and float(view.score)) for view in found.pictures)
    names = (view.name for view in found.pictures)
    return Message(
        id=_digest(model, "part", found.part, str(found.calibration), *names, *scores),
        part=found.part,
        views=found.views,
        p_value=found.p_value,
        calibration=found.calibration,
        notes=[f"{found.unseen} of {found.views} views were not judged."] if found.unseen else [],
        **_without_picture(model, found.product, found.verdict),
    )


def alarm_of(product: str | None, sentence: str, model: str) -> Message:
    """An alarm as a message without verdict."""
    plain = _without_picture(model, product, None)
    return Message(
        id=_digest(model, sentence, plain["time"]), p_value=None, alarm=sentence, **plain
    )


def _without_picture(model: str, product: str | None, verdict: Verdict | None) -> dict[str, Any]:
    """The fields of a message that is of no picture."""
    nothing = dict.fromkeys(("path", "score", "times_limit"))
    time = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    said = {"time": time, "model": model, "product": product, "verdict": verdict}
    return {**nothing, **said, "branches": {}, "regions": []}


def packed(picture: Image.Image) -> str:
    """A picture as JPEG in base64, its longer side 1,024 pixels at most."""
    picture.thumbnail((_OVERLAY, _OVERLAY))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=88)
    return base64.b64encode(content.getvalue()).decode("ascii")


def _identity(prediction: Prediction, model: str, part: str | None) -> str:
    """Of the file as it is now, the model's name and its limits: not of when it was judged."""
    parts = [model, str(prediction.calibration), str(prediction.product), repr(prediction.score)]
    if prediction.path is not None:
        parts.append(str(prediction.path))
        try:
            stat = prediction.path.stat()
            parts += [str(stat.st_mtime_ns), str(stat.st_size)]
        except OSError:  # moved since: its name and score are what is left to know it by
            pass
    else:
        parts.append(hashlib.sha256(prediction.anomaly_map.tobytes()).hexdigest())
    # A client may call all its pictures the same.
    return _digest(*parts, *([] if part is None else [part]))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]
