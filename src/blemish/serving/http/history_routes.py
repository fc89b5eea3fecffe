"""REST routes for the page: kept pictures, marks, new limits, and the way back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from blemish.calibration import Calibration, How, calibrate
from blemish.calibration.limit_setters import image_name
from blemish.errors import CalibrationError
from blemish.inspection.learned_images import records_not_learned
from blemish.serving.drawing import heat_layer, unpack_map
from blemish.serving.history.pictures import marked_records
from blemish.serving.history.versions import without
from blemish.serving.http.answers import (
    ActivateRequest,
    DetailAnswer,
    MarkRequest,
    PictureAnswer,
    ProductRequest,
    RecalibrationRequest,
    RemarkRequest,
    RemoveRequest,
    VersionAnswer,
    comparison,
    detail_answer,
    limits_json,
    picture_answer,
    setters_json,
    version_answer,
)
from blemish.serving.http.refusals import not_json
from blemish.serving.limits import RefusalError
from blemish.serving.regions import check_same_region
from blemish.serving.service import InspectionService
from blemish.serving.viewport import MOST, Box

Rate = Annotated[float | None, Query(gt=0, le=0.5, description="judge at this rate instead")]
Pixels = Annotated[int, Query(ge=0, lt=2**31, description="pixels of the picture")]
Longest = Annotated[int, Query(ge=1, le=MOST, description="pixels of its longer side at most")]
LeaveOut = Annotated[Sequence[str], Query(max_length=1000, description="as in the POST")]
#: Pictures never change under their number, but they can be removed.
_CACHED = {"Cache-Control": "private, max-age=3600"}


def history_routes(service: InspectionService) -> APIRouter:
    """The routes for the page."""
    router = APIRouter(prefix="/v1", tags=["history"])
    pictures, versions = service.pictures, service.versions

    def at(rate: float | None) -> Calibration | None:
        calibration = versions.active.calibration
        return None if calibration is None else at_rate(calibration, rate)

    @router.get("/history", summary="Everything kept, judged by the limits in force or at a rate")
    def history(false_alarm_rate: Rate = None) -> dict[str, Any]:
        active, calibration, kept = versions.active, at(false_alarm_rate), pictures.all()
        return {
            "calibration": version_answer(active, service.model, active=True),
            "judged_by": None
            if calibration is None
            else {
                "false_alarm_rate": calibration.false_alarm_rate,
                "unsure_rate": calibration.unsure_rate,
                "preview": calibration is not active.calibration,
                "limits": limits_json(calibration),
                "good_scores": {group.product or "": group.scores for group in calibration.groups},
                "setters": setters_json(calibration, kept),
                "notes": service.model.notes(calibration),
            },
            "pictures": [picture_answer(p, calibration) for p in kept],
        }

    @router.get("/history.csv", summary="Everything kept, as CSV", **not_json("text/csv"))
    def history_csv(false_alarm_rate: Rate = None) -> StreamingResponse:
        return StreamingResponse(
            _csv(service, at(false_alarm_rate), versions.active.version),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="blemish-history.csv"'},
        )

    @router.post("/history/remove", summary="Forget pictures")
    def remove(request: RemoveRequest) -> dict[str, int]:
        return {"removed": pictures.remove(request.ids)}

    @router.get("/pictures/{key}", response_model=DetailAnswer, summary="One kept picture")
    def detail(key: int, false_alarm_rate: Rate = None) -> DetailAnswer:
        picture, calibration = pictures.get(key), at(false_alarm_rate)
        return detail_answer(picture, service.again(picture, calibration))

    @router.get(
        "/pictures/{key}/source",
        summary="The picture, at its own size",
        **not_json("image/*"),
    )
    def source(key: int) -> Response:
        content, kind = service.shown(pictures.get(key))
        return Response(content, media_type=kind, headers=_CACHED)

    @router.get(
        "/pictures/{key}/piece",
        summary="A piece of the picture, as large as it is to be seen",
        **not_json("image/jpeg"),
    )
    def piece(
        key: int, left: Pixels, top: Pixels, width: Pixels, height: Pixels, longest: Longest = 1600
    ) -> Response:
        box = Box(left, top, width, height)
        content = service.piece(pictures.get(key), box, longest=longest)
        return Response(content, media_type="image/jpeg", headers=_CACHED)

    @router.get("/pictures/{key}/thumbnail", summary="The picture, small", **not_json("image/jpeg"))
    def small(key: int) -> Response:
        content = pictures.contents(key, "thumbnail")
        return Response(content, media_type="image/jpeg", headers=_CACHED)

    @router.get(
        "/pictures/{key}/heat",
        summary="Its anomaly map in colours, to lay over it",
        **not_json("image/png"),
    )
    def heat(key: int, false_alarm_rate: Rate = None) -> Response:
        picture = pictures.get(key)
        calibration = at_rate(service.calibrated(), false_alarm_rate)
        layer = heat_layer(
            unpack_map(pictures.contents(key, "map")),
            picture.size,
            preprocessing=service.model.preprocessing,
            scale=calibration.limits(picture.product).map_scale,
            product=picture.product,
            pose=picture.pose,
        )
        return Response(layer, media_type="image/png", headers=_CACHED)

    @router.put("/pictures/{key}/mark", response_model=PictureAnswer, summary="Good or defect")
    def mark(key: int, request: MarkRequest) -> PictureAnswer:
        return picture_answer(pictures.set_mark(key, request.mark), versions.active.calibration)

    @router.put("/pictures/{key}/remark", summary="Its kind of defect, and a note")
    def remark(key: int, request: RemarkRequest) -> PictureAnswer:
        picture = pictures.remark(key, request.kind.strip(), request.note.strip())
        return picture_answer(picture, versions.active.calibration)

    @router.put(
        "/pictures/{key}/product",
        response_model=PictureAnswer,
        summary="Say which product it shows, and have it judged again by that one's limits",
    )
    def product(key: int, request: ProductRequest) -> PictureAnswer:
        active = versions.active
        said = service.check_product(request.product)
        check_same_region(service.model.preprocessing, pictures.get(key), said)
        picture = pictures.judge_as(key, said, active.calibration, active.version)
        return picture_answer(picture, active.calibration)

    def proposed(
        how: How | None, rate: float | None, leave_out: list[str]
    ) -> tuple[Calibration, str]:
        """New limits, and the marked pictures that they follow from, in words."""
        active = versions.active.calibration
        if leave_out and how is not None:
            raise RefusalError(
                422, "two_ways", f"Found leave_out and how={how}; expected one of them at a time."
            )
        try:
            if how is None:
                return at_rate(without(service.calibrated(), leave_out), rate), ""
            # From the model's own pictures and never from the last calibration: a picture counts
            # once, however often one recalibrates, and a mark taken back is gone with the next.
            base = versions.base()
            records = marked = marked_records(pictures.all(), how, base)
            if how != "exclude":
                records = records_not_learned(marked, service.model.learned_images, base)
            made = calibrate(
                records,
                current=base,
                how=how,
                false_alarm_rate=None if active is None else active.false_alarm_rate,
                unsure_rate=None if active is None else active.unsure_rate,
                estimate=None if active is None else active.estimate,
            )
        except CalibrationError as error:
            raise RefusalError(409, "cannot_recalibrate", str(error)) from error
        few = f"{len(records)} marked picture{'' if len(records) == 1 else 's'}"
        if len(records) < len(marked):
            few += f" ({len(marked) - len(records)} more trained the model and set no limit)"
        return at_rate(made, rate), few

    @router.get("/recalibration", summary="What new limits would change; changes nothing")
    def preview(
        how: How | None = None, false_alarm_rate: Rate = None, leave_out: LeaveOut = ()
    ) -> dict[str, Any]:
        active = versions.active
        after, _ = proposed(how, false_alarm_rate, list(leave_out))
        return {
            "version": active.version,
            **comparison(active.calibration, after, pictures.all(), service.model),
        }

    @router.post("/recalibration", response_model=VersionAnswer, summary="Put new limits in force")
    def recalibrate(request: RecalibrationRequest) -> VersionAnswer:
        gone = request.leave_out
        calibration, few = proposed(request.how, request.false_alarm_rate, gone)
        note = {
            None: "same good images",
            "join": f"{few} beside the model's own,",
            "replace": f"{few} instead of the model's,",
            "exclude": f"{few} left out of the model's,",
        }[request.how]
        if gone:
            note = f"{', '.join(map(image_name, gone))} left out of the good pictures,"
        note += f" at {100 * calibration.false_alarm_rate:.4g} %"
        version = versions.put(
            calibration,
            source="marks" if request.how or gone else "rate",
            note=note,
            expected=request.expected,
            left_out=gone,
        )
        return version_answer(version, service.model, active=True)

    @router.post(
        "/calibrations/write",
        response_model=VersionAnswer,
        summary="Write the limits in force into the model's file",
    )
    def write(expected: Annotated[int, Query(description="the version meant")]) -> VersionAnswer:
        active = versions.check(expected)
        service.model.write_limits(active.calibration)
        versions.written(active)
        return version_answer(active, service.model, active=True)

    @router.post("/calibrations/activate", response_model=VersionAnswer, summary="Undo, or go back")
    def activate(request: ActivateRequest) -> VersionAnswer:
        if request.version is None:
            version = versions.undo(expected=request.expected)
        else:
            version = versions.activate(request.version, expected=request.expected)
        return version_answer(version, service.model, active=True)

    return router


def at_rate(calibration: Calibration, false_alarm_rate: float | None) -> Calibration:
    """The same good images at another rate; the same calibration where it is the rate it has."""
    if false_alarm_rate in (None, calibration.false_alarm_rate):
        return calibration
    return calibration.at(false_alarm_rate=false_alarm_rate)


def _csv(
    service: InspectionService, calibration: Calibration | None, version: int
) -> Iterator[str]:
    kept = service.pictures.all()
    branches = list(dict.fromkeys(name for picture in kept for name in picture.branches))
    columns = ["id", "name", "product", "recognised", "rival", "judged"]
    columns += ["verdict", "score", "p_value", "times_limit", "mark", "kind", "note"]
    columns += [f"branch_{name}" for name in branches]
    columns += ["calibration", "false_alarm_rate", "verdict_then", "calibration_then"]
    columns += ["height", "width", "sha256"]
    yield _line(columns)
    rate = None if calibration is None else calibration.false_alarm_rate
    for picture in kept:
        answer = picture_answer(picture, calibration)
        yield _line(
            [
                *(picture.id, _cell(picture.name), picture.product, picture.recognised),
                *(answer.rival, picture.judged),
                *(answer.verdict, picture.score, answer.p_value),
                *(answer.times_limit, picture.mark, _cell(picture.kind), _cell(picture.note)),
                *(picture.branches.get(name) for name in branches),
                *(version, rate, picture.verdict, picture.version),
                *(*picture.size, picture.digest),
            ]
        )


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def _line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(
        ["" if value is None else value for value in values]
    )
    return line.getvalue()
