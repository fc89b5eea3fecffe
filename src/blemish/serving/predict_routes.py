"""``/v1/predict`` and ``/v1/model``: what programs ask of a server."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from blemish import __version__
from blemish.serving.answers import (
    ErrorAnswer,
    PredictAnswer,
    VersionAnswer,
    prediction_answer,
    version_answer,
)
from blemish.serving.pictures import MapKind
from blemish.serving.refusals import RefusalError
from blemish.serving.service import InspectionService, Judged, Order
from blemish.serving.uploads import received

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
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The form data cannot be read"},
    401: {"model": ErrorAnswer, "description": "The token is missing or wrong"},
    408: {"model": ErrorAnswer, "description": "The request did not arrive in time"},
    413: {"model": ErrorAnswer, "description": "Too many bytes, pixels or images"},
    415: {"model": ErrorAnswer, "description": "Not an image"},
    422: {"model": ErrorAnswer, "description": "A damaged image, no image, or an unknown product"},
    503: {"model": ErrorAnswer, "description": "Busy; come again after Retry-After seconds"},
    504: {"model": ErrorAnswer, "description": "No answer in time"},
}


def predict_routes(service: InspectionService) -> APIRouter:
    """The routes for programs."""
    router = APIRouter(prefix="/v1", tags=["predict"])

    @router.post(
        "/predict",
        response_model=PredictAnswer,
        responses=REFUSALS,
        openapi_extra={"requestBody": _BODY},
        summary="Judge one or several images",
    )
    async def predict(
        request: Request,
        product: Annotated[str | None, Query(max_length=200)] = None,
        keep: Annotated[bool, Query(description="keep them in the history, for the page")] = False,
        map: Annotated[MapKind | None, Query(description="add a picture of the map")] = None,
        name: Annotated[str | None, Query(description="of a raw image")] = None,
    ) -> Response:
        """Judge images: multipart form data with any field names, or the bytes of one image.

        Images of one request are judged independently: one that cannot be read has an `error`
        of its own. The status is 200 if any was judged, else that of the first error. With
        `Accept: image/png` the answer to one image is the picture of its map.
        """
        order = service.check_order(Order(product or None, keep, _map_of(request, map)))
        async with received(request, service.limits, service.admission, name=name) as uploads:
            if _wants_png(request) and len(uploads) > 1:
                raise RefusalError(
                    422, "one_image", "Accept: image/png is for one image; ask for JSON."
                )
            items = await service.judge(uploads, order)
        active = service.versions.active
        results = [prediction_answer(item, active.calibration) for item in items]
        if all(result.status != 200 for result in results):
            raise items[0].refusal  # type: ignore[union-attr]  # none of them was judged
        first = items[0]
        if _wants_png(request) and isinstance(first, Judged) and first.map_png is not None:
            return Response(
                first.map_png,
                media_type="image/png",
                headers={
                    "X-Blemish-Verdict": str(first.prediction.verdict),
                    "X-Blemish-Score": repr(first.prediction.score),
                },
            )
        answer = PredictAnswer(
            model=service.model.name, calibration=active.version, results=results
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    @router.get("/model", summary="The model, its limits and the server's bounds")
    async def model() -> JSONResponse:
        active = service.versions.active
        served = service.model
        return JSONResponse(
            {
                "name": served.name,
                "identity": served.identity,
                "products": list(served.products),
                "facts": served.facts,
                "calibration": json.loads(version_answer(active, active=True).model_dump_json()),
                "bounds": {
                    name: getattr(service.limits, name)
                    for name in ("body_bytes", "pixels", "images", "queue", "keep_pictures")
                },
                "blemish": __version__,
            }
        )

    @router.get("/calibrations", response_model=list[VersionAnswer], summary="All calibrations")
    def calibrations() -> list[VersionAnswer]:
        active = service.versions.active.version
        return [version_answer(v, active=v.version == active) for v in service.versions.all()]

    @router.get("/calibrations/{version}", summary="One calibration with its scores")
    def calibration(version: int) -> JSONResponse:
        found = service.versions.get(version)
        return JSONResponse(None if found.calibration is None else found.calibration.to_json())

    return router


def _wants_png(request: Request) -> bool:
    return request.headers.get("accept", "").strip().lower().startswith("image/png")


def _map_of(request: Request, asked: MapKind | None) -> MapKind | None:
    return "overlay" if asked is None and _wants_png(request) else asked
