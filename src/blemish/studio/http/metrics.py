"""Studio metrics: its queue, its lines and the models that are open, for Prometheus.

Counters of an open model have its name as the label ``model``; asking opens none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from blemish.serving.http.middleware import ServerMetrics
from blemish.studio.studio import Studio


def studio_metrics(studio: Studio) -> Iterator[Metric]:
    """How the queue and the lines go."""
    jobs = GaugeMetricFamily("blemish_studio_jobs", "Jobs, by state.", labels=["state"])
    for state, count in studio.jobs.counts().items():
        jobs.add_metric([state], count)
    yield jobs
    up = GaugeMetricFamily(
        "blemish_line_up", "Whether a model looks and tells as ordered.", labels=["model"]
    )
    waiting = GaugeMetricFamily(
        "blemish_line_waiting", "Verdicts that have not arrived yet.", labels=["model"]
    )
    inspections = studio.inspections
    for name in inspections.lines.names():
        running = None if name in inspections.problems else inspections.on_the_line(name)
        looks = running is not None and (running.live is None or not running.live.grabber.over)
        up.add_metric([name], looks)
        if running is not None and running.couriers is not None:
            waiting.add_metric([name], sum(running.couriers.waiting().values()))
    yield from (up, waiting)


class ByModelMetrics(Collector):
    """Those of a server and those of its models, each family once.

    Args:
        own: Without the label.
        models: By name.
    """

    def __init__(self, own: ServerMetrics, models: Mapping[str, ServerMetrics]) -> None:
        self._all = {"": own, **models}

    def collect(self) -> Iterable[Metric]:
        """The families."""
        families: dict[str, Metric] = {}
        for model, metrics in self._all.items():
            for family in metrics.collect():
                whole = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "model": model} if model else sample.labels
                    whole.samples.append(sample._replace(labels=labels))
        return families.values()

    def text(self) -> str:
        """As Prometheus reads it."""
        return generate_latest(self).decode()
