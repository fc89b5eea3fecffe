"""Does a long run of `blemish predict` keep its memory, and finish every image exactly once?

    blemish export MODEL -o EXPORTED
    python benchmarks/check_bulk.py EXPORTED PICTURES benchmarks/results/bulk.json

Judges 10,000 images, hard links of the given pictures, in a process of its own whose resident
memory is sampled; kills it with SIGKILL on the way (unless --no-kill) and completes it with
--resume. Growth is the difference of the median resident memory between the second and the last
quarter of the longer of the two runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images
from blemish.data.images.reading import image_size
from blemish.evaluation.timing import peak_memory_mib
from blemish.model_file.bundle import model_manifest

LIMIT_MIB = 600


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(words: list[str], table: Path, *, kill_at: int | None = None) -> dict[str, object]:
    """One process; what it held, sampled five times a second."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "blemish.cli.app", *words])
    samples: list[float] = []
    peak = 0.0
    while process.poll() is None:
        try:
            samples.append(resident_mib(process.pid))
            peak = max(peak, peak_memory_mib(process.pid) or 0.0)
        except (OSError, IndexError):  # it has just ended
            break
        if kill_at is not None and table.exists() and table.read_bytes().count(b"\n") > kill_at:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.2)
    code = process.wait()
    quarter = len(samples) // 4
    growth = 0.0
    if quarter > 4:
        early = statistics.median(samples[quarter : 2 * quarter])
        growth = statistics.median(samples[-quarter:]) - early
    return {
        "exit_code": code,
        "seconds": round(time.monotonic() - started, 1),
        "peak_mib": round(peak, 1),
        "growth_mib": round(growth, 1),
        "samples": len(samples),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--kill-share", type=float, default=0.25)
    parser.add_argument("--no-kill", action="store_true")
    asked = parser.parse_args()

    pictures = list_images(asked.pictures)
    size = image_size(pictures[0])
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bulk-") as scratch:
        folder = Path(scratch) / "line"
        folder.mkdir()
        names = [f"{number:05}.{pictures[0].suffix[1:]}" for number in range(asked.images)]
        for number, name in enumerate(names):
            source, target = pictures[number % len(pictures)], folder / name
            try:
                os.link(source, target)
            except OSError:  # on another disk
                target.symlink_to(source.resolve())
        table = Path(scratch) / "verdicts.csv"
        words = ["predict", str(asked.model), str(folder), "--csv", str(table), "--resume", "-q"]
        runs: dict[str, dict[str, object]] = {}
        rows_at_kill = None
        if not asked.no_kill:
            kill_at = int(asked.images * asked.kill_share)
            runs["killed"] = run(words, table, kill_at=kill_at)
            written = table.read_bytes()
            whole = written.endswith(b"\n")
            rows_at_kill = {"rows": written.count(b"\n") - 1, "all_lines_whole": whole}
        runs["resumed" if runs else "whole"] = last = run(words, table)
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    counts = Counter(Path(row["path"]).name for row in rows)
    peak = max(float(str(values["peak_mib"])) for values in runs.values())
    content = {
        "command": f"python benchmarks/check_bulk.py {asked.model.name} {asked.pictures.name} "
        f"{asked.result.name} --images {asked.images}",
        "images": asked.images,
        "image_size": list(size),
        "model": model_manifest(asked.model).kind,
        "runs": runs,
        "at_the_kill": rows_at_kill,
        "every_image_exactly_once": sorted(counts) == sorted(names) and set(counts.values()) == {1},
        "rows_without_a_score": sum(not row["score"] for row in rows),
        "peak_mib": peak,
        "limit_mib": LIMIT_MIB,
        "growth_mib": last["growth_mib"],
    }
    write_result(asked.result, content)
    print(json.dumps({name: content[name] for name in list(content)[3:]}, indent=1))
    if not content["every_image_exactly_once"] or peak > LIMIT_MIB:
        sys.exit(1)


if __name__ == "__main__":
    main()
