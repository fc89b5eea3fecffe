"""Time and memory until the first picture is judged, and the first step trained, of many paths.

    python benchmarks/check_many_paths.py MODEL --paths 100000

MODEL is an exported model. The paths are hard links of one small picture in a temporary folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def make_folder(root: Path, count: int) -> Path:
    """``root/good`` with ``count`` names of a few pictures: file systems bound links of one."""
    (root / "good").mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        path = root / "good" / f"{number:06}.png"
        if number % 30_000 == 0:
            source = path
            pixels = rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(path)
        else:
            os.link(source, path)
    return root / "good"


def until_judged(model: str, folder: Path) -> None:
    from blemish import open_model

    next(open_model(model).predict(folder))


def until_planned(model: str, folder: Path) -> None:
    """All that `fit` does with the pictures' names before the teacher sees the first one."""
    from blemish import Detector, TrainingOptions
    from blemish._progress import Progress

    class BegunError(Exception):
        pass

    class Stopping(Progress):
        def task(self, description: str, *args: Any, **kwargs: Any) -> Any:
            if description == "Features":
                raise BegunError
            return super().task(description, *args, **kwargs)

    options = TrainingOptions(device="cpu", cache_budget_gib=1e6)
    try:
        detector = Detector("rd", image_size=64, settings={"steps": 1})
        detector.fit(folder, training=options, progress=Stopping(quiet=True))
    except BegunError:
        return
    raise SystemExit("it was not stopped at the first picture")


def measured(work: Callable[[str, Path], None], model: str, folder: Path, queue: Any) -> None:
    begun = time.perf_counter()
    work(model, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    queue.put((time.perf_counter() - begun, peak))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--paths", type=int, default=100_000)
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as root:
        for count in (100, asked.paths):
            here = Path(root) / str(count)
            here.mkdir()
            folder = make_folder(here, count)
            for work in (until_judged, until_planned):
                queue = context.Queue()
                process = context.Process(target=measured, args=(work, asked.model, folder, queue))
                process.start()
                process.join()
                seconds, peak = queue.get(timeout=5)
                print(f"{count:,} paths, {work.__name__}: {seconds:.1f} s, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
