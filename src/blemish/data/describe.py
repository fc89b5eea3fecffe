"""Data-set inspection: counts and sizes, and what is wrong: leaks, doubles, unreadable files."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from blemish.data.images.reading import read_header, read_mask, read_with_largest
from blemish.data.pixel_checks import PixelChecks
from blemish.data.sample import DataSet, Sample
from blemish.errors import DataError, ImageError

_SHOWN = 3  # files named in one problem


@dataclass
class ProductDescription:
    """One product of a data set.

    Attributes:
        counts: Split to kind to number of images. The kinds are ``good``, ``unknown`` (not
            labelled) and the data set's defect kinds.
        modes: Pixel format (Pillow's name, ``array`` for pixels given directly) to number.
        sizes: ``(H, W)`` of every image that can be read.
        masks: Defective images whose masks can be read and have their size.
        unmasked: Defective images without a mask.
        unreadable, bad_masks, misfits: What is wrong with files, one text each.
    """

    name: str
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    modes: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    masks: int = 0
    unmasked: int = 0
    unreadable: list[str] = field(default_factory=list)
    bad_masks: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def smallest(self) -> tuple[int, int] | None:
        """Smallest height and smallest width in pixels; ``None`` if nothing can be read."""
        return _each(min, self.sizes)

    @property
    def largest(self) -> tuple[int, int] | None:
        """Largest height and largest width."""
        return _each(max, self.sizes)


@dataclass(frozen=True)
class Description:
    """A data set in numbers."""

    layout: str
    root: Path
    products: tuple[ProductDescription, ...]  # in the data set's order
    problems: tuple[str, ...]  # the data set's own, then those found by looking at the files


def describe(
    data_set: DataSet,
    *,
    decode: bool = True,
    bit_depth: int = 16,
    on_progress: Callable[[int, int], None] | None = None,
) -> Description:
    """Look at every file of a data set.

    Args:
        data_set: From :func:`blemish.data.layouts.read_data_set`.
        decode: Decode every image and mask, which finds files that are cut short and what
            :mod:`blemish.data.pixel_checks` looks for. ``False`` reads headers only: sizes and
            formats, much faster.
        bit_depth: Bits that 16-bit images are taken to use.
        on_progress: Called after each image with the number done and the number of all.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.data.describe import describe
        >>> from blemish.data.sample import DataSet, Sample
        >>> image = np.zeros((4, 6), np.uint8)
        >>> samples = tuple(Sample(Path(f"a#{i}"), "a", "train", 0, image=image) for i in (0, 1))
        >>> found = describe(DataSet("mnist", Path("a"), samples))
        >>> dict(found.products[0].counts["train"]), found.products[0].smallest
        ({'good': 2}, (4, 6))
        >>> found.problems
        ('a: 1 image occurs more than once in train: a#0 = a#1.',)
    """
    products = {name: ProductDescription(name) for name in data_set.products}
    checks = PixelChecks(bit_depth)
    for done, sample in enumerate(data_set.samples, start=1):
        _look_at(sample, products[sample.product], checks if decode else None)
        if on_progress is not None:
            on_progress(done, len(data_set.samples))
    problems = list(data_set.problems)
    for name, found in products.items():
        if found.unreadable:
            number = _count(found.unreadable, "image")
            problems.append(f"{name}: {number} cannot be read: {found.unreadable[0]}")
        if found.bad_masks:
            number = _count(found.bad_masks, "mask")
            problems.append(f"{name}: {number} cannot be used: {found.bad_masks[0]}")
        if found.misfits:
            problems.append(
                f"{name}: {_count(found.misfits, 'mask')} of another size than the image: "
                f"{_first(found.misfits)}. They count for no pixel metric: export them at the size "
                "of their images."
            )
    across, within = _repetitions(data_set.samples, data_set.root)
    problems += [*across, *within, *checks.sentences()]
    return Description(data_set.layout, data_set.root, tuple(products.values()), tuple(problems))


def _look_at(sample: Sample, found: ProductDescription, checks: PixelChecks | None) -> None:
    kind = {0: "good", None: "unknown"}.get(sample.label, sample.defect_kind or "defective")
    found.counts[sample.split][kind] += 1
    if sample.label == 1 and not sample.mask_paths:
        found.unmasked += 1
    if sample.image is not None:
        found.sizes.append((sample.image.shape[0], sample.image.shape[1]))
        found.modes["array"] += 1
        return
    try:
        header = read_header(sample.path)
        if checks is not None:
            pixels, largest = read_with_largest(sample.path, bit_depth=checks.bit_depth)
            checks.picture(sample, pixels, largest=largest, frames=header.frames)
    except ImageError as error:
        found.unreadable.append(str(error))
        return
    found.sizes.append(header.size)
    found.modes[header.mode] += 1
    for path in sample.mask_paths:
        try:
            if checks is not None:
                values = read_mask(path, expected_size=header.size)
                checks.mask(path, values, sample.product)
                if not values.any():
                    found.bad_masks.append(f"{path} marks no pixel.")
            elif read_header(path).size != header.size:
                raise DataError(f"{path} has another size")
        except ImageError as error:
            found.bad_masks.append(str(error))
            return
        except DataError:
            found.misfits.append(f"{path.parent.name}/{path.name}")
            return
    found.masks += bool(sample.mask_paths)


def shared_images(samples: Iterable[Sample], root: Path) -> list[str]:
    """Sentences for equal images in two splits; paths are shown from ``root``.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.data.describe import shared_images
        >>> from blemish.data.sample import Sample
        >>> image = np.zeros((4, 6), np.uint8)
        >>> splits = [Sample(Path(f"a/{s}"), "a", s, 0, image=image) for s in ("train", "test")]
        >>> shared_images(splits, Path("a"))
        ['1 image is in both train and test, so figures on test are too good: train = test.']
    """
    return _repetitions(samples, root)[0]


def _repetitions(samples: Iterable[Sample], root: Path) -> tuple[list[str], list[str]]:
    """Sentences for equal images: across splits, and within training."""
    leaks: dict[tuple[str, str], list[str]] = defaultdict(list)
    doubles: dict[str, list[str]] = defaultdict(list)
    for group in _equal(samples):
        by_split: dict[str, list[str]] = defaultdict(list)
        for sample in group:
            path = sample.path
            inside = path.is_relative_to(root)
            short = path.relative_to(root).as_posix() if inside else str(path)
            by_split[sample.split].append(short)
        for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
            if by_split[one] and by_split[other]:
                leaks[one, other].append(f"{by_split[one][0]} = {by_split[other][0]}")
        if len(by_split["train"]) > 1:
            product = next(s.product for s in group if s.split == "train")
            doubles[product].append(" = ".join(by_split["train"][:2]))
    across = [
        f"{_count(pairs, 'image')} {'is' if len(pairs) == 1 else 'are'} in both {one} and "
        f"{other}, so figures on {other} are too good: {_first(pairs)}."
        for (one, other), pairs in leaks.items()
    ]
    within = [
        f"{product}: {_count(pairs, 'image')} {'occurs' if len(pairs) == 1 else 'occur'} more "
        f"than once in train: {_first(pairs)}."
        for product, pairs in doubles.items()
    ]
    return across, within


def _equal(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Groups of two or more samples with the same bytes."""
    by_size: dict[tuple[object, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.image is not None:
            by_size[sample.image.shape].append(sample)
        else:
            try:
                by_size["bytes", sample.path.stat().st_size].append(sample)
            except OSError:
                continue  # reported as unreadable
    by_content: dict[tuple[object, ...], list[Sample]] = defaultdict(list)
    for size, candidates in by_size.items():
        if len(candidates) < 2:  # files of different length differ: most are never read here
            continue
        for sample in candidates:
            content = (*size, _digest(sample))
            if content[-1] is not None:
                by_content[content].append(sample)
    return [group for group in by_content.values() if len(group) > 1]


def _digest(sample: Sample) -> bytes | None:
    content = hashlib.blake2b(digest_size=16)
    if sample.image is not None:
        content.update(sample.image.tobytes())
        return content.digest()
    try:
        with sample.path.open("rb") as file:
            while block := file.read(2**20):
                content.update(block)
    except OSError:
        return None
    return content.digest()


def _each(
    choose: Callable[[Iterable[int]], int], sizes: list[tuple[int, int]]
) -> tuple[int, int] | None:
    return (choose(h for h, _ in sizes), choose(w for _, w in sizes)) if sizes else None


def _count(things: list[str], noun: str) -> str:
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"


def _first(things: list[str]) -> str:
    return ", ".join(things[:_SHOWN]) + (", …" if len(things) > _SHOWN else "")
