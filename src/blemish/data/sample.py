"""Samples: what is known of an image before it is read, a data set as a list of them, its split.

A good image trains or is set aside to calibrate, never both.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from blemish.errors import ConfigError
from blemish.results import Note

Split = Literal["train", "validation", "test"]
Item = TypeVar("Item")

#: Share of the good images that calibrates where the method cannot measure each by the others.
HOLD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Sample:
    """One image of a data set: where it is and what is known of it.

    Attributes:
        path: The image's file. For images inside an array file (IDX, CIFAR) the file's path with
            the position appended, as in ``train-images-idx3-ubyte.gz#17``.
        product: Name of the product (``category`` in data sets and papers).
        split: ``train``, ``validation`` or ``test``.
        label: 0 good, 1 defective, ``None`` unknown.
        defect_kind: Name of the defect kind, ``None`` for good images.
        mask_paths: Ground-truth PNGs. MVTec AD has one; MVTec LOCO one per defect. Empty where
            there is none: for a good image that means "nothing is wrong", for a defective one
            "not annotated".
        image: The pixels ``(H, W)`` or ``(H, W, 3)`` uint8, for images that are not files.
        part: Identity of the physical part where several images show one (Real-IAD's views);
            a score of the part is the maximum over its images.
        group: Name of what the image shares with others that are like it (part, strip, lot, hour);
            unique within the product. Empty: it stands alone. ``None``: nothing is known beyond
            the part.
        notes: What reading the pixels of ``image`` has found.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.sample import Sample
        >>> Sample(Path("bottle/train/good/000.png"), "bottle", "train", 0).is_good
        True
    """

    path: Path
    product: str
    split: Split
    label: int | None
    defect_kind: str | None = None
    mask_paths: tuple[Path, ...] = ()
    image: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    part: str | None = None
    group: str | None = None
    notes: tuple[Note, ...] = field(default=(), repr=False, compare=False)

    @property
    def together(self) -> str | None:
        """What keeps the image on one side of a split with others of its product, if anything."""
        return self.part if self.group is None else self.group or None

    @property
    def is_good(self) -> bool:
        """True for an image known to be good."""
        return self.label == 0


@dataclass(frozen=True, repr=False)
class DataSet:
    """A recognised data set.

    Attributes:
        layout: Name of the recognised layout, e.g. ``mvtec_ad`` or ``folder``.
        root: The folder or file it was read from.
        samples: All images, in a fixed order (product, split, path).
        problems: One sentence for each thing that was found wrong but does not stop the work.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.sample import DataSet, Sample
        >>> s = Sample(Path("a/good/1.png"), "a", "train", 0)
        >>> DataSet("folder", Path("a"), (s,))
        DataSet('folder', 'a', a: 1 train)
    """

    layout: str
    root: Path
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        names = self.products
        products = ", ".join(names) if len(names) < 5 else f"{len(names)} products"
        splits = Counter(s.split for s in self.samples)
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        held = f"{products}: {counts}" if names else "no images"
        return f"DataSet({self.layout!r}, {str(self.root)!r}, {held})"

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products, in order of appearance."""
        return tuple(dict.fromkeys(s.product for s in self.samples))

    def where(self, keep: Callable[[Sample], bool]) -> DataSet:
        """The same data set with the samples for which ``keep`` is true."""
        return replace(self, samples=tuple(s for s in self.samples if keep(s)))

    def split(self, *splits: Split) -> DataSet:
        """The samples of the named splits."""
        return self.where(lambda s: s.split in splits)

    def of_products(self, products: Iterable[str]) -> DataSet:
        """The samples of the named products."""
        wanted = frozenset(products)
        return self.where(lambda s: s.product in wanted)


def check_share(share: float) -> None:
    """Raise :class:`ConfigError` for a share of the good images that cannot be held out."""
    if not 0 <= share < 1:
        raise ConfigError(
            f"A share of {share} of the good images was to be held out; expected one in [0, 1), "
            "such as 0.2."
        )


def hold_out(
    samples: Sequence[Sample], share: float, seed: int, *, training: Sequence[Sample] = ()
) -> tuple[list[Sample], list[Sample]]:
    """Split good samples into those kept for training and those held out, per product.

    Groups and views of one part (:attr:`Sample.together`) are all kept or all held out. The
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
        >>> from blemish.data.sample import Sample, hold_out
        >>> good = [Sample(Path(f"{i}.png"), "nut", "train", 0) for i in range(10)]
        >>> [len(part) for part in hold_out(good, 0.2, seed=0)]
        [8, 2]
    """
    check_share(share)
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


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly spread from the first on.

    Example:
        >>> from blemish.data.sample import spread
        >>> spread(range(10), 4), spread("ab", 4)
        ([0, 2, 5, 7], ['a', 'b'])
    """
    step = max(1.0, len(items) / most)
    return [items[int(k * step)] for k in range(min(most, len(items)))]


def some_of_each(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most so many samples of each product, evenly spread over them."""
    rows: dict[str, list[Sample]] = {}
    for sample in samples:
        rows.setdefault(sample.product, []).append(sample)
    return [sample for own in rows.values() for sample in spread(own, most)]


def draw_parts(
    samples: Sequence[Sample],
    share: float,
    rng: np.random.Generator,
    *,
    training: Sequence[Sample] = (),
) -> set[int]:
    """Positions of about a ``share`` of the samples, whole parts only, two images left at least.

    A sample without a part or group is one of its own, so that without any the share is exact.
    Parts that ``training`` shows are not drawn.
    """
    groups: list[object] = [
        position if sample.together is None else (sample.product, sample.together)
        for position, sample in enumerate(samples)
    ]
    wanted = min(max(1, round(share * len(groups))), len(groups) - 2) if share > 0 else 0
    taken = {(sample.product, sample.together) for sample in training}
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
