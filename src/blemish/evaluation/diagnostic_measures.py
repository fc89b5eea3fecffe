"""Leakage, separability, separation: the three measures of a diagnosis.

Named by "BoRAD: Bootstrap your Own Representations for Multi-class Anomaly Detection", arXiv
2606.14129; how they are measured is ours. *Leakage* is how much of a planted anomaly the student
copies (the identical shortcut): one that rebuilds what it has never seen hides it. *Separability*
is whether products are told apart in the bottleneck, although no label was ever seen: a model that
confuses one product with another rebuilds it as the other. *Separation* is how far the scores of
anomalous images lie from those of good ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

#: Teacher's level and the student's reconstruction of it, shallow to deep.
Pairs = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Leakage:
    """Similarities inside the planted areas, one number per level, shallow to deep.

    ``copied`` is the share of the change in the teacher's direction that the student's follows: 0
    where it rebuilds the good part as if nothing had happened, 1 where it copies the anomaly. The
    others are cosines between the student's output on the anomaly and the teacher's feature of
    the anomaly, and of the clean image.
    """

    copied: tuple[float, ...]
    to_anomalous: tuple[float, ...]
    to_clean: tuple[float, ...]


class LeakageSum:
    """Adds up leakage over images, so that positions count by how much of them is covered.

    With unit vectors ``f, s`` of teacher and student on the clean image, ``f̃, s̃`` on the anomalous
    one and ``w`` the covered share of a position:
    ``copied = Σ w <s̃ − s, f̃ − f> / Σ w ‖f̃ − f‖²``,
    ``to_anomalous = Σ w <s̃, f̃> / Σ w``, ``to_clean = Σ w <s̃, f> / Σ w``.
    """

    def __init__(self, levels: int) -> None:
        self.sums = torch.zeros(5, levels, dtype=torch.float64)

    def add(self, clean: Pairs, anomalous: Pairs, masks: Tensor) -> None:
        """Add images as they were and with an anomaly in each, where ``(N, H, W)`` masks are 1."""
        for level, ((f, s), (f_bad, s_bad)) in enumerate(zip(clean, anomalous, strict=True)):
            f, s, f_bad, s_bad = (F.normalize(v.float(), dim=1) for v in (f, s, f_bad, s_bad))
            size = (f.shape[2], f.shape[3])
            w = F.adaptive_avg_pool2d(masks.float()[:, None], size)[:, 0]  # (N, H_l, W_l)
            change = f_bad - f  # (N, C_l, H_l, W_l)
            sums = (
                ((s_bad - s) * change).sum(1),
                change.square().sum(1),
                (s_bad * f_bad).sum(1),
                (s_bad * f).sum(1),
                torch.ones_like(w),
            )
            for row, values in enumerate(sums):
                self.sums[row, level] += (w * values).double().sum().cpu()

    def result(self) -> Leakage:
        """The figures so far; NaN where nothing was covered or changed."""
        follows, change, to_anomalous, to_clean, weight = self.sums
        return Leakage(
            tuple((follows / change).tolist()),
            tuple((to_anomalous / weight).tolist()),
            tuple((to_clean / weight).tolist()),
        )


def total(parts: Iterable[LeakageSum]) -> LeakageSum:
    """The sum over all images of several sums; at least one."""
    tables = [part.sums for part in parts]
    summed = LeakageSum(tables[0].shape[1])
    summed.sums = torch.stack(tables).sum(0)
    return summed


@dataclass(frozen=True)
class Separability:
    """How well good images of different products separate in a vector space."""

    silhouette: float  # mean coefficient over images, −1..1, Euclidean distance (Rousseeuw, 1987)
    #: Share of images whose nearest product mean, computed on the *other* half of the images, is
    #: that of their own product.
    purity: float
    chance: float  # the purity of always naming the product with most images
    images: int


def separability(
    vectors: NDArray[np.floating], products: Sequence[str], *, seed: int = 0
) -> Separability | None:
    """Measure the separation of products in ``(N, C)`` vectors, one per good image.

    ``None`` with fewer than two products of at least two images each: there is nothing to tell
    apart. Products of one image are left out. The seed draws the halves.
    """
    from sklearn.metrics import silhouette_score  # slow to import

    labels = np.asarray(products)
    names = [name for name in np.unique(labels) if (labels == name).sum() >= 2]
    if len(names) < 2:
        return None
    kept = np.isin(labels, names)
    vectors, labels = np.asarray(vectors, np.float64)[kept], labels[kept]
    half = np.zeros(len(labels), np.int64)
    rng = np.random.default_rng(seed)
    for name in names:
        rows = rng.permutation(np.flatnonzero(labels == name))
        half[rows[: len(rows) // 2]] = 1
    own = np.zeros(len(labels), bool)
    for side in (0, 1):
        means = np.stack([vectors[(labels == name) & (half != side)].mean(0) for name in names])
        judged = half == side
        distances = np.linalg.norm(vectors[judged][:, None] - means, axis=2)  # (N, products)
        own[judged] = np.asarray(names)[distances.argmin(1)] == labels[judged]
    return Separability(
        silhouette=float(silhouette_score(vectors, labels)),
        purity=float(own.mean()),
        chance=float(max((labels == name).mean() for name in names)),
        images=len(labels),
    )


@dataclass(frozen=True)
class Separation:
    """Distance of two sets of scores.

    Attributes:
        effect_size: Cohen's d, difference of the means over the pooled standard deviation.
        overlap: Overlap coefficient, 0 (apart) to 1 (alike): one minus the largest difference of
            the two distribution functions (Kolmogorov and Smirnov's statistic). That is the common
            area under the two densities where these cross once, and needs no bins.
        good, anomalous: Numbers of scores.
    """

    effect_size: float
    overlap: float
    good: int
    anomalous: int


def separation(good: Sequence[float], anomalous: Sequence[float]) -> Separation:
    """Measure how far anomalous scores lie above good ones.

    Returns:
        The effect size is NaN with fewer than two scores on a side or without any spread; the
        overlap is NaN where a side is empty.
    """
    a, b = np.sort(np.asarray(good, float)), np.sort(np.asarray(anomalous, float))
    effect = overlap = math.nan
    if len(a) >= 2 and len(b) >= 2:
        squares = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
        pooled = math.sqrt(squares / (len(a) + len(b) - 2))
        if pooled > 0:
            effect = float((b.mean() - a.mean()) / pooled)
    if len(a) and len(b):
        points = np.concatenate([a, b])
        below_a = np.searchsorted(a, points, side="right") / len(a)
        below_b = np.searchsorted(b, points, side="right") / len(b)
        overlap = float(1 - np.abs(below_a - below_b).max())
    return Separation(effect, overlap, len(a), len(b))
