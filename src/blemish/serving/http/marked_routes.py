"""REST routes of what people marked: how often the limits agree, and the pictures as a folder."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from blemish.data.images.image_list import is_image_name
from blemish.data.layouts.roles import folder_role
from blemish.errors import MissingExtraError
from blemish.metrics.intervals import binomial_interval
from blemish.serving.history.pictures import Picture
from blemish.serving.limits import RefusalError
from blemish.serving.service import InspectionService

_MIB = 2**20
_KINDS = ("kind", "defects")
#: What files begin with, for pictures whose names say nothing.
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp", b"RIFF": ".webp"}


def marked_routes(service: InspectionService) -> APIRouter:
    """Statistics of the marks, and the marked pictures for the next training."""
    router = APIRouter(prefix="/v1", tags=["history"])
    pictures, versions = service.pictures, service.versions

    @router.get("/marked", summary="Of marked pictures: defects found and false alarms, 95 %")
    def marked() -> list[dict[str, Any]]:
        calibration = versions.active.calibration
        found: dict[str, list[tuple[str, bool]]] = {}
        for picture in pictures.all():
            if picture.mark and calibration is not None:
                stopped = picture.judged_by(calibration).verdict == "defect"
                found.setdefault(picture.product or "", []).append((picture.mark, stopped))
        return [
            {
                "product": product,
                "found": _share([stopped for mark, stopped in some if mark == "defect"]),
                "false_alarms": _share([stopped for mark, stopped in some if mark == "good"]),
            }
            for product, some in sorted(found.items())
        ]

    @router.get("/marked.zip", summary="Marked pictures as folders that `blemish fit` reads")
    def folder() -> StreamingResponse:
        chosen = [picture for picture in pictures.all() if picture.mark]
        if not chosen:
            raise RefusalError(409, "nothing_marked", "No picture is marked as good or as defect.")
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the last byte has gone
        with zipfile.ZipFile(file, "w") as archive:  # stored: pictures are compressed already
            for picture in reversed(chosen):
                content = pictures.contents(picture.id, "source")
                archive.writestr(_place(picture, content), content)
        file.seek(0)
        return StreamingResponse(
            _chunks(file),
            media_type="application/zip",
            headers={"Content-Disposition": 'attachment; filename="blemish-marked.zip"'},
        )

    return router


def _share(stopped: list[bool]) -> dict[str, Any]:
    """So many of so many, with the interval in which the true share lies."""
    count, total = sum(stopped), len(stopped)
    found: dict[str, Any] = {"count": count, "of": total, "low": None, "high": None}
    if total:
        with suppress(MissingExtraError):  # SciPy is no part of what a line PC needs
            _, found["low"], found["high"] = binomial_interval(count, total)
    return found


def _place(picture: Picture, content: bytes) -> str:
    """Its path in the archive: good ones to learn from, defects to measure by."""
    product = re.sub(r"[^\w .+-]", "_", picture.product or "part").strip(". ") or "part"
    name = PurePosixPath(picture.name).name or "picture"
    if not is_image_name(name):
        suffixes = (suffix for begin, suffix in _SUFFIXES.items() if content.startswith(begin))
        name += next(suffixes, ".tif")
    said = re.sub(r"[^\w +-]", "_", picture.kind).strip()
    # A folder called "ok" or "masks" would be read as something else.
    kinds = (k for k in (said, f"defect {said}") if said and folder_role(k).what in _KINDS)
    side = "train/good" if picture.mark == "good" else f"test/{next(kinds, 'defect')}"
    return f"{product}/{side}/{picture.id:06d}-{re.sub(r'[^ .+0-9A-Za-z_-]', '_', name)}"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while content := file.read(_MIB):
            yield content
