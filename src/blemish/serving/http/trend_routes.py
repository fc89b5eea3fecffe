"""REST routes of the trend: shares by day, how pictures look, and evidence of a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from blemish.data.images.appearance import Appearance
from blemish.serving.history.trend_log import RATE, TrendLog
from blemish.serving.service import InspectionService


def trend_routes(service: InspectionService) -> APIRouter:
    """The route that the trend page asks."""
    router = APIRouter(prefix="/v1", tags=["trend"])

    @router.get("/trend", summary="By product: verdicts by day, and whether anything has changed")
    def trend() -> dict[str, Any]:
        log = service.trend
        found = {"false_alarm_rate": RATE, "days": [], "products": []}
        return found if log is None else found | {"days": log.days(), "products": _products(log)}

    return router


def _products(log: TrendLog) -> list[dict[str, Any]]:
    return [
        {
            "product": watch.product,
            "since": since,
            "parts": watch.seen,
            "watching": watch.watching,
            "evidence": watch.evidence,
            "highest": watch.highest,
            "threshold": watch.threshold,
            "by_measure": watch.by_measure,
            "first": {measure: watch.before(measure) for measure in Appearance._fields},
            "rang": None if watch.rang is None else {"part": watch.rang[0], "name": watch.rang[1]},
            "line": line,
            "stretches": [
                {**vars(some), "counts": dict(some.counts)} for some in watch.stretches[-50:]
            ],
        }
        for watch, since, line in log.watched()
    ]


def trend_metrics(log: TrendLog) -> Iterable[Metric]:
    """For Prometheus: log10 of the evidence of a change by product, and whether it has rung."""
    evidence = GaugeMetricFamily(
        "blemish_drift_evidence",
        "Evidence that a product has changed, log10 of the odds.",
        labels=["product"],
    )
    rang = GaugeMetricFamily(
        "blemish_drift_alarm", "Whether the alarm of a product has rung.", labels=["product"]
    )
    for watch, _, _ in log.watched():
        evidence.add_metric([watch.product or ""], watch.evidence)
        rang.add_metric([watch.product or ""], float(watch.rang is not None))
    return (evidence, rang)
