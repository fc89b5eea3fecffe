"""The first images of each class of MNIST or Fashion-MNIST, for figures on a small CPU.

    python benchmarks/idx_subset.py FASHION_MNIST_DIR fashion-1000-200 1000 200
    blemish benchmark --method anomem --protocol one_class --data fashion-1000-200 --out results

Takes the first 1,000 training and the first 200 test images of each class, in the order of the
files. Figures on a subset do not compare with the literature's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from mnist_from_npm import write_idx

from blemish.data.layouts import read_data_set


def main(source: str, target: str, train: str, test: str) -> None:
    data_set = read_data_set(source)
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, split, most in (("train", "train", int(train)), ("t10k", "test", int(test))):
        images, labels = [], []
        for label, name in enumerate(data_set.products):
            samples = data_set.of_products([name]).split(split).samples[:most]  # type: ignore[arg-type]
            images += [sample.image for sample in samples]
            labels += [label] * len(samples)
        grey = [
            image if image.ndim == 2 else image[..., 0] for image in images if image is not None
        ]
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", np.stack(grey))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.array(labels, np.uint8))


if __name__ == "__main__":
    main(*sys.argv[1:])
