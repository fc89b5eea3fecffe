"""How much memory one large image takes, tiled: RADAR at an input of 3008×4000 pixels.

    python benchmarks/check_radar_memory.py RESULT.json

The weights are random: memory and time do not depend on them.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import torch

from blemish.benchmark.result_file import write_result
from blemish.methods.radar.config import RADARConfig
from blemish.methods.radar.model import RADAR
from blemish.teachers.teacher import NoTeacher

SIZE = (3008, 4000)


def main(result: str) -> None:
    torch.set_num_threads(1)
    method = RADAR(RADARConfig(), NoTeacher(), SIZE).eval()
    image = torch.randint(0, 256, (1, 3, *SIZE), dtype=torch.uint8)
    with torch.inference_mode():
        before, started = peak(), time.process_time()
        output = method(image)
    content = {
        "input": list(SIZE),
        "peak_mib_before": round(before),
        "peak_mib": round(peak()),
        "more_mib": round(peak() - before),
        "cpu_seconds": round(time.process_time() - started, 1),
        "map": list(output.anomaly_map.shape),
    }
    print(json.dumps(content))
    write_result(result, content)


def peak() -> float:
    """Largest resident memory of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
