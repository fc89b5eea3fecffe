"""Counters of a server in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
Labels = tuple[tuple[str, str], ...]


class ServerMetrics:
    """What a server counts. Label values come from fixed sets, so that it never grows.

    Example:
        >>> from blemish.serving.http.metrics import ServerMetrics
        >>> metrics = ServerMetrics()
        >>> metrics.count_verdict("defect")
        >>> [line for line in metrics.text().splitlines() if line.endswith(" 1")]
        ['blemish_images_total{verdict="defect"} 1']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: dict[Labels, int] = {
            (("verdict", name),): 0 for name in ("ok", "unsure", "defect", "none")
        }
        self._requests: dict[Labels, int] = {}
        self._errors: dict[Labels, int] = {}
        self._latency = [0] * (len(_BUCKETS) + 1)
        self._latency_sum = 0.0
        self._gauges: dict[str, tuple[str, str, Callable[[], float]]] = {}

    def count_verdict(self, verdict: str | None) -> None:
        """One image was judged."""
        self._add(self._verdicts, (("verdict", verdict or "none"),))

    def count_error(self, code: str) -> None:
        """One request or image was refused, or failed."""
        self._add(self._errors, (("code", code),))

    def count_request(self, route: str, method: str, status: int) -> None:
        """One request was answered."""
        labels = (("route", route), ("method", method), ("status", str(status)))
        self._add(self._requests, labels)

    def observe_latency(self, seconds: float) -> None:
        """One prediction request took so long, from its first header to its answer."""
        with self._lock:
            self._latency[bisect_left(_BUCKETS, seconds)] += 1
            self._latency_sum += seconds

    def watch(self, name: str, kind: str, text: str, read: Callable[[], float]) -> None:
        """Show a number that is kept elsewhere; ``kind`` is ``gauge`` or ``counter``."""
        self._gauges[name] = (kind, text, read)

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        with self._lock:
            lines = [
                *_family("blemish_images_total", "Images judged, by verdict.", self._verdicts),
                *_family("blemish_requests_total", "Requests answered.", self._requests),
                *_family("blemish_errors_total", "Refusals and failures.", self._errors),
                "# HELP blemish_predict_seconds Time from a prediction request to its answer.",
                "# TYPE blemish_predict_seconds histogram",
            ]
            total = 0
            for bound, count in zip((*_BUCKETS, "+Inf"), self._latency, strict=True):
                total += count
                lines.append(f'blemish_predict_seconds_bucket{{le="{bound}"}} {total}')
            lines += [
                f"blemish_predict_seconds_sum {self._latency_sum:.6f}",
                f"blemish_predict_seconds_count {total}",
            ]
        for name, (kind, text, read) in self._gauges.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {read():g}"]
        return "\n".join(lines) + "\n"

    def _add(self, family: dict[Labels, int], labels: Labels) -> None:
        with self._lock:
            family[labels] = family.get(labels, 0) + 1


def _family(name: str, text: str, values: Mapping[Labels, int]) -> list[str]:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} counter"]
    for labels, value in values.items():
        inside = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels)
        lines.append(f"{name}{{{inside}}} {value}")
    return lines


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
