"""Published data sets: what they hold when they are whole, and what one on disk lacks of it.

The counts stand in ``published.json``, each data set's with where they are from.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from blemish.data.sample import DataSet, Split
from blemish.errors import ConfigError

#: What is counted: split, label, and both in words.
_KINDS: tuple[tuple[Split, int, str], ...] = (
    ("train", 0, "good training images"),
    ("validation", 0, "good validation images"),
    ("test", 0, "good test images"),
    ("test", 1, "defective test images"),
)


@cache
def published() -> Mapping[str, Any]:
    """All of ``published.json``."""
    text = (files("blemish.benchmark") / "published.json").read_text(encoding="utf-8")
    content: Mapping[str, Any] = json.loads(text)
    return content


@dataclass(frozen=True)
class PublishedSet:
    """A published data set.

    Attributes:
        title: Its name.
        layouts: Layouts it is found in, its own first.
        masks: Whether every defective image has one.
        url: Where it is from.
        counted: Whose counts these are.
        categories: For each the counts that it may have, one tuple for each of train, validation,
            test good, test defective; ``None`` where they are known for all categories together.
        totals: The same counts over all categories.
    """

    title: str
    layouts: tuple[str, ...]
    masks: bool
    url: str
    counted: str
    categories: Mapping[str, tuple[tuple[int, ...], ...] | None]
    totals: tuple[tuple[int, ...], ...]

    def is_whole(self, train: int, test: int) -> bool:
        """Whether so many good training images and test images are all of it."""
        return train in self.totals[0] and test in map(sum, itertools.product(*self.totals[2:]))


@cache
def published_set(key: str) -> PublishedSet:
    """A data set by its name in ``published.json``.

    Example:
        >>> from blemish.benchmark.published_sets import published_set
        >>> published_set("mvtec_ad").categories["tile"]
        ((230,), (0,), (33,), (84,))
    """
    entry = published()["data_sets"][key]
    categories = {name: _allowed(counts) for name, counts in entry["categories"].items()}
    if "totals" in entry:
        totals = _allowed(entry["totals"])
    else:
        columns = zip(*(counts for counts in categories.values() if counts), strict=True)
        totals = tuple(tuple(sorted(set(map(sum, itertools.product(*c))))) for c in columns)
    assert totals is not None
    return PublishedSet(
        entry["title"],
        tuple(entry["layouts"]),
        entry["masks"],
        entry["from"],
        entry["counted"],
        categories,
        totals,
    )


def _allowed(counts: Sequence[int | list[int]] | None) -> tuple[tuple[int, ...], ...] | None:
    if counts is None:
        return None
    return tuple(tuple(c) if isinstance(c, list) else (c,) for c in counts)


@dataclass(frozen=True)
class Difference:
    """What a data set on disk lacks of the published one, or has besides."""

    found: tuple[str, ...]  # one sentence each; empty where it is whole
    besides: tuple[str, ...]  # categories that the published one does not have
    present: tuple[str, ...]  # the wanted categories that are there, in the published order


def difference(data_set: DataSet, known: PublishedSet, wanted: Sequence[str] = ()) -> Difference:
    """Compare a data set with the published one, category by category.

    Args:
        data_set: As read from disk; nothing of it is decoded.
        known: What there should be.
        wanted: The categories that count; empty: all.

    Raises:
        ConfigError: The data set is of another layout, or none of the categories is there.
    """
    if data_set.layout not in known.layouts:
        raise ConfigError(
            f"{data_set.root} is of the layout {data_set.layout}, and {known.title} is in "
            f"{' or '.join(known.layouts)}. Name the folder that holds it; it is to be had from "
            f"{known.url}."
        )
    names = tuple(wanted) or tuple(known.categories)
    there = set(data_set.products)
    present = tuple(name for name in names if name in there)
    if not present:
        raise ConfigError(
            f"{data_set.root} holds none of {known.title}'s categories {', '.join(names)}: found "
            f"{', '.join(data_set.products)}. Name the folder that holds them."
        )
    counts = Counter((s.product, s.split, s.label) for s in data_set.samples)
    unmasked: Counter[str] = Counter(
        s.product for s in data_set.samples if s.split == "test" and s.label and not s.mask_paths
    )
    # Arrays of one format: where the labels are not those known, the counts alone tell nothing.
    found = [] if known.masks else list(data_set.problems)
    absent = [name for name in names if name not in there]
    if absent:
        found.append(f"{len(absent)} of {len(names)} categories are missing: {', '.join(absent)}.")
    for name in present:
        having = [counts[name, split, label] for split, label, _ in _KINDS]
        found += (f"{name}: {text}" for text in _unlike(having, known.categories[name]))
        if known.masks and unmasked[name]:
            defective = counts[name, "test", 1]
            found.append(f"{name}: {unmasked[name]} of {defective} defective images lack a mask.")
    if not absent and len(names) == len(known.categories):
        whole = [sum(counts[n, split, label] for n in names) for split, label, _ in _KINDS]
        by_category = all(known.categories.values())
        found += (f"All together: {t}" for t in _unlike(whole, known.totals) if not by_category)
    if found:  # what the layout says of the reasons
        found += (p for p in data_set.problems if p.partition(":")[0] in names)
    besides = tuple(name for name in data_set.products if name not in known.categories)
    return Difference(tuple(dict.fromkeys(found)), besides, present)


def _unlike(having: Sequence[int], allowed: tuple[tuple[int, ...], ...] | None) -> Iterator[str]:
    for count, whole, (_, _, words) in zip(having, allowed or (), _KINDS, strict=False):
        if count not in whole:
            gap = count - whole[0]
            what = f"{-gap:,} missing" if gap < 0 else f"{gap:,} too many"
            yield f"{count:,} {words}, published are {whole[0]:,}: {what}."
