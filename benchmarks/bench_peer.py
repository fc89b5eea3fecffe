"""How fast are exported models beside anomalib's PatchCore and PaDiM on the same teacher?

    python -m venv PEER && PEER/bin/pip install anomalib
    blemish export MODEL -o EXPORTED        # for each model
    python benchmarks/bench_peer.py PEER/bin/python GOOD TEST RESULT EXPORTED [EXPORTED …]

GOOD and TEST are folders of pictures. All models take the same pictures in turn, in one run on one
machine, so that whatever else the machine does slows them alike; each figure is from decoded
pixels to map and score, blemish's with verdict, marked areas and the map at the picture's own size,
anomalib's with the map at 256×256. Wall time and the processor's time of the process are given:
on a busy machine only the latter is that of a quiet one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images
from blemish.data.images.reading import read_image
from blemish.data.sample import Sample
from blemish.evaluation.timing import teacher_alone
from blemish.inspection.prediction import make_prediction
from blemish.inspector import Inspector, open_model

WARM_UP = 3


class Peer:
    """anomalib in its own interpreter, obeying one line at a time."""

    def __init__(self, python: str, threads: int, training: list[Path]) -> None:
        worker = Path(__file__).with_name("peer_worker.py")
        self.process = subprocess.Popen(
            [python, str(worker), str(threads), *map(str, training)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = json.loads(self._answer())

    def time(self, name: str, path: Path) -> tuple[float, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name} {path}\n")
        self.process.stdin.flush()
        wall, cpu = map(float, self._answer().split())
        return wall, cpu

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("anomalib's process has ended; its message stands above.")
        return line


def time_ours(model: Inspector, path: Path) -> tuple[float, float]:
    network, preprocessing = model.ready()
    pixels = read_image(path, bit_depth=model.bit_depth)
    sample = Sample(path, "", "test", None)
    wall, cpu = time.perf_counter(), time.process_time()
    make_prediction(
        sample,
        network(preprocessing(pixels)[None]),
        source_size=(pixels.shape[0], pixels.shape[1]),
        preprocessing=preprocessing,
        calibration=model.calibration,
    )
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer_python")
    parser.add_argument("good", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--training", type=int, default=167, help="pictures for the peer's banks")
    asked = parser.parse_args()

    ours = {path.name: open_model(path, threads=asked.threads) for path in asked.models}
    first = next(iter(ours.values()))
    floor, said = teacher_alone(first)
    _, prepare = first.ready()
    peer = Peer(asked.peer_python, asked.threads, list_images(asked.good)[: asked.training])
    pictures = list_images(asked.test)
    times: dict[str, list[tuple[float, float]]] = {}
    for number in range(WARM_UP + asked.rounds):
        path = pictures[number % len(pictures)]
        now = {name: time_ours(model, path) for name, model in ours.items()}
        if floor is not None:
            pixels = prepare(read_image(path))[None]
            wall, cpu = time.perf_counter(), time.process_time()
            floor(pixels)
            now["teacher"] = (
                (time.perf_counter() - wall) * 1e3,
                (time.process_time() - cpu) * 1e3,
            )
        now |= {name: peer.time(name, path) for name in peer.about["models"]}
        if number >= WARM_UP:
            for name, figures in now.items():
                times.setdefault(name, []).append(figures)
    medians = {
        name: {
            "wall_ms_p50": round(float(np.median([wall for wall, _ in taken])), 3),
            "cpu_ms_p50": round(float(np.median([cpu for _, cpu in taken])), 3),
        }
        for name, taken in times.items()
    }
    ratios = {
        f"{other} / {mine}": {
            # Round by round: both were slowed alike.
            kind: round(float(np.median([b[i] / a[i] for a, b in zip(times[mine], times[other],
                                                                    strict=True)])), 2)
            for i, kind in enumerate(("wall", "cpu"))
        }
        for mine in ours
        for other in (*peer.about["models"], *(["teacher"] if floor else []))
    }  # fmt: skip
    content = {
        "command": f"python benchmarks/bench_peer.py PEER/bin/python {asked.good.parent.name}/"
        f"{asked.good.name} {asked.test.parent.name}/{asked.test.name} {asked.result.name} "
        f"{' '.join(ours)} --threads {asked.threads} --rounds {asked.rounds}",
        "unit": "milliseconds per picture, batch size 1, from decoded pixels to map and score",
        "threads": asked.threads,
        "rounds": asked.rounds,
        "teacher": said,
        "times": medians,
        "ratios": ratios,
        "peer": peer.about,
    }
    write_result(asked.result, content)
    print(json.dumps({"times": medians, "ratios": ratios}, indent=1))


if __name__ == "__main__":
    main()
