"""Prometheus metrics: what a server counts, by prometheus-client."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class ServerMetrics:
    """What a server counts. Label values come from fixed sets, so that it never grows."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._images = Counter(
            "blemish_images", "Images judged, by verdict.", ["verdict"], registry=registry
        )
        self._requests = Counter(
            "blemish_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._errors = Counter(
            "blemish_errors", "Refusals and failures.", ["code"], registry=registry
        )
        self._latency = Histogram(
            "blemish_predict_seconds",
            "Time from a prediction request to its answer.",
            buckets=_BUCKETS,
            registry=registry,
        )
        for verdict in ("ok", "unsure", "defect", "none"):
            self._images.labels(verdict)

    def count_verdict(self, verdict: str | None) -> None:
        """One image was judged."""
        self._images.labels(verdict or "none").inc()

    def count_error(self, code: str) -> None:
        """One request or image was refused, or failed."""
        self._errors.labels(code).inc()

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered, so long after its first header."""
        self._requests.labels(route, method, str(status)).inc()
        if route == "/v1/predict":
            self._latency.observe(seconds)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a number that is kept elsewhere, and goes up and down."""
        Gauge(name, text, registry=self._registry).set_function(read)

    def watch_count(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a count that is kept elsewhere."""

        class Read(Collector):
            def collect(self) -> Iterator[CounterMetricFamily]:
                yield CounterMetricFamily(name, text, value=read())

        self._registry.register(Read())

    def text(self) -> str:
        """All of it, as Prometheus reads it: text format, version 0.0.4."""
        return generate_latest(self._registry).decode()
