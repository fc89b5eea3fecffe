"""REST routes of live inspection, and the events that every open page listens to."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from PIL import Image
from pydantic import BaseModel, Field

from blemish.calibration.parts import PartVerdict
from blemish.cameras.grabber import FrameLostError
from blemish.serving.drawing import heat_layer
from blemish.serving.http.answers import PredictAnswer
from blemish.serving.http.predict_answer import predict_answer
from blemish.serving.http.refusals import not_json
from blemish.serving.http.uploads import safe_name
from blemish.serving.limits import RefusalError
from blemish.serving.live import LiveInspection
from blemish.serving.order import Judged, NotJudged
from blemish.serving.service import InspectionService

_CACHED = {"Cache-Control": "private, max-age=600"}


class TriggerRequest(BaseModel):
    """Which part is there now."""

    part: str = Field("", max_length=120, description="as the line calls it; goes with the verdict")
    product: str | None = Field(None, max_length=200, description="null: as in /v1/predict")
    views: int | None = Field(
        None, ge=1, le=32, description="pictures of it: the next so many; null: one, of --views"
    )


def live_routes(service: InspectionService, live: LiveInspection | None) -> APIRouter:
    """The routes of a camera, where the server has one, and of events."""
    router = APIRouter(prefix="/v1", tags=["live"])

    @router.get(
        "/events",
        summary="Server-sent events: hello, picture, mark, removed, limits, live, counter, source",
        **not_json("text/event-stream"),
    )
    async def events() -> StreamingResponse:
        first = {"version": service.versions.active.version, "live": live is not None}
        return StreamingResponse(
            service.events.stream(json.dumps(first)),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def camera() -> LiveInspection:
        if live is None:
            raise RefusalError(
                409,
                "no_camera",
                "This model has no camera: start blemish serve with --source, or "
                "put it on the line in the studio.",
            )
        return live

    @router.get("/live", summary="How live inspection goes, and its last twenty pictures")
    def state() -> dict[str, Any]:
        return camera().state()

    @router.get(
        "/live/{number}/picture",
        summary="One of the last pictures, as JPEG",
        **not_json("image/jpeg"),
    )
    def picture(number: int) -> Response:
        file = io.BytesIO()
        Image.fromarray(camera().picture(number).pixels).save(file, "JPEG", quality=85)
        return Response(file.getvalue(), media_type="image/jpeg", headers=_CACHED)

    @router.get(
        "/live/{number}/heat",
        summary="Its anomaly map in colours, to lay over it",
        **not_json("image/png"),
    )
    def heat(number: int) -> Response:
        shown = camera().picture(number)
        layer = heat_layer(
            shown.map,
            shown.size,
            preprocessing=service.model.preprocessing,
            scale=service.calibrated().limits(shown.product).map_scale,
            product=shown.product,
            pose=shown.pose,
        )
        return Response(layer, media_type="image/png", headers=_CACHED)

    @router.post("/live/zero", summary="Count verdicts anew")
    def zero() -> dict[str, Any]:
        camera().from_zero()
        return camera().state()

    @router.post("/trigger", response_model=PredictAnswer, summary="Judge the next picture")
    async def trigger(request: TriggerRequest) -> PredictAnswer:
        product = service.check_product(request.product or None)
        part = safe_name(request.part) if request.part else ""
        items: list[Judged | NotJudged] = []
        found = None
        try:
            for _ in range(request.views or 1):
                item, found = await next_picture(part, product, request.views)
                items.append(item)
        except RefusalError:  # whoever calls once more means all of its pictures
            service.parts.forget(part)
            raise
        if not any(isinstance(item, Judged) for item in items):
            raise items.pop(0).refusal  # type: ignore[union-attr]  # none of them was judged
        return predict_answer(service, items, found)

    async def next_picture(
        part: str, product: str | None, views: int | None
    ) -> tuple[Judged | NotJudged, PartVerdict | None]:
        grabber = camera().grabber
        try:
            waiting = grabber.call(part, product, views)
            try:
                answer: tuple[Judged | NotJudged, PartVerdict | None] = await asyncio.wait_for(
                    asyncio.wrap_future(waiting), service.limits.answer_seconds
                )
            finally:
                grabber.withdraw(waiting)
        except FrameLostError as error:
            raise RefusalError(503, "no_picture", str(error)) from error
        except asyncio.TimeoutError:
            raise RefusalError(
                504,
                "no_picture",
                f"{grabber.camera.name} gave no picture within "
                f"{service.limits.answer_seconds:g} seconds (--timeout). {grabber.reason}".strip(),
            ) from None
        return answer

    return router
