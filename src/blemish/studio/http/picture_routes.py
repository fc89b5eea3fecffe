"""REST routes for the project's pictures: given, shown, marked, drawn on."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from blemish.data.images.reading import read_header
from blemish.errors import BlemishError
from blemish.serving.http.history_routes import Longest, Pixels
from blemish.serving.http.uploads import Body
from blemish.serving.limits import Admission, RefusalError
from blemish.serving.viewport import Box
from blemish.studio.audit import acting
from blemish.studio.intake import Taken, place_of
from blemish.studio.pictures import Role, check_product, outline_of, write_outline
from blemish.studio.regions import DrawnRegion, read_region, write_region
from blemish.studio.studio import Studio

Path_ = Annotated[str, Query(max_length=400, description="as the list of pictures has it")]
Points = list[tuple[float, float]]
Version = Annotated[str, Query(max_length=80, description="of the file, as that list has it")]


class Paths(BaseModel):
    """Some pictures."""

    paths: list[str] = Field(min_length=1, max_length=20_000)


class MarkOrder(Paths):
    """What a person says of them."""

    mark: Literal["good", "defect", "unsorted", "leave_out", "take_back"]
    kind: str = Field("", max_length=60, description="of defect")


class ProductOrder(Paths):
    """Which product they show."""

    product: str = Field(min_length=1, max_length=60)


class Outline(BaseModel):
    """Where the defects of a picture are: polygons in its pixels."""

    shapes: list[Annotated[Points, Field(min_length=3, max_length=2000)]] = Field(max_length=200)


def _cached(version: str) -> dict[str, str]:
    """Another picture may come under the same path: only who names the version keeps it."""
    return {"Cache-Control": "private, max-age=3600" if version else "no-store"}


def picture_routes(studio: Studio, admission: Admission) -> APIRouter:
    """The routes for pictures."""
    router = APIRouter(prefix="/v1/studio", tags=["pictures"])
    pictures = studio.pictures

    @router.get("/pictures", summary="All pictures of the project")
    def listing() -> dict[str, Any]:
        gone = set(pictures.left_out())
        return {
            "products": pictures.products(),
            "pictures": [[p.path, p.called in gone, p.outlined, p.version] for p in pictures.all()],
            "regions": [path.stem for path in (studio.folder / "regions").glob("[!.]*.json")],
        }

    @router.post("/pictures", response_model=Taken, summary="Give one picture, its bytes as body")
    async def take(
        request: Request, path: Path_, product: str = "", role: Role | None = None
    ) -> Taken:
        place = place_of(path)
        if place.masks:
            raise RefusalError(
                422,
                "mask",
                f"{place.because} holds masks and no pictures; outline defects on the page.",
            )
        with Body(request, studio.limits, admission) as body:
            [upload] = await body.uploads(path)
            return await run_in_threadpool(
                lambda: studio.intake.take(path, upload.content, product=product or None, role=role)
            )

    @router.get("/thumbnail", summary="A picture, small")
    def small(path: Path_, v: Version = "") -> Response:
        content = studio.thumbnails.of(pictures.file(path))
        return Response(content, media_type="image/jpeg", headers=_cached(v))

    @router.get("/picture", summary="A picture at its own size")
    def shown(path: Path_, v: Version = "") -> Response:
        content, kind = studio.thumbnails.shown(pictures.file(path))
        return Response(content, media_type=kind, headers=_cached(v))

    @router.get("/piece", summary="A piece of a picture, as large as it is to be seen")
    def piece(
        path: Path_,
        left: Pixels,
        top: Pixels,
        width: Pixels,
        height: Pixels,
        longest: Longest = 1600,
        v: Version = "",
    ) -> Response:
        box = Box(left, top, width, height)
        content = studio.thumbnails.piece(pictures.file(path), box, longest=longest)
        return Response(content, media_type="image/jpeg", headers=_cached(v))

    @router.get("/find", summary="Where the picture of a product and name is")
    def find(product: str, name: str) -> dict[str, str]:
        path = pictures.has(check_product(product), name) if "/" not in name else None
        if path is None:
            raise RefusalError(404, "no_such_picture", f"{name[:200]} is not in the project.")
        return {"path": path}

    @router.get("/called", summary="Where the picture of a product and name is, small")
    def called(product: str, name: str) -> Response:
        return small(find(product, name)["path"])

    @router.put("/marks", summary="Good, defect, unsorted; left out of learning or taken back")
    def mark(order: MarkOrder) -> dict[str, list[str]]:
        if order.mark in ("leave_out", "take_back"):
            if acting.get().role != "engineer":
                raise RefusalError(
                    403, "engineer_needed", "What is learned from is decided by an engineer."
                )
            pictures.leave_out(order.paths, leave=order.mark == "leave_out")
            paths = order.paths
        else:
            paths = pictures.mark(order.paths, order.mark, order.kind)  # type: ignore[arg-type]
        studio.events.publish("pictures")
        return {"paths": paths}

    @router.put("/product", summary="Say which product pictures show")
    def give_product(order: ProductOrder) -> dict[str, list[str]]:
        paths = studio.intake.give_product(order.paths, order.product)
        studio.events.publish("pictures")
        return {"paths": paths}

    @router.post("/pictures/remove", summary="Move pictures out of the project, into removed/")
    def remove(order: Paths) -> dict[str, int]:
        count = pictures.remove(order.paths)
        studio.events.publish("pictures")
        studio.audit.note("pictures removed", ", ".join(order.paths[:3]), "", str(count))
        return {"removed": count}

    @router.get("/checks", summary="What a look into all pictures finds")
    def checks() -> dict[str, list[str]]:
        from blemish._progress import grouped
        from blemish.data.describe import describe
        from blemish.data.layouts import read_data_set

        try:
            description = describe(read_data_set(pictures.folder))
        except BlemishError as error:
            return {"found": [str(error)]}
        return {"found": grouped(description.problems)}

    @router.get("/outline", summary="The outlines of defects in a picture")
    def outline(path: Path_) -> dict[str, Any]:
        file = pictures.file(path)
        height, width = read_header(file, max_pixels=studio.limits.pixels).size
        shapes: list[Any] = []
        if outline_of(file).is_file():
            content = json.loads(outline_of(file).read_text("utf-8"))
            shapes = [shape["points"] for shape in content.get("shapes", ())]
        return {"size": [height, width], "shapes": shapes}

    @router.put("/outline", summary="Outline the defects of a picture anew")
    def draw(path: Path_, outline: Outline) -> dict[str, bool]:
        file = pictures.file(path)
        if path.split("/")[1] != "defect":
            raise RefusalError(409, "no_defect", "Mark it as defect before you outline it.")
        size = read_header(file, max_pixels=studio.limits.pixels).size
        write_outline(file, size, outline.shapes)
        studio.events.publish("pictures")
        return {"outlined": bool(outline.shapes)}

    @router.get("/regions/{product}", summary="What is looked at in pictures of a product")
    def region(product: str) -> DrawnRegion | None:
        return read_region(studio.folder, check_product(product))

    @router.put("/regions/{product}", summary="Say what is looked at; without shapes: everything")
    def draw_region(product: str, region: DrawnRegion) -> dict[str, bool]:
        product = check_product(product)
        write_region(studio.folder, product, region)
        after = f"{len(region.look)} to look at, {len(region.ignore)} ignored"
        studio.audit.note("region drawn", product, "", after)
        return {"drawn": bool(region.look or region.ignore)}

    return router
