"""Samples: what is known of an image before it is read, and a data set as a list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]


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
