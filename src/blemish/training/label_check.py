"""Label noise: pictures among the good ones that are probably not good, named by a robust test.

Two looks by the trio's leave-one-out scores, whatever method is trained:

1. Every picture is measured without its own rows in the memory. Mislabelled ones with the same
   defect are in each other's memory and widen what is usual, so that their scores shrink; their
   ranks hardly do, as one's rows leave a hole where the memory has spared those of the others.
2. The tenth with the largest scores are taken for suspects and measured once more, by the pictures
   that are none: all suspects are left out together, and nothing masks them any more.

A suspect is named where it lies so far beyond the other pictures as the oddest of n good ones does
in one folder of eighty, were the tail of their scores exponential. For masking and trimming see
Hadi and Simonoff, "Procedures for the Identification of Multiple Outliers in Linear Models", JASA
1993.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish._progress import Progress
from blemish.data.left_out import leave_out_flags, short_names
from blemish.data.sample import Sample
from blemish.methods.base import Batch, Method, OutOfFold
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.look import OneLook
from blemish.teachers.teacher import Teacher
from blemish.training.batches import TrainingBatches

#: Good pictures of a product below which too little is known of what is usual.
FEWEST = 20
#: Share of a product's pictures that are measured a second time, and the least number.
_SUSPECTS, _LEAST = 0.1, 3
#: Largest first score, in deviations of the lower nine tenths, that makes a second look worth it.
_WORTH = 8.0
#: Share of good folders that are suspected, were the tail of scores exponential.
_FALSE = 1 / 80
#: Deviation of the lower nine tenths of good scores, in that of an exponential tail: of exponential
#: scores it would be 0.6, but the trio's have a shorter tail.
_TRIMMED = 0.8
#: Fewer rows than for judging: what stands apart here stands far apart.
_CONFIG = TrioConfig(pool=6000, rows=500, turned=0)
#: Pictures that are measured at a time.
_AT_A_TIME = 16
#: Names that one sentence has room for.
_NAMED = 10

#: The pictures at these ascending positions, with their features or images.
Batches = Callable[[Sequence[int]], Iterable[Batch]]


class Suspect(NamedTuple):
    """A picture among the good ones that is probably not good.

    Attributes:
        sample: The picture.
        score: Deviations of the other pictures' scores that it lies beyond their median.
    """

    sample: Sample
    score: float


def mislabelled(
    teacher: Teacher,
    input_size: tuple[int, int],
    samples: Sequence[Sample],
    batches: Batches,
    *,
    first: NDArray[np.float64] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Suspect]:
    """The good pictures that stand apart from the others of their product, the oddest first.

    Up to a tenth of a product's pictures can be found, alike or not. Products of fewer than
    :data:`FEWEST` are not judged.

    Args:
        teacher: Frozen backbone.
        input_size: ``(H, W)`` of the preprocessed images.
        samples: Good pictures, of any number of products.
        batches: Gives those at some ascending positions among ``samples``.
        first: Out-of-fold scores ``(n,)`` where the method has some, for the first look; not a
            number for samples that it has not measured.
        seed: Of the patches that are drawn.
        progress: Where progress is shown.
    """
    odd: dict[Path, Suspect] = {}
    together = list(_together(samples, first))
    shown = progress if progress and together else Progress(quiet=True)
    for rows in shown.track(together, "Checking labels", len(together)):
        parts = np.array([samples[row].part or f"#{row}" for row in rows])

        def measure(as_parts: NDArray[Any], rows: Sequence[int] = rows) -> NDArray[np.float64]:
            return _by_others(teacher, input_size, batches(rows), as_parts.tolist(), seed)

        scores = measure(parts) if first is None else first[rows]
        names, of = np.unique(parts, return_inverse=True)
        oddest = np.full(len(names), -np.inf)
        np.maximum.at(oddest, of, scores)  # the views of a part, the tiles of a picture, as one
        suspected = max(_LEAST, math.ceil(_SUSPECTS * len(names)))
        order = np.argsort(-oddest)
        usual = oddest[order[suspected:]]
        if oddest[order[0]] - np.median(oddest) < _WORTH * usual.std():
            continue
        apart = np.isin(of, order[:suspected])
        scores = measure(np.where(apart, "suspects", parts))
        limit = math.log(len(rows) / _FALSE) / _TRIMMED
        for at in np.flatnonzero(apart & (scores > limit)):
            suspect = Suspect(samples[rows[at]], float(scores[at]))
            path = suspect.sample.path
            odd[path] = max(odd.get(path, suspect), suspect, key=lambda found: found.score)
    return sorted(odd.values(), key=lambda suspect: -suspect.score)


def suspects_among(
    method: Method,
    sources: Sequence[tuple[TrainingBatches, Sequence[int]]],
    *,
    found: OutOfFold | None = None,
    seed: int,
    progress: Progress,
) -> list[Suspect]:
    """:func:`mislabelled` of good images by a method's teacher.

    Args:
        method: With the teacher.
        sources: What there is of good images, and their rows in it.
        found: What the method has measured of them, in their order.
        seed: Of the training.
        progress: Where progress is shown.
    """
    where = [(source, row) for source, (_, rows) in enumerate(sources) for row in rows]
    samples = []
    for source, row in where:
        sample = sources[source][0].samples[row]
        # The pictures of two sources that are cut into tiles have the same numbers.
        own = replace(sample, part=sample.part and f"{source} {sample.part}")
        if (coarse := sources[source][0].coarse) and coarse[row]:  # measured by their like
            own = replace(own, product=f"{own.product} (whole)")
        samples.append(own)
    first = None
    if found is not None and found.apart is not None:
        first = np.full(len(where), np.nan)
        first[found.image.cpu().numpy()] = found.apart.double().cpu().numpy()

    def batches(asked: Sequence[int]) -> Iterable[Batch]:
        for source, (data, _) in enumerate(sources):
            own = [where[at][1] for at in asked if where[at][0] == source]
            yield from data.in_order(own, _AT_A_TIME)

    return mislabelled(
        method.teacher,
        method.input_size,
        samples,
        batches,
        first=first,
        seed=seed,
        progress=progress,
    )


def suspects_note(
    suspects: Sequence[Suspect], good: Sequence[Sample], *, verb: str = "fit"
) -> list[str]:
    """One sentence that names the suspects, with the flags that leave them out."""
    if not suspects:
        return []
    names = short_names([suspect.sample for suspect in suspects[:_NAMED]], good)
    more = len(suspects) - len(names)
    which = ", ".join(names) + (f" and {more} more" if more else "")
    stand, them = ("stands", "it") if len(suspects) == 1 else ("stand", "them")
    again = "of the model as it was before, " if verb == "learn" else ""
    return [
        f"Worth a look: {which} {stand} far apart from the other good pictures. A good part that "
        f"only looks odd belongs there; a defect is learned as good. Without {them}: {again}"
        f"`blemish {verb} … {leave_out_flags(names)}`"
    ]


def _together(samples: Sequence[Sample], first: NDArray[np.float64] | None) -> Iterable[list[int]]:
    """Positions of the samples that are measured by each other: of one product, not too many."""
    for product in dict.fromkeys(sample.product for sample in samples):
        rows = [
            row
            for row, sample in enumerate(samples)
            if sample.product == product and (first is None or np.isfinite(first[row]))
        ]
        for start in range(turns := math.ceil(len(rows) / _CONFIG.pictures)):
            own = rows[start::turns]
            if len({samples[row].part or row for row in own}) >= FEWEST:
                yield own


def _by_others(
    teacher: Teacher,
    input_size: tuple[int, int],
    batches: Iterable[Batch],
    parts: Sequence[str],
    seed: int,
) -> NDArray[np.float64]:
    """Score of each picture by those of other ``parts``."""

    def named() -> Iterable[Batch]:
        seen = 0
        for batch in batches:
            count = len(batch.products or ())
            # One product, whatever it is called.
            yield replace(batch, parts=tuple(parts[seen : seen + count]), products=None)
            seen += count

    with torch.random.fork_rng(devices=[]), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of equal pictures k-means complains
        torch.manual_seed(seed)
        trio = _Alone(_CONFIG, teacher, input_size).eval().to(teacher.mean.device)
        trio.fit_statistics(named())
    found = trio.out_of_fold()
    scores = np.full(len(parts), -np.inf)  # of a kind that is all suspects nothing is known
    if found is not None:
        assert found.apart is not None
        scores[found.image.cpu().numpy()] = found.apart.double().cpu().numpy()
    return scores


class _Alone(OneLook):
    """The trio without its folds: only what pictures score without their own rows is asked."""

    def folds(self, part: Tensor) -> Tensor:
        return torch.zeros_like(part)
