"""The seven mAD metrics against scikit-learn and a thresholds loop, and the memory they need.

    python benchmarks/bench_metrics.py

Makes 100 maps of 256x256 with a fixed seed, measures them with blemish and with the customary
tools in one run, checks that the values agree, then measures in fresh processes how much memory
1,000 maps take. Everything goes to ``benchmarks/results/metrics.json``.

The reference is scikit-learn's AUROC, AP and precision-recall curve over all pixels, and an AUPRO
over 200 evenly spaced thresholds, each mask labelled once by SciPy. The exact AUPRO that both are
compared with is a third computation: all pixels sorted by one argsort, without any of blemish's
code.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from blemish.benchmark.result_file import write_result
from blemish.metrics import PixelAccumulator, image_metrics, mean_ad, pixel_metrics

SIZE = 256
THRESHOLDS = 200
FPR_LIMIT = 0.3
RESULT = Path(__file__).parent / "results" / "metrics.json"


def make_image(rng: np.random.Generator, *, good: bool) -> tuple[NDArray, NDArray]:
    """A smooth float32 map and a mask with 3 to 6 ellipses that the map shows imperfectly."""
    mask = np.zeros((SIZE, SIZE), bool)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    for _ in range(0 if good else rng.integers(3, 7)):
        cy, cx = rng.uniform(20, SIZE - 20, 2)
        ry, rx = rng.uniform(3, 20, 2)
        mask |= ((yy - cy) / ry) ** 2 + ((xx - cx) / rx) ** 2 <= 1
    noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 4) * 12
    signal = ndimage.gaussian_filter(mask.astype(float), 4) * rng.uniform(0.5, 3.0)
    return (noise + signal).astype(np.float32), mask


def make_images(count: int, seed: int) -> tuple[list[NDArray], list[NDArray]]:
    """Every fourth image is good."""
    rng = np.random.default_rng(seed)
    pairs = [make_image(rng, good=index % 4 == 0) for index in range(count)]
    return [m for m, _ in pairs], [mask for _, mask in pairs]


def seven_metrics(maps: list[NDArray], masks: list[NDArray]) -> dict[str, float]:
    """blemish: all seven, image scores being the maxima of the maps."""
    values = image_metrics([m.max() for m in maps], [mask.any() for mask in masks])
    return values | pixel_metrics(maps, masks, fpr_limit=FPR_LIMIT)


def reference_ranking(maps: list[NDArray], masks: list[NDArray]) -> dict[str, float]:
    """scikit-learn's pixel AUROC, AP and F1-max."""
    pixels, truth = np.stack(maps).ravel(), np.stack(masks).ravel()
    precision, recall, _ = precision_recall_curve(truth, pixels)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {
        "pixel_auroc": float(roc_auc_score(truth, pixels)),
        "pixel_ap": float(average_precision_score(truth, pixels)),
        "pixel_f1_max": float(f1.max()),
    }


def area_to_limit(fpr: NDArray, overlap: NDArray) -> float:
    """Trapezoids up to the limit, the last one cut by interpolation."""
    end = int(np.searchsorted(fpr, FPR_LIMIT, side="right"))
    x, y = fpr[:end], overlap[:end]
    if end < len(fpr):
        share = (FPR_LIMIT - x[-1]) / (fpr[end] - x[-1])
        x = np.append(x, FPR_LIMIT)
        y = np.append(y, y[-1] + share * (overlap[end] - y[-1]))
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / FPR_LIMIT)


def reference_aupro(maps: list[NDArray], masks: list[NDArray]) -> float:
    """AUPRO over evenly spaced thresholds: components labelled once, counted at each threshold."""
    labels = [ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks]
    areas = [np.bincount(label.ravel()) for label in labels]
    normals = sum(int(area[0]) for area in areas)
    low, high = min(m.min() for m in maps), max(m.max() for m in maps)
    fpr, overlap = [0.0], [0.0]
    for threshold in np.linspace(high, low, THRESHOLDS):
        false, covered = 0, []
        for anomaly_map, label, area in zip(maps, labels, areas, strict=True):
            found = np.bincount(label[anomaly_map >= threshold], minlength=len(area))
            false += int(found[0])
            covered.append(found[1:] / area[1:])
        fpr.append(false / normals)
        overlap.append(float(np.concatenate(covered).mean()))
    return area_to_limit(np.array(fpr), np.array(overlap))


