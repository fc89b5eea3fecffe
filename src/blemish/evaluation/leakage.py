"""Anomaly leakage: how much of a planted anomaly the student copies.

A student that rebuilds what it has never seen hides it. Named by "BoRAD: Bootstrap your Own
Representations for Multi-class Anomaly Detection", arXiv 2606.14129, which calls it the identical
shortcut; the measure is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Teacher's level and the student's reconstruction of it, shallow to deep.
Pairs = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Leakage:
    """Similarities inside the planted areas, one number per level, shallow to deep.

    Attributes:
        copied: Share of the change in the teacher's direction that the student's follows: 0 where
            it rebuilds the good part as if nothing had happened, 1 where it copies the anomaly.
        to_anomalous: Cosine between the student's output on the anomaly and the teacher's feature
            of the anomaly.
        to_clean: Cosine between the same output and the teacher's feature of the clean image.
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

    Example:
        >>> import torch
        >>> from blemish.evaluation.leakage import LeakageSum
        >>> clean, bad = torch.randn(2, 1, 8, 4, 4).unbind()
        >>> total = LeakageSum(1)
        >>> total.add([(clean, clean)], [(bad, bad)], torch.ones(1, 16, 16))
        >>> [round(value, 3) for value in total.result().copied]
        [1.0]
    """

    def __init__(self, levels: int) -> None:
        self.sums = torch.zeros(5, levels, dtype=torch.float64)

    def add(self, clean: Pairs, anomalous: Pairs, masks: Tensor) -> None:
        """Add images.

        Args:
            clean: Pairs ``(N, C_l, H_l, W_l)`` of the images as they were.
            anomalous: Pairs of the same images with an anomaly in each.
            masks: ``(N, H, W)``, 1 where the anomaly is.
        """
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
    """The sum over all images of several sums; at least one.

    Example:
        >>> import torch
        >>> from blemish.evaluation.leakage import LeakageSum, total
        >>> total([LeakageSum(2), LeakageSum(2)]).sums.shape
        torch.Size([5, 2])
    """
    tables = [part.sums for part in parts]
    summed = LeakageSum(tables[0].shape[1])
    summed.sums = torch.stack(tables).sum(0)
    return summed
