"""Parts that lie as they fell, from parts that lie alike: what do turned copies bring?

    python benchmarks/turned_parts.py RESULT.json DATA --products pill,alien --counts 16,40,100

Of every product's real pictures two harder ones are made: *turned*, each picture by an angle of its
own and shifted a little, and *four*, four turned parts in one picture, of which one is the defect.
Pictures are put on a square of their border's colour, so that nothing is cut off. A trio learns so
many good pictures without copies (``turned=0``) and by default, and is measured on test pictures
made in the same way.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.data.sample import Sample
from blemish.metrics import auroc

SIDE, SHIFT = 384, 12
MOST, TEST_GOOD, TEST_BAD = 100, 40, 60
Part = Image.Image


def placed(sample: Sample, side: int, angle: float, shift: tuple[int, int] = (0, 0)) -> Part:
    """The part on a square of its border's colour, turned."""
    image = Image.open(sample.path).convert("RGB")
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = tuple(int(value) for value in np.median(border, 0))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.rotate(angle, Image.Resampling.BICUBIC, translate=shift, fillcolor=colour)


def turned(sample: Sample, rng: np.random.Generator) -> Part:
    across, down = (int(value) for value in rng.integers(-SHIFT, SHIFT + 1, 2))
    return placed(sample, SIDE, rng.uniform(0, 360), (across, down))


def four(samples: Sequence[Sample], rng: np.random.Generator) -> Part:
    half = SIDE // 2
    parts = [placed(s, half - SHIFT, rng.uniform(0, 360)) for s in samples]
    picture = Image.new("RGB", (SIDE, SIDE), parts[0].getpixel((0, 0)))
    for k, part in enumerate(parts):
        across, down = (int(value) for value in rng.integers(0, SHIFT + 1, 2))
        picture.paste(part, (k % 2 * half + across, k // 2 * half + down))
    return picture


def pictures(data: str, product: str, way: str, folder: Path) -> None:
    """Training and test pictures of the harder product, as folders of files."""
    own = read_data_set(data).of_products([product])
    rng = np.random.default_rng(5)
    good = [s for s in own.split("train").samples if s.is_good]
    test_good = [s for s in own.split("test").samples if s.is_good]
    bad = [s for s in own.split("test").samples if s.label]

    def drawn(samples: Sequence[Sample], count: int) -> list[Sample]:
        return [samples[k] for k in rng.permutation(len(samples))[:count]]

    def made(kind: str, first: Sequence[Sample], others: Sequence[Sample]) -> None:
        (folder / kind).mkdir(parents=True)
        for k, sample in enumerate(first):
            if way == "turned":
                picture = turned(sample, rng)
            else:
                together = [sample, *drawn([s for s in others if s is not sample], 3)]
                picture = four([together[n] for n in rng.permutation(4)], rng)
            picture.save(folder / kind / f"{k:03d}.png")

    again = [test_good[k % len(test_good)] for k in range(TEST_GOOD)]
    made("train", drawn(good, MOST), good)
    made("good", test_good if way == "turned" else again, test_good)
    made("bad", drawn(bad, TEST_BAD), test_good)


def measured(folder: Path, count: int, settings: dict[str, int], seed: int) -> dict[str, Any]:
    files = sorted((folder / "train").iterdir())
    chosen = sorted(np.random.default_rng(seed).permutation(len(files))[:count])
    started = time.monotonic()
    detector = Detector("trio", settings={"groups": 1, **settings})
    detector.fit([files[k] for k in chosen], false_alarm_rate=0.05, progress=Progress(quiet=True))
    seconds = time.monotonic() - started
    found = {kind: list(detector.predict(folder / kind)) for kind in ("good", "bad")}
    scores = {kind: np.array([p.score for p in own]) for kind, own in found.items()}
    labels = np.repeat([0, 1], [len(scores["good"]), len(scores["bad"])])
    assert detector.fit_report is not None
    return {
        "image_auroc": auroc(np.concatenate([scores["good"], scores["bad"]]), labels),
        "found_at_5": float(np.mean([p.verdict == "defect" for p in found["bad"]])),
        "stopped_at_5": float(np.mean([p.verdict == "defect" for p in found["good"]])),
        "fit_s": round(seconds, 1),
        "notes": [note for note in detector.fit_report.notes if "copies" in note],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data")
    parser.add_argument("--products", default="pill,alien")
    parser.add_argument("--counts", default="16,40,100")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for product in options.products.split(","):
        for way in ("turned", "four"):
            with tempfile.TemporaryDirectory() as name:
                pictures(options.data, product, way, Path(name))
                there = len(list((Path(name) / "train").iterdir()))
                counts = sorted({min(int(count), there) for count in options.counts.split(",")})
                for count in counts:
                    for label, settings in (("without", {"turned": 0}), ("with", {})):
                        row = {"product": product, "way": way, "good": count, "copies": label}
                        row |= measured(Path(name), count, settings, seed=0)
                        rows.append(row)
                        print(row, flush=True)
    command = f"python benchmarks/turned_parts.py RESULT DATA --products {options.products}"
    content = {"command": f"{command} --counts {options.counts}", "seed": 0, "rows": rows}
    write_result(options.result, content)


if __name__ == "__main__":
    main()
