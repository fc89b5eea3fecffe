"""Hold-out: which good images train and which are set aside to calibrate, never both."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blemish.data.images.reading import image_size
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError, ImageError


def hold_out(
    samples: Sequence[Sample], share: float, seed: int, *, training: Sequence[Sample] = ()
) -> tuple[list[Sample], list[Sample]]:
    """Split good samples into those kept for training and those held out, per product.

    Views of one part (:attr:`Sample.part`) stay together: all are kept or all are held out. The
    draw depends on the seed and the product's name alone, so that a product's split does not
    change when another product joins. Of each product with at least four images, at least one
    image or part is held out and at least two images are kept; a smaller product, or one of a
    single part, is kept whole.

    Args:
        samples: Good samples of any number of products.
        share: Share of the images to hold out, in [0, 1); with parts, as near as whole parts come.
        seed: Seed of the draw.
        training: Further samples that train, such as labelled defects; parts that they show are
            not held out.

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
    if not 0 <= share < 1:
        raise ConfigError(
            f"A share of {share} of the good images was to be held out; expected one in [0, 1), "
            "such as 0.2."
        )
    held: set[int] = set()
    for product in dict.fromkeys(sample.product for sample in samples):
        rows = [row for row, sample in enumerate(samples) if sample.product == product]
        if len(rows) < 4:
            continue
        name = int.from_bytes(hashlib.sha256(product.encode()).digest()[:8], "big")
        own = [samples[row] for row in rows]
        drawn = draw_parts(own, share, np.random.default_rng([seed, name]), training=training)
        held.update(rows[position] for position in drawn)
    kept = [sample for row, sample in enumerate(samples) if row not in held]
    return kept, [samples[row] for row in sorted(held)]


def draw_parts(
    samples: Sequence[Sample],
    share: float,
    rng: np.random.Generator,
    *,
    training: Sequence[Sample] = (),
) -> set[int]:
    """Positions of about a ``share`` of the samples, whole parts only, two images left at least.

    A sample without a part is a part of its own, so that without any the share is exact. Parts
    that ``training`` shows are not drawn.
    """
    groups: list[object] = [
        position if sample.part is None else (sample.product, sample.part)
        for position, sample in enumerate(samples)
    ]
    wanted = min(max(1, round(share * len(groups))), len(groups) - 2) if share > 0 else 0
    taken = {(sample.product, sample.part) for sample in training}
    sizes = Counter(groups)
    order = list(sizes)  # by first appearance
    drawn: set[object] = set()
    count = 0
    for position in rng.permutation(len(order)) if wanted > 0 else ():
        group, size = order[position], sizes[order[position]]
        if group in taken or count + size > len(groups) - 2:
            continue
        if drawn and abs(count + size - wanted) > abs(count - wanted):
            break
        drawn.add(group)
        count += size
    return {position for position, group in enumerate(groups) if group in drawn}


def good_training_samples(
    data_set: DataSet, failures: list[tuple[Path, str]]
) -> tuple[list[Sample], list[tuple[int, int]]]:
    """The good training images whose header can be read, and their sizes ``(H, W)``.

    ``failures`` receives path and reason of each that cannot.

    Raises:
        DataError: Fewer than two such images, or a product whose name is not text.
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
