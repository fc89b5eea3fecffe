"""Does measuring take more memory the more pictures there are? Peak of ``evaluate`` and ``report``.

    python benchmarks/evaluation_memory.py DATA/pill benchmarks/results/evaluation-memory.json

The labelled pictures of a product in MVTec AD's layout are linked under new names until there are
as many as asked for, with their masks; each verb measures them in a process of its own. What the
result has already is not measured again. Ends with 1 where the largest set takes more than a tenth
more than the smallest.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

from large_picture_memory import run_watched

from blemish.benchmark.result_file import write_result

GROWTH, LEARNED = 1.1, 60


def linked(source: Path, count: int, target: Path) -> Path:
    """A data set of ``count`` test pictures with their masks, and of the source's training ones."""
    (target / "train").mkdir(parents=True)
    (target / "train" / "good").symlink_to(source / "train" / "good")
    pictures = sorted(p for p in (source / "test").rglob("*") if p.is_file())
    for number, picture in enumerate(islice(cycle(pictures), count)):
        kind = picture.parent.name
        mask = source / "ground_truth" / kind / f"{picture.stem}_mask.png"
        for file, end in ((picture, picture.suffix), (mask, "_mask.png")):
            if file.is_file():
                folder = target / ("test" if file is picture else "ground_truth") / kind
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number:06d}{end}").symlink_to(file)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="one product of MVTec AD")
    parser.add_argument("result", type=Path)
    parser.add_argument("--counts", default="500,1000,2000")
    parser.add_argument("--verbs", default="evaluate,report")
    given = parser.parse_args()
    source = given.data.resolve()
    rows: list[dict[str, Any]] = []
    if given.result.is_file():
        rows = json.loads(given.result.read_text())["rows"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model, figures = folder / "m.blemish", folder / "figures.json"
        few = folder / "few"
        few.mkdir()
        for picture in sorted((source / "train" / "good").iterdir())[:LEARNED]:
            (few / picture.name).symlink_to(picture)
        run_watched(["fit", few, "-o", model, "--speed", "fast", "-q"])
        for count in map(int, given.counts.split(",")):
            data = linked(source, count, folder / str(count))
            for verb in given.verbs.split(","):
                if any((row["verb"], row["pictures"]) == (verb, count) for row in rows):
                    continue
                more = ["-o", folder / "r.html"] if verb == "report" else ["--json", figures]
                started = perf_counter()
                peak = run_watched([verb, model, data, "-q", *more])
                seconds = round(perf_counter() - started, 1)
                rows.append({"verb": verb, "pictures": count, "seconds": seconds})
                rows[-1] |= {"peak_mib": round(peak)}
                if verb == "evaluate":
                    found = json.loads(figures.read_text())["mean"]
                    rows[-1] |= {name: found[name] for name in ("pixel_auroc", "pixel_aupro")}
                print(rows[-1], flush=True)
                rows.sort(key=lambda row: (row["verb"], row["pictures"]))
                write_result(given.result, {"data": source.name, "learned": LEARNED, "rows": rows})
    for verb in given.verbs.split(","):
        peaks = [row["peak_mib"] for row in rows if row["verb"] == verb]
        if peaks[-1] > GROWTH * peaks[0]:
            sys.exit(f"{verb}: {peaks[0]:.0f} MiB became {peaks[-1]:.0f}.")


if __name__ == "__main__":
    main()
