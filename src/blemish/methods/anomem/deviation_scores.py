"""Distances of several kinds at several scales, as one score and one map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from blemish.methods.anomem.deviation import top_mean
from blemish.nn.anomaly_map import fuse_levels

#: Per scale: the learned distance, the plain deviation, the distance taught by labelled anomalies.
Kinds = tuple[Tensor, Tensor, Tensor]
LABELLED = 2
#: Deviations above the mean of good images from which the labelled distance counts. It was taught
#: by a few anomalies of few kinds; what it says of anything else is noise of the size of one.
_COUNTS_FROM = 1.0


class DeviationScores(nn.Module):
    """Puts every kind of distance at every scale in deviations over good images, and adds them.

    Args:
        scales: Number of scales.
        plain_weight: Of the plain deviation, beside the learned distance.
        labelled_weight: Of the labelled distance; it counts once :meth:`has_labels` was called.
        top_share: Share of a map that makes its score.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.deviation_scores import DeviationScores
        >>> scores = DeviationScores(1, plain_weight=0.0, labelled_weight=1.0, top_share=1.0)
        >>> good = [tuple(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1) for _ in range(3))]
        >>> scores.fit([scores.moments(good)])
        >>> score, _ = scores(good, (4, 4))
        >>> score.tolist()  # a deviation is one
        [1.0, 3.0]
    """

    mean: Tensor
    std: Tensor
    labels_seen: Tensor

    def __init__(
        self, scales: int, *, plain_weight: float, labelled_weight: float, top_share: float
    ) -> None:
        super().__init__()
        self.weights = (1.0, plain_weight, labelled_weight)
        self.top_share = top_share
        # Over good images: of the score and of the map; by kind and scale.
        self.register_buffer("mean", torch.zeros(2, 3, scales))
        self.register_buffer("std", torch.ones(2, 3, scales))
        # A number and no flag, so that a graph of it has no branches.
        self.register_buffer("labels_seen", torch.zeros(()))

    def has_labels(self) -> None:
        """Let the labelled distance count from now on."""
        self.labels_seen.fill_(1.0)

    def moments(self, scales: Sequence[Kinds]) -> Tensor:
        """Per image: score, mean and mean square of each kind of map ``(N, 3, 3, S)``."""
        per_scale = []
        for kinds in scales:
            flat = torch.stack([kind.flatten(1) for kind in kinds], 1)  # (N, 3, H·W)
            score = torch.stack([top_mean(kind, self.top_share) for kind in kinds], 1)  # (N, 3)
            per_scale.append(torch.stack([score, flat.mean(2), flat.square().mean(2)], 1))
        return torch.stack(per_scale, 3)

    def fit(self, moments: Iterable[Tensor]) -> None:
        """Take mean and deviation from the :meth:`moments` of good images."""
        score, map_mean, map_square = torch.cat(list(moments)).double().unbind(1)  # (N, 3, S) each
        self.mean.copy_(torch.stack([score.mean(0), map_mean.mean(0)]))
        spread = map_square.mean(0) - map_mean.mean(0).square()
        std = torch.stack([score.var(0, unbiased=False), spread]).clamp_min(0).sqrt()
        # What hardly differs between good images would turn rounding into an alarm.
        self.std.copy_(torch.maximum(std, 0.01 * self.mean.abs()).clamp_min(1e-6))

    def forward(self, scales: Sequence[Kinds], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Scores ``(N,)`` and maps ``(N, 1, H, W)`` at ``size``."""
        scores, maps = [], []
        for scale, kinds in enumerate(scales):
            for kind, values in enumerate(kinds):
                weight: float | Tensor = self.weights[kind] / len(scales)
                (low, map_low), (unit, map_unit) = (
                    self.mean[:, kind, scale],
                    self.std[:, kind, scale],
                )
                top = top_mean(values, self.top_share)
                if kind == LABELLED:
                    weight = weight * self.labels_seen
                    top = (top - low - _COUNTS_FROM * unit).clamp_min(0)
                    above = (values - map_low - _COUNTS_FROM * map_unit).clamp_min(0)
                else:
                    # The score is not centred: that would shift every image alike, and cost
                    # digits near zero.
                    above = values - map_low
                scores.append(weight * top / unit)
                maps.append(weight * above / map_unit)
        return torch.stack(scores).sum(0), fuse_levels(maps, size)
