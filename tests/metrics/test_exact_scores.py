"""Scores on disk: the metrics of scores in memory, to the last bit, in a bounded memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import pytest
from metric_reference import blobs
from numpy.typing import NDArray

from blemish.errors import DataError
from blemish.metrics import (
    F1Max,
    PixelAccumulator,
    SaturationRule,
    SproAccumulator,
    exact_scores,
    stored_ranking,
)
from blemish.metrics.curves import Curve
from blemish.metrics.pixel import accumulate_pixels


def pictures(count: int) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    maps, masks = blobs(np.random.default_rng(0), images=count)
    return [np.round(one, 2) for one in maps], masks  # so that scores of several runs tie


@pytest.mark.parametrize("scores", [2**20, 100, 1], ids=lambda n: f"ranges of {n}")
@pytest.mark.parametrize("run_bytes", [8, 1000, 20_000])
def test_runs_on_disk_change_no_metric(
    monkeypatch: pytest.MonkeyPatch, run_bytes: int, scores: int
) -> None:
    maps, masks = pictures(9)

    def measured() -> tuple[dict[str, float], dict[float, dict[str, float]], list[Curve], F1Max]:
        pixels = accumulate_pixels(maps, masks, PixelAccumulator(compatibility="ader"))
        spro = SproAccumulator({1: SaturationRule("dent", 1, 0.5, True)})
        for values, mask in zip(maps, masks, strict=True):
            if mask.any():
                spro.add(values, [mask.astype("u1")], "logical_anomalies")
            else:
                spro.add(values, [], "good")
        curves = [pixels.pro_curve(points=10**6), pixels.roc_curve(points=10**6)]
        assert not any(pixels.error_bounds().values())
        return pixels.compute(), spro.compute(), curves, pixels.f1_max()

    (in_memory, loco, curves, best), opened = measured(), []
    of_library = tempfile.TemporaryFile
    monkeypatch.setattr(
        exact_scores.tempfile, "TemporaryFile", lambda **k: opened.append(k) or of_library(**k)
    )
    defaults = {"run_bytes": run_bytes}
    monkeypatch.setattr(exact_scores.ExactScores.__init__, "__kwdefaults__", defaults)
    monkeypatch.setattr(exact_scores, "STRIDE", 4)
    monkeypatch.setattr(stored_ranking, "STRIDE", 4)
    monkeypatch.setattr(stored_ranking, "RANGE", scores)
    on_disk, loco_on_disk, curves_on_disk, best_on_disk = measured()
    assert opened
    assert on_disk == pytest.approx(in_memory, rel=1e-13)
    assert best_on_disk == best
    for one, other in zip(curves, curves_on_disk, strict=True):
        assert other.fpr.tolist() == one.fpr.tolist()
        assert other.rate == pytest.approx(one.rate, rel=1e-12)
    for limit, values in loco.items():
        assert loco_on_disk[limit] == pytest.approx(values, rel=1e-13, nan_ok=True)


def test_more_can_be_added_after_the_metrics_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, masks = pictures(8)
    whole = accumulate_pixels(maps, masks, PixelAccumulator()).compute()
    monkeypatch.setattr(exact_scores.ExactScores.__init__, "__kwdefaults__", {"run_bytes": 9_000})
    pixels = PixelAccumulator()
    for values, mask in zip(maps, masks, strict=True):
        pixels.add(values, mask)
        pixels.compute()
        pixels.let_go()
    assert pixels.compute() == pytest.approx(whole, rel=1e-14)


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, *_: int) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(exact_scores.tempfile, "TemporaryFile", lambda **_: Full())
    store = exact_scores.ExactScores(run_bytes=4)
    with pytest.raises(DataError, match=r"No space left.*TMPDIR.*--histogram"):
        store.add(np.zeros(2, np.float32))


_MANY = """
from pathlib import Path
import numpy as np
from blemish.metrics import PixelAccumulator
rng = np.random.default_rng(0)
mask = np.zeros((1000, 1000), bool)
mask[:50, :50] = True
def peak():
    # Its own: what getrusage() tells begins at the peak of the process that started this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
def run(count):
    pixels = PixelAccumulator()
    for n in range(count):
        pixels.add(rng.random((1000, 1000), np.float32), mask if n % 2 else None)
    return pixels.compute()
run(2)
before = peak()
run(30)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_pictures() -> None:
    """120 MB of scores, of which at most two runs and the defective ones are in memory."""
    done = subprocess.run([sys.executable, "-c", _MANY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60
