"""How long do anomalib's PatchCore and blemish's default take to fit and to judge?

    python -m venv PEER && PEER/bin/pip install anomalib
    python benchmarks/bench_peer_fit.py PEER/bin/python DATA [DATA …] --result RESULT

Each DATA is a product with ``train/good`` and ``test``. Both sides have the same teacher with the
same weights, 256×256 pixels (blemish ``--speed fast``; beside it ``balanced``, its default) and as
many threads. A fit is from files to a model that can judge; anomalib's chooses its memory by its
greedy k-centre, with ``--ratio`` of the patches (its own default is 0.1, five times as long). A
prediction is from decoded pixels to map and score, batch size 1: blemish's includes verdict, marked
areas and a map of the picture's own size. To be run where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_peer import time_ours

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images
from blemish.inspector import open_model
from blemish.metrics.ranking import auroc
from blemish.teachers.efficientnet_lite import weights_file

SPEEDS = ("fast", "balanced")
WARM_UP = 3


def blemish(*words: object, threads: int) -> None:
    command = [sys.executable, "-m", "blemish", *map(str, words)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


def figures(
    fit: float, times: list[float], scores: list[float], labels: list[int]
) -> dict[str, Any]:
    """Of one side: the median prediction leaves out the first, which warm up."""
    return {
        "fit_s": round(fit, 1),
        "predict_ms_p50": round(float(np.median(times[WARM_UP:])), 2),
        "image_auroc": round(auroc(scores, labels), 4),
    }


def ours(data: Path, test: list[Path], labels: list[int], threads: int, folder: Path) -> Any:
    """Fitted by the command line, exported, and asked in ONNX Runtime and OpenVINO."""
    found = {}
    for speed in SPEEDS:
        model = folder / f"{data.name}-{speed}.blemish"
        started = time.perf_counter()
        blemish("fit", data, "-o", model, "--speed", speed, "-q", threads=threads)
        fit = time.perf_counter() - started
        for runtime in ("onnx", "openvino"):
            exported = model.with_suffix(f".{runtime}.blemish")
            blemish("export", model, "-o", exported, "--format", runtime, "-q", threads=threads)
            opened = open_model(exported, threads=threads)
            times = [time_ours(opened, path)[0] for path in test]
            scores = [p.score for p in opened.predict(test)]
            found[f"{speed}, {runtime}"] = figures(fit, times, scores, labels)
    return found


def peer(
    python: str, data: Path, test: list[Path], labels: list[int], asked: Any, folder: Path
) -> Any:
    lists = {"good": list_images(data / "train" / "good"), "test": test}
    for name, paths in lists.items():
        (folder / f"{name}.json").write_text(json.dumps([str(path) for path in paths]))
    answer = subprocess.run(
        [
            *(python, str(Path(__file__).with_name("peer_patchcore.py"))),
            *(str(weights_file("efficientnet_lite0")), str(asked.threads), str(asked.ratio)),
            *(str(folder / "good.json"), str(folder / "test.json")),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(asked.threads)},
    )
    about = json.loads(answer.stdout.splitlines()[-1])
    own = figures(about.pop("fit_s"), about.pop("predict_ms"), about.pop("scores"), labels)
    return own | about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer_python")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ratio", type=float, default=0.02, help="of the patches in its memory")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for data in asked.data:
        test = list_images(data / "test")
        labels = [int(path.parent.name != "good") for path in test]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            own = ours(data, test, labels, asked.threads, folder)
            other = peer(asked.peer_python, data, test, labels, asked, folder)
        times = {
            side: {
                "fit": round(other["fit_s"] / mine["fit_s"], 1),
                "predict": round(other["predict_ms_p50"] / mine["predict_ms_p50"], 1),
                "points_of_auroc": round(100 * (mine["image_auroc"] - other["image_auroc"]), 1),
            }
            for side, mine in own.items()
        }
        found[data.name] = {"blemish": own, "anomalib": other, "times_faster": times}
        print(json.dumps({data.name: found[data.name]}, indent=1), flush=True)
    names = " ".join(data.name for data in asked.data)
    command = f"python benchmarks/bench_peer_fit.py PEER/bin/python {names}"
    command += f" --result RESULT --threads {asked.threads} --ratio {asked.ratio}"
    write_result(asked.result, {"command": command, "products": found})


if __name__ == "__main__":
    main()
