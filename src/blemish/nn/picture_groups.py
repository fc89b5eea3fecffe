"""Groups of pictures: which of several products a picture shows, found without labels.

One model serves several products, and what is normal for one is not for another. Good pictures are
grouped by what they look like as a whole; what is fitted afterwards is fitted for every group, and
a new picture is measured by its own group's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FEWEST = 10  # members of a group, below which its mean says little
_SEPARATE = 0.25  # mean silhouette from which groups count as apart
_SAMPLE = 2000  # descriptions the number of groups is chosen on


class GroupBuffers(nn.Module):
    """Buffers whose first dimension is the groups, of which the number is found only by fitting."""

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            given = state_dict.get(prefix + name)
            if given is not None and given.ndim == buffer.ndim - 1:
                # As earlier files have it: of one group, without the dimension.
                given = state_dict[prefix + name] = given[None]
            if given is not None and given.shape[1:] == buffer.shape[1:]:
                setattr(self, name, buffer.new_zeros(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class PictureGroups(GroupBuffers):
    """Groups of pictures, found without labels by k-means, and which one a picture belongs to.

    Shapes: descriptions ``(N, D)`` → membership ``(N, K)``, one 1 per row.
    """

    centre: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(1, dimensions))

    def fit(self, descriptions: Tensor, *, most: int) -> None:
        """Find at most ``most`` groups of good pictures, described on one scale.

        Their number is the one whose mean silhouette (Rousseeuw, 1987) is largest; without groups
        that are clearly apart, and each of ten members or more, all pictures are one.
        """
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score

        values = descriptions.double().cpu().numpy()
        sample = values[np.random.default_rng(0).permutation(len(values))[:_SAMPLE]]
        best, centre = _SEPARATE, values.mean(0, keepdims=True)
        for count in range(2, min(most, len(sample) // FEWEST) + 1):
            means = KMeans(count, n_init=4, random_state=0).fit(sample)
            if np.bincount(means.labels_, minlength=count).min() < FEWEST:
                continue
            apart = float(silhouette_score(sample, means.labels_))
            if apart > best:
                best, centre = apart, means.cluster_centers_
        self.centre = torch.from_numpy(centre).float().to(self.centre.device)

    def forward(self, descriptions: Tensor) -> Tensor:
        apart = (descriptions[:, None] - self.centre).square().sum(2)  # (N, K)
        groups = torch.arange(apart.shape[1], device=apart.device)
        # One-hot by comparison: every exporter knows it, and equals go to the first.
        return (apart.argmin(1, keepdim=True) == groups).to(descriptions.dtype)
