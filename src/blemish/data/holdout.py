"""Setting good images aside: what calibration sees, training never does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from blemish.data.sample import Sample


def hold_out(
    samples: Sequence[Sample], share: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Split good samples into those kept for training and those held out, per product.

    The draw depends on the seed and the product's name alone, so that a product's split does not
    change when another product joins. Of each product with at least four images, at least one is
    held out and at least two are kept; a smaller product is kept whole.

    Args:
        samples: Good samples of any number of products.
        share: Share to hold out, in [0, 1).
        seed: Seed of the draw.

    Returns:
        Kept and held-out samples, each in the given order.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.holdout import hold_out
        >>> from blemish.data.sample import Sample
        >>> good = [Sample(Path(f"{i}.png"), "nut", "train", 0) for i in range(10)]
        >>> [len(part) for part in hold_out(good, 0.2, seed=0)]
        [8, 2]
    """
    held: set[int] = set()
    for product in dict.fromkeys(sample.product for sample in samples):
        rows = [row for row, sample in enumerate(samples) if sample.product == product]
        count = min(max(1, round(share * len(rows))), len(rows) - 2)
        if share <= 0 or len(rows) < 4:
            continue
        name = int.from_bytes(hashlib.sha256(product.encode()).digest()[:8], "big")
        order = np.random.default_rng([seed, name]).permutation(len(rows))
        held.update(rows[position] for position in order[:count])
    kept = [sample for row, sample in enumerate(samples) if row not in held]
    return kept, [samples[row] for row in sorted(held)]