def exact_aupro(maps: list[NDArray], masks: list[NDArray]) -> float:
    """The exact integral by one argsort over all pixels; equal scores enter together."""
    pixels, weights = np.stack(maps).ravel(), []
    for mask in masks:
        label = ndimage.label(mask, np.ones((3, 3)))[0]
        area = np.bincount(label.ravel()).astype(float)
        area[0] = np.inf
        weights.append((1.0 / area)[label].ravel())
    order = np.argsort(pixels)[::-1]
    weight, normal = np.concatenate(weights)[order], ~np.stack(masks).ravel()[order]
    last = np.append(np.diff(pixels[order]) != 0, True)
    overlap, fpr = np.cumsum(weight)[last], np.cumsum(normal)[last] / normal.sum()
    return area_to_limit(np.append(0.0, fpr), np.append(0.0, overlap / overlap[-1]))


def best_time(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The shortest of several runs in seconds, and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def peak_memory_mib() -> float:
    """Highest resident size of this process so far (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def measure_memory(mode: str, maps: int, seed: int) -> dict[str, Any]:
    """Peak growth of this process while ``maps`` maps are made, added and measured."""
    rng = np.random.default_rng(seed)
    warm = PixelAccumulator()
    warm.add(*make_image(rng, good=False))  # SciPy and one image are paid for before
    warm.compute()
    before = peak_memory_mib()
    pixels, seconds = PixelAccumulator(mode), 0.0  # type: ignore[arg-type]
    for index in range(maps):
        image = make_image(rng, good=index % 4 == 0)
        start = time.perf_counter()
        pixels.add(*image)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    values = pixels.compute()
    seconds += time.perf_counter() - start
    return {
        "mode": mode,
        "maps": maps,
        "growth_mib": round(peak_memory_mib() - before, 1),
        "seconds": round(seconds, 3),
        "values": values,
        "error_bounds": pixels.error_bounds(),
    }


def in_fresh_process(mode: str, maps: int, seed: int) -> dict[str, Any]:
    """`measure_memory` in a process of its own, whose peak holds nothing else."""
    command = [sys.executable, __file__, "--memory-of", mode, "--memory-maps", str(maps)]
    done = subprocess.run(
        [*command, "--seed", str(seed)], capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--memory-maps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--memory-of", choices=["exact", "histogram"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(measure_memory(options.memory_of, options.memory_maps, options.seed)))
        return

    maps, masks = make_images(options.maps, options.seed)
    seven_metrics(maps[:4], masks[:4])  # imports and caches are warm for both
    ours_seconds, ours = best_time(lambda: seven_metrics(maps, masks), options.repeats)
    rank_seconds, ranked = best_time(lambda: reference_ranking(maps, masks), options.repeats)
    loop_seconds, looped = best_time(lambda: reference_aupro(maps, masks), options.repeats)
    exact = exact_aupro(maps, masks)
    reference_seconds = rank_seconds + loop_seconds
    memory = [
        in_fresh_process(mode, options.memory_maps, options.seed) for mode in ("histogram", "exact")
    ]
    binned, whole = memory
    report = {
        "command": shlex.join(["python", "benchmarks/bench_metrics.py", *sys.argv[1:]]),
        "seed": options.seed,
        "setting": {
            "maps": options.maps,
            "size": [SIZE, SIZE],
            "defective_pixel_share": float(np.mean(masks)),
            "components": sum(int(ndimage.label(m, np.ones((3, 3)))[1]) for m in masks),
            "reference_aupro_thresholds": THRESHOLDS,
            "fpr_limit": FPR_LIMIT,
            "repeats": options.repeats,
            "time_is": "shortest of the repeats",
        },
        "seconds": {
            "blemish_seven_metrics": round(ours_seconds, 4),
            "scikit_learn_auroc_ap_f1": round(rank_seconds, 4),
            "thresholds_loop_aupro": round(loop_seconds, 4),
            "reference_sum": round(reference_seconds, 4),
        },
        "ratio_reference_to_blemish": round(reference_seconds / ours_seconds, 2),
        "values": ours | {"mean_ad": mean_ad([ours])},
        "difference": {
            **{name: abs(ours[name] - ranked[name]) for name in ranked},
            "pixel_aupro_to_exact_integral": abs(ours["pixel_aupro"] - exact),
            "thresholds_loop_aupro_to_exact_integral": abs(looped - exact),
        },
        "memory": memory,
        "histogram_difference_to_exact": {
            name: abs(binned["values"][name] - whole["values"][name]) for name in whole["values"]
        },
    }
    write_result(options.output, report)
    print(json.dumps({k: report[k] for k in ("seconds", "ratio_reference_to_blemish")}, indent=2))
    print(json.dumps(report["difference"], indent=2))
    for item in memory:
        print(f"{item['mode']}: {item['growth_mib']} MiB, {item['seconds']} s for {item['maps']}")


if __name__ == "__main__":
    main()
