"""REST routes for jobs and models: train, judge, teach, compare, and what was changed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from blemish.studio import marked
from blemish.studio.jobs import StudioJob
from blemish.studio.orders import TeachOrder, TrainOrder
from blemish.studio.studio import Studio

_POINTS = 200  # of a loss curve


def job_routes(studio: Studio) -> APIRouter:
    """The routes for jobs and models."""
    router = APIRouter(prefix="/v1/studio", tags=["jobs"])
    jobs = studio.jobs

    @router.get("/events", summary="Server-sent events: hello, pictures, jobs")
    async def events() -> StreamingResponse:
        return StreamingResponse(
            studio.events.stream(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @router.get("/jobs", summary="All jobs, the newest first")
    def listing() -> list[dict[str, Any]]:
        return [_answer(studio, job) for job in jobs.all(100)]

    @router.get("/jobs/{key}", summary="One job: how far it is, its curve, what it has printed")
    def one(key: int) -> dict[str, Any]:
        job = jobs.get(key)
        return {**_answer(studio, job), "losses": _losses(studio, job), "log": jobs.log(job)}

    @router.post("/jobs/{key}/cancel", summary="Stop it, so that it can go on; or at once")
    def cancel(key: int, at_once: bool = False) -> dict[str, Any]:
        return _answer(studio, jobs.cancel(key, at_once=at_once))

    @router.post("/jobs/{key}/again", summary="Go on from its checkpoint, or do it again")
    def again(key: int) -> dict[str, Any]:
        return _answer(studio, jobs.again(key))

    @router.post("/train", summary="Train a model on the pictures marked as good")
    def train(order: TrainOrder) -> dict[str, Any]:
        return _answer(studio, studio.train(order))

    @router.get("/models", summary="All models of the project")
    def models() -> list[dict[str, Any]]:
        judged = {path.stem for path in (studio.folder / "judged").glob("*.csv")}
        return [{**model, "judged": model["name"] in judged} for model in studio.models.all()]

    @router.post("/models/{name}/judge", summary="Have a model judge all pictures")
    def judge(name: str) -> dict[str, Any]:
        return _answer(studio, studio.judge(name))

    @router.post("/models/{name}/teach", summary="Add good pictures to a finished model")
    def teach(name: str, order: TeachOrder) -> dict[str, Any]:
        return _answer(studio, studio.teach(name, order))

    @router.post("/models/{name}/take-marked", summary="Take what was marked into the project")
    async def take_marked(name: str) -> dict[str, int]:
        history = (await studio.inspections.get(name)).service.pictures
        counts = await run_in_threadpool(
            marked.take_marked, history, studio.intake, studio.pictures
        )
        studio.events.publish("pictures")
        return counts

    @router.get("/compare", summary="Two models on the same pictures")
    def compare(model: Annotated[list[str], Query(min_length=2, max_length=2)]) -> dict[str, Any]:
        return studio.compare(model)

    @router.get("/audit", summary="Who has changed limits and models, and when")
    def audit() -> list[dict[str, Any]]:
        return [dict(entry) for entry in studio.audit.latest()]

    return router


def _answer(studio: Studio, job: StudioJob) -> dict[str, Any]:
    steps = studio.jobs.progress(job) if job.state == "running" else []
    now = steps[-1] if steps else None
    left = None
    if now and now["total"] and now["here"] and now["done"] < now["total"]:
        left = now["seconds"] / now["here"] * (now["total"] - now["done"])
    facts = {name: value for name, value in job.facts.items() if name not in ("learned", "paths")}
    return {
        **{name: value for name, value in vars(job).items() if name not in ("words", "facts")},
        "facts": facts,
        "command": job.command,
        "progress": now and {**now, "left": left},
        "can_go_on": job.state in ("cancelled", "interrupted", "failed")
        and studio.jobs.can_go_on(job),
    }


def _losses(studio: Studio, job: StudioJob) -> list[list[float]]:
    """Steps and total losses of the training, thinned out."""
    points = []
    for state in studio.jobs.progress(job):
        words = str(state["note"]).split()
        if "total" in words[:-1]:
            points.append([state["done"], float(words[words.index("total") + 1])])
    return points[:: max(1, len(points) // _POINTS)]
