"""A graph that letterboxes by itself, against ``predict``: scores, verdicts, and what it costs.

    python benchmarks/check_any_size.py MODEL PICTURES … [--most 60]

MODEL is a trained model without tiles. For each format: the largest difference of a score relative
to the scores' scale, how many verdicts change, and the time of a picture with our letterbox outside
and the graph's inside, decoding left out; then the same times for one picture enlarged.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from blemish.data.images.image_list import list_images
from blemish.data.images.reading import read_image
from blemish.export import export_model
from blemish.inspector import ExportedDetector, open_model


def milliseconds(work: Callable[[], object]) -> float:
    """The quickest of five."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1000 * min(times)


def check(model: Path, format: str, paths: list[Path], folder: Path) -> None:
    out = folder / f"{format}.blemish"
    export_model(model, out, format=format, any_size=True)  # type: ignore[arg-type]
    exported = open_model(out, threads=1)
    assert isinstance(exported, ExportedDetector)
    usual = open_model(export_model(model, folder / "usual.blemish", format=format).path, threads=1)  # type: ignore[arg-type]
    network, prepare = exported.ready()
    fixed = usual.ready()[0]
    wanted = list(usual.predict(paths))
    found = [float(network(read_image(path)[None]).scores[0]) for path in paths]
    scores = np.array([prediction.score for prediction in wanted])
    scale = max(float(np.median(np.abs(scores))), float(scores.std()))
    changed = 0
    for one, score in zip(wanted, found, strict=True):
        if exported.calibration is not None:
            changed += exported.calibration.judge(score, one.product).verdict != one.verdict
    largest = np.abs(scores - found).max() / scale
    print(f"{format}: {len(paths)} pictures, largest difference {largest:.2g}, {changed} verdicts")
    first = read_image(paths[0])
    for side in (0, 1024, 2048, 4000):
        shown = first
        if side:
            shown = np.asarray(Image.fromarray(first).resize((side, side * 3 // 4)))
        outside = milliseconds(lambda shown=shown: fixed(prepare(shown)[None]))  # type: ignore[misc]
        inside = milliseconds(lambda shown=shown: network(shown[None]))  # type: ignore[misc]
        size = "×".join(map(str, shown.shape[:2]))
        print(f"  {size}: {outside:.0f} ms with the letterbox outside, {inside:.0f} inside")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--most", type=int, default=60)
    asked = parser.parse_args()
    paths = [path for folder in asked.pictures for path in list_images(folder)]
    paths = paths[:: max(1, len(paths) // asked.most)]
    with tempfile.TemporaryDirectory() as folder:
        for format in ("onnx", "openvino"):
            check(asked.model, format, paths, Path(folder))


if __name__ == "__main__":
    main()
