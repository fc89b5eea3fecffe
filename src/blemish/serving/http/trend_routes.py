"""REST routes of the trend: shares by day, how pictures look, and evidence of a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from blemish.data.images.appearance import Appearance
from blemish.serving.history.pictures import PictureHistory
from blemish.serving.history.trend_log import RATE, VERDICTS, WatchedProduct
from blemish.serving.service import InspectionService

_EXAMPLES = 8  # of each side of a change


def trend_routes(service: InspectionService) -> APIRouter:
    """The route that the trend page asks."""
    router = APIRouter(prefix="/v1", tags=["trend"])

    @router.get("/trend", summary="By product: verdicts by day, and whether anything has changed")
    def trend() -> dict[str, Any]:
        log = service.trend
        found = {"false_alarm_rate": RATE, "days": [], "products": []}
        if log is None:
            return found
        products = [_product(watched, service) for watched in log.watched()]
        return found | {"days": log.days(), "products": products}

    return router


def _product(watched: WatchedProduct, service: InspectionService) -> dict[str, Any]:
    watch, pictures, learned = watched.watch, service.pictures, service.model.pictures
    looks = {} if learned is None else learned.looks
    look = looks.get(watch.product or next(iter(looks), ""), ())
    return {
        "product": watch.product,
        "since": watched.since,
        "parts": watch.seen,
        "watching": watch.watching,
        "evidence": watch.evidence,
        "highest": watch.highest,
        "threshold": watch.threshold,
        "by_measure": watch.by_measure,
        "learned": dict(zip(Appearance._fields, look, strict=False)),
        "first": {measure: watch.before(measure) for measure in Appearance._fields},
        "rang": None if watch.rang is None else {"part": watch.rang[0], "name": watch.rang[1]},
        "changed": None if watch.rang is None else _changed(watched, pictures),
        "line": watched.line,
        "stretches": [
            {**vars(some), "counts": dict(some.counts)} for some in watch.stretches[-50:]
        ],
    }


def _changed(watched: WatchedProduct, pictures: PictureHistory) -> dict[str, Any]:
    """Kept pictures from before the evidence rose, and from since the alarm, or since it rose."""
    number, rose = watched.least
    product = watched.watch.product
    after = pictures.examples(product, since=watched.rang_at, count=_EXAMPLES)
    sides = {
        "before": pictures.examples(product, until=rose, count=_EXAMPLES),
        "after": after or pictures.examples(product, since=rose, count=_EXAMPLES),
    }
    return {
        "rose": {"part": number, "time": rose},
        "rang": watched.rang_at,
        **{
            side: [{"id": p.id, "name": p.name, "judged": p.judged, "size": p.size} for p in some]
            for side, some in sides.items()
        },
    }


def trend_metrics(service: InspectionService) -> Iterable[Metric]:
    """For Prometheus, by product: evidence of a change, and the last day with how it looked."""
    log, learned = service.trend, service.model.pictures
    if log is None:
        return ()
    evidence = _gauge("drift_evidence", "Evidence that a product has changed, log10 of the odds.")
    rang = _gauge("drift_alarm", "Whether the alarm of a product has rung.")
    parts = _gauge("day_parts", "Parts of the last day (UTC) that had any, by verdict.", "verdict")
    marked = _gauge("day_false_alarms", "Of these, stopped and marked good.")
    look = _gauge("day_appearance", "How the parts of that day looked, mean.", "measure")
    usual = _gauge("learned_appearance", "How the good parts learned looked, mean.", "measure")
    for watch in [watched.watch for watched in log.watched()]:
        evidence.add_metric([watch.product or ""], watch.evidence)
        rang.add_metric([watch.product or ""], float(watch.rang is not None))
    last = {day["product"]: day for day in log.days()}  # the oldest first
    for product, day in last.items():
        for verdict in VERDICTS:
            parts.add_metric([product, verdict], day[verdict])
        marked.add_metric([product], day["false_alarms"])
        for measure in Appearance._fields:
            look.add_metric([product, measure], day[measure])
    for product, looks in ({} if learned is None else learned.looks).items():
        for measure, value in zip(Appearance._fields, looks, strict=False):
            usual.add_metric([product, measure], value)
    return (evidence, rang, parts, marked, look, usual)


def _gauge(name: str, what: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"blemish_{name}", what, labels=["product", *labels])
