"""REST routes of the line: which models look at a camera and tell others, and how it goes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter

from blemish.errors import BlemishError
from blemish.studio.audit import acting
from blemish.studio.line import LineOrder, line_state
from blemish.studio.studio import Studio


def line_routes(studio: Studio) -> APIRouter:
    """The routes of the line."""
    router = APIRouter(prefix="/v1/studio/lines", tags=["line"])
    inspections, here = studio.inspections, quote(f"{studio.folder / 'verdicts'}/")

    @router.get("", summary="The models on the line, and how each goes")
    def listing() -> list[dict[str, Any]]:
        return [state_of(name) for name in inspections.lines.names()]

    @router.put("/{name}", summary="Have a model look at a camera and tell others")
    async def put(name: str, order: LineOrder) -> dict[str, Any]:
        await inspections.put_on_line(name, order)
        studio.events.publish("lines")
        return state_of(name)

    @router.delete("/{name}", summary="Take a model off the line")
    async def remove(name: str) -> dict[str, str]:
        await inspections.put_on_line(name, None)
        studio.events.publish("lines")
        return {"name": name}

    def state_of(name: str) -> dict[str, Any]:
        running, problem = inspections.on_the_line(name), inspections.problems.get(name, "")
        order = None
        try:
            order = inspections.lines.get(name)
        except BlemishError as error:
            problem = str(error)
        live = line_state(None if running is None else running.live)
        couriers = None if running is None else running.couriers
        waiting = {} if couriers is None else couriers.waiting()
        return {
            "name": name,
            "shown": "" if order is None else order.shown,
            "problem": problem,
            "live": live or None,
            "waiting": {name.replace(here, ""): count for name, count in waiting.items()},
            # Passwords may stand in it: operators see what is shown.
            "order": order if acting.get().role == "engineer" else None,
        }

    return router
