"""The same trained weights, the same scores: a fingerprint of every score and map, to the last bit.

    python benchmarks/same_scores.py IMAGES BEFORE.json MODEL [MODEL …]    on the commit before
    python benchmarks/same_scores.py IMAGES AFTER.json MODEL [MODEL …]     on the commit after
    python benchmarks/same_scores.py --compare BEFORE.json AFTER.json

Ends with 1 where a score, a branch's score or a map differs by a bit, and says by how much scores
differ at most. One thread, so that sums are taken in one order.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from blemish import open_model


def branch_scores(branches: dict[str, object]) -> dict[str, float]:
    return {name: float(getattr(b, "score", b)) for name, b in branches.items()}  # type: ignore[arg-type]


def record(images: str, result: str, models: list[str]) -> None:
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[object]]] = {}
    for path in models:
        model = open_model(path)
        found[Path(path).name] = {
            str(p.path and p.path.relative_to(images)): [
                float(p.score).hex(),
                {n: s.hex() for n, s in branch_scores(dict(p.branches)).items()},
                hashlib.sha256(np.ascontiguousarray(p.anomaly_map).tobytes()).hexdigest(),
            ]
            for p in model.predict(images)
        }
    Path(result).write_text(json.dumps(found, indent=1))


def compare(before: str, after: str) -> int:
    one, other = (json.loads(Path(path).read_text()) for path in (before, after))
    differ = 0
    for name in one:
        rows = [(one[name][image], other[name].get(image)) for image in one[name]]
        changed = sum(a != b for a, b in rows)
        pairs = [(float.fromhex(a[0]), float.fromhex(b[0])) for a, b in rows]
        most = max(abs(a - b) / abs(a) for a, b in pairs)
        print(f"{name}: {len(rows)} pictures, {changed} differ; scores by {most:.2g} at most")
        differ += changed
    return int(differ > 0)


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(*sys.argv[2:]))
    record(sys.argv[1], sys.argv[2], sys.argv[3:])
