"""Regions of interest of a project: one file per product, as ``--roi`` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from blemish._files import atomic_write
from blemish.data.images.roi_source import region_of_interest
from blemish.errors import BlemishError
from blemish.serving.limits import RefusalError


class Polygon(BaseModel):
    """A shape in pixels of the pictures."""

    polygon: Annotated[list[tuple[float, float]], Field(min_length=3, max_length=2000)]


class DrawnRegion(BaseModel):
    """What is looked at, and what of it is ignored."""

    width: int = Field(gt=0, le=100_000)
    height: int = Field(gt=0, le=100_000)
    look: list[Polygon] = Field([], max_length=200)
    ignore: list[Polygon] = Field([], max_length=200)


def read_region(project: Path, product: str) -> DrawnRegion | None:
    """The region of a product, where one is drawn; refused (409) where it was made elsewhere."""
    path = _file(project, product)
    if not path.is_file():
        return None
    try:
        return DrawnRegion.model_validate_json(path.read_text("utf-8"))
    except ValueError as error:
        raise RefusalError(
            409, "foreign_region", f"{path.name} was not drawn here: change it where it was made."
        ) from error


def write_region(project: Path, product: str, region: DrawnRegion) -> None:
    """Write a region, or take it away where nothing is drawn; refused (422) where it is empty."""
    path = _file(project, product)
    if not region.look and not region.ignore:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    content: dict[str, object] = {"width": region.width, "height": region.height}
    shapes = {"look": region.look, "ignore": region.ignore}
    content |= {name: [s.model_dump() for s in drawn] for name, drawn in shapes.items() if drawn}
    tried = path.with_name(f".{product}.json")
    tried.write_text(json.dumps(content), "utf-8")
    try:
        region_of_interest(tried)
    except BlemishError as error:
        said = str(error).removeprefix(str(tried)).strip()
        raise RefusalError(422, "bad_region", f"This region cannot be used: {said}") from error
    finally:
        tried.unlink()
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def _file(project: Path, product: str) -> Path:
    return project / "regions" / f"{product}.json"
