"""Parity: both models judge the same images end to end, and the differences are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish._progress import Progress
from blemish.calibration import Calibration
from blemish.data.sample import Sample
from blemish.data.sources import source_pixels
from blemish.inspector import Inspector
from blemish.results import Prediction

#: Largest relative difference of a float32 export, in scores, branch scores and maps.
LARGEST_DIFFERENCE = 1e-3
#: Smallest rank correlation of an int8 export's scores with the trained model's.
SMALLEST_RANK_CORRELATION = 0.98
#: Largest relative difference of a score by the letterbox of a graph for any size. Pillow rounds
#: products of whole numbers, a graph those of floats: of some ten thousand values of the input one
#: differs, by 1 of 255.
LARGEST_BY_LETTERBOX = 1e-2
#: Pictures on which that is tried.
OWN_SIZE_IMAGES = 20
#: Nearer to a limit than this, relative to the scores' scale, only rounding decides the verdict.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Parity:
    """What the comparison found. Differences are the largest ones over all images.

    Attributes:
        images: Number of images judged by both.
        source: Which images these are, in words.
        score: Difference of a score, relative to the scores' scale: the larger of their median
            magnitude and their standard deviation, as the trained model gives them.
        anomaly_map: Difference of a map's value, relative to the largest value of that map.
        branches: As ``score``, by branch.
        verdicts: Number of images with a verdict from both.
        changed: Names of images whose verdict differs.
        on_limit: Number of images whose verdict differs because both scores *are* a limit, to
            within rounding. A limit can be the score of a calibration image.
        rank_correlation: Spearman's, of the scores.
        recognised: Names of images that the two take for different products.
    """

    images: int
    source: str
    score: float
    anomaly_map: float
    branches: dict[str, float] = field(default_factory=dict)
    verdicts: int = 0
    changed: tuple[str, ...] = ()
    on_limit: int = 0
    rank_correlation: float = 1.0
    recognised: tuple[str, ...] = ()

    def problems(self, precision: str) -> list[str]:
        """Why an export of this precision must not be used, one sentence each; empty if it may.

        Args:
            precision: ``float32``: every difference within 1e-3, every verdict and every
                recognised product the same. ``int8``: a rank correlation of at least 0.98; verdicts
                are not compared with the trained model's, because an int8 model gets limits from
                its own scores.
        """
        found = []
        differences = {"score": self.score, "anomaly map": self.anomaly_map}
        differences |= {f"score of branch {name}": v for name, v in self.branches.items()}
        if precision == "int8":
            found += [
                f"The {what} is not a finite number for some image."
                for what, value in differences.items()
                if not math.isfinite(value)
            ]
            if not self.rank_correlation >= SMALLEST_RANK_CORRELATION:  # also when it is NaN
                found.append(
                    f"The rank correlation of the scores is {self.rank_correlation:.3f}; at least "
                    f"{SMALLEST_RANK_CORRELATION} is accepted."
                )
            return found
        for what, value in differences.items():
            if not value <= LARGEST_DIFFERENCE:
                found.append(
                    f"The {what} differs by {value:.3g} relative; at most "
                    f"{LARGEST_DIFFERENCE:g} is accepted."
                )
        if self.recognised:
            found.append(
                f"{len(self.recognised)} of {self.images} images are taken for another product, "
                f"first of {self.recognised[0]}."
            )
        if self.changed:
            found.append(
                f"The verdict of {len(self.changed)} of {self.verdicts} images changed, first of "
                f"{self.changed[0]}."
            )
        return found

    def lines(self) -> list[str]:
        """What was found, in words."""
        branches = "".join(f", {name} {value:.2g}" for name, value in self.branches.items())
        lines = [
            f"Compared on {self.source}.",
            f"Largest relative difference: score {self.score:.2g}, map {self.anomaly_map:.2g}"
            f"{branches}; rank correlation of the scores {self.rank_correlation:.4f}.",
        ]
        if self.verdicts:
            line = f"Verdicts that differ: {len(self.changed)} of {self.verdicts}"
            if self.on_limit:
                line += f", and {self.on_limit} whose score is itself a limit, to within rounding"
            lines.append(f"{line}.")
        if self.recognised:
            lines.append(f"Taken for another product: {len(self.recognised)} of {self.images}.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        return {
            **asdict(self),
            "changed": list(self.changed),
            "recognised": list(self.recognised),
        }


def compare(
    trained: Inspector,
    exported: Inspector,
    samples: Sequence[Sample],
    *,
    source: str,
    progress: Progress | None = None,
) -> Parity:
    """Judge samples with both models, from the file or pixels to the verdict.

    Args:
        trained: The model as it was trained, with its limits.
        exported: As it was exported, with its own.
        samples: At least one.
        source: What the samples are, in words.
        progress: Where progress is shown.

    Raises:
        ImageError: A sample cannot be read.
    """
    pairs = zip(trained.predict(samples), exported.predict(samples), strict=True)
    progress = progress or Progress(quiet=True)
    scores: list[tuple[float, float]] = []
    branches: list[tuple[list[float], ...]] = []
    maps: list[float] = []
    recognised: list[str] = []
    verdicts: list[tuple[Sample, Prediction, Prediction]] = []
    for sample, (one, other) in zip(
        samples, progress.track(pairs, "Comparing", len(samples)), strict=True
    ):
        scores.append((one.score, other.score))
        branches.append(tuple([p.branches[b].score for b in one.branches] for p in (one, other)))
        scale = float(np.abs(one.anomaly_map).max()) or 1.0
        maps.append(float(np.abs(one.anomaly_map - other.anomaly_map).max()) / scale)
        if one.recognised != other.recognised:
            recognised.append(sample.path.name)
        if one.verdict is not None and other.verdict is not None:
            verdicts.append((sample, one, other))
    both = np.asarray(scores)  # (N, 2)
    of_branches = np.asarray(branches).transpose(2, 0, 1)  # (B, N, 2)
    tolerance = ROUNDING * _scale(both[:, 0])
    changed, on_limit = [], 0
    for sample, one, other in verdicts:
        if one.verdict == other.verdict:
            continue
        if trained.calibration and _at_limit(one, other, trained.calibration, tolerance):
            on_limit += 1
        else:
            changed.append(sample.path.name)
    return Parity(
        images=len(samples),
        source=source,
        score=_difference(both),
        anomaly_map=_largest(np.asarray(maps)),
        branches={
            name: _difference(values)
            for name, values in zip(trained.branch_names, of_branches, strict=True)
        },
        verdicts=len(verdicts),
        changed=tuple(changed),
        on_limit=on_limit,
        rank_correlation=rank_correlation(both[:, 0], both[:, 1]),
        recognised=tuple(recognised),
    )


def own_size_difference(exported: Inspector, samples: Sequence[Sample]) -> float:
    """Largest difference of a score where the graph itself letterboxes, relative to their scale.

    Args:
        exported: A graph of :func:`blemish.export.any_size.with_any_size`.
        samples: Given to the graph as they are, and letterboxed as for any other.
    """
    network, preprocessing = exported.ready()
    rows = np.linspace(0, len(samples) - 1, min(OWN_SIZE_IMAGES, len(samples))).round()
    few = [samples[int(row)] for row in rows]
    pairs = []
    for sample, prediction in zip(few, exported.predict(few), strict=True):
        pixels = source_pixels(sample, bit_depth=preprocessing.bit_depth)
        pairs.append((prediction.score, float(network(pixels[None]).scores[0])))
    return _difference(np.asarray(pairs))


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's rank correlation; ties share their mean rank. 1 for a single pair."""
    if len(a) < 2:
        return 1.0
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(a), rankdata(b)])
    if (ranks.std(1) == 0).any():
        return 1.0 if np.array_equal(*ranks) else 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _scale(trained: NDArray[np.float64]) -> float:
    # Scores may lie around zero; their own spread is then what a difference must be seen against.
    return max(float(np.median(np.abs(trained))), float(trained.std())) or 1.0


def _difference(pairs: NDArray[np.float64]) -> float:
    """Largest difference of pairs ``(N, 2)`` of trained and exported, by the trained scale."""
    return _largest(np.abs(pairs[:, 0] - pairs[:, 1])) / _scale(pairs[:, 0])


def _largest(values: NDArray[np.float64]) -> float:
    # NaN, which is no difference to any comparison, must not pass for none.
    return float(values.max()) if np.isfinite(values).all() else float("inf")


def _at_limit(
    one: Prediction, other: Prediction, calibration: Calibration, tolerance: float
) -> bool:
    """Whether both scores are one limit, to within rounding."""
    limits = calibration.limits(one.product)
    return any(
        max(abs(one.score - limit), abs(other.score - limit)) <= tolerance
        for limit in (limits.defect, limits.unsure)
    )
