"""REST routes for programs: ``/v1/predict``, ``/v1/model`` and the calibrations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError

from blemish import __version__
from blemish.serving.http.answers import (
    PredictAnswer,
    VersionAnswer,
    version_answer,
)
from blemish.serving.http.predict_answer import predict_answer
from blemish.serving.http.uploads import Body, safe_name
from blemish.serving.limits import RefusalError
from blemish.serving.order import Judged, Order
from blemish.serving.service import InspectionService

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        "image/*": _BINARY,
        "application/octet-stream": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        },
    },
}


class _OrderRoute(APIRoute):
    """A route whose query is an order: described by FastAPI, and read without it.

    Its search for arguments takes as long as reading the request does.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            try:
                order = Order.model_validate(dict(request.query_params))
            except ValidationError as error:
                raise RequestValidationError(
                    [{**each, "loc": ("query", *each["loc"])} for each in error.errors()]
                ) from error
            answer: Response = await self.endpoint(request, order)
            return answer

        return handle


def predict_routes(service: InspectionService) -> APIRouter:
    """The routes for programs."""
    router = APIRouter(tags=["predict"])

    async def predict(request: Request, order: Annotated[Order, Query()]) -> Response:
        """Judge images: multipart form data with any field names, or the bytes of one image.

        Images of one request are judged independently: one that cannot be read has an `error`
        of its own. The status is 200 if any was judged, else that of the first error. With
        `Accept: image/png` the answer to one image is the picture of its map.
        """
        png = request.headers.get("accept", "").strip().lower().startswith("image/png")
        if png and order.map is None:
            order = order.model_copy(update={"map": "overlay"})
        if order.part:  # it goes into files and to the line
            order = order.model_copy(update={"part": safe_name(order.part)})
        order = service.check_order(order)
        with Body(request, service.limits, service.admission) as body:
            uploads = await body.uploads(order.name)
            if png and len(uploads) > 1:
                raise RefusalError(
                    422, "one_image", "Accept: image/png is for one image; ask for JSON."
                )
            views = max(order.views or 1, len(uploads))
            items = await service.judge(uploads, order.model_copy(update={"views": views}))
        first = next((item for item in items if isinstance(item, Judged)), None)
        if first is None:
            # Out of the list: what is raised holds this function, and with it the images sent.
            raise items.pop(0).refusal  # type: ignore[union-attr]  # none of them was judged
        found = None
        if order.part:
            found = await asyncio.to_thread(service.parts.add, order.part, items, views=views)
        if png and first.map_png is not None:
            return Response(
                first.map_png,
                media_type="image/png",
                headers={
                    "X-Blemish-Verdict": str(first.prediction.verdict),
                    "X-Blemish-Score": repr(first.prediction.score),
                },
            )
        answer = predict_answer(service, items, found)
        return Response(answer.model_dump_json(), media_type="application/json")

    router.add_api_route(
        "/v1/predict",
        predict,
        methods=["POST"],
        route_class_override=_OrderRoute,
        response_model=PredictAnswer,
        responses={200: {"content": {"image/png": _BINARY}}},
        openapi_extra={"requestBody": _BODY},
        summary="Judge one or several images",
    )

    @router.get("/v1/model", summary="The model, its limits and the server's bounds")
    async def model() -> JSONResponse:
        active = service.versions.active
        served = service.model
        return JSONResponse(
            {
                "name": served.name,
                "identity": served.identity,
                "products": list(served.products),
                "facts": served.facts,
                "calibration": json.loads(
                    version_answer(active, served, active=True).model_dump_json()
                ),
                "bounds": {
                    name: getattr(service.limits, name)
                    for name in ("body_bytes", "pixels", "images", "queue", "keep_pictures")
                },
                "blemish": __version__,
            }
        )

    @router.get("/v1/calibrations", response_model=list[VersionAnswer], summary="All calibrations")
    def calibrations() -> list[VersionAnswer]:
        active, model = service.versions.active.version, service.model
        known = service.versions.all()
        return [version_answer(v, model, active=v.version == active) for v in known]

    @router.get("/v1/calibrations/{version}", summary="One calibration with its scores")
    def calibration(version: int) -> JSONResponse:
        found = service.versions.get(version)
        return JSONResponse(None if found.calibration is None else found.calibration.to_json())

    return router
