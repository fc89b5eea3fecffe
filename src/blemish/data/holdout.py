"""Which good images train and which are set aside: what calibrates is never trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blemish.data.images.image import image_size
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError, ImageError


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

    Raises:
        ConfigError: A share outside [0, 1).

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.holdout import hold_out
        >>> from blemish.data.sample import Sample
        >>> good = [Sample(Path(f"{i}.png"), "nut", "train", 0) for i in range(10)]
        >>> [len(part) for part in hold_out(good, 0.2, seed=0)]
        [8, 2]
    """
    if not 0 <= share < 1:
        raise ConfigError(
            f"A share of {share} of the good images was to be held out; expected one in [0, 1), "
            "such as 0.2."
        )
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


def good_training_samples(
    data_set: DataSet, failures: list[tuple[Path, str]]
) -> tuple[list[Sample], list[tuple[int, int]]]:
    """The good training images whose header can be read, and their sizes ``(H, W)``.

    Args:
        data_set: Any data set.
        failures: Receives path and reason of each image that cannot be read.

    Raises:
        DataError: Fewer than two such images, or a product whose name is not text.

    Example:
        >>> import numpy as np
        >>> from blemish.data.holdout import good_training_samples
        >>> from blemish.data.sources import training_data
        >>> good_training_samples(training_data(np.zeros((3, 8, 9), np.uint8)), [])[1][0]
        (8, 9)
    """
    for product in data_set.products:
        try:
            product.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The name of the product {product!r} in {data_set.root} is not valid text, and a "
                "model file could not hold it. Rename its folder."
            ) from None
    good: list[Sample] = []
    sizes: list[tuple[int, int]] = []
    for sample in data_set.split("train").samples:
        if not sample.is_good:
            continue
        try:
            shape = image_size(sample.path) if sample.image is None else sample.image.shape
        except ImageError as error:
            failures.append((sample.path, str(error)))
            continue
        good.append(sample)
        sizes.append((shape[0], shape[1]))
    if len(good) < 2:
        reasons = "".join(f"\n  {reason}" for _, reason in failures[:5])
        raise DataError(
            f"{data_set.root} (layout {data_set.layout}) has {len(good)} readable good images to "
            "train on; at least 2 are needed, and some 20 for a useful model. Put them into a "
            f"folder named good.{reasons}"
        )
    return good, sizes
