"""Isolation Forest as plain tensors: fitted by scikit-learn, evaluated here.

Liu, Ting & Zhou, "Isolation Forest", ICDM 2008. What is easy to isolate by random cuts is odd. The
trees are stored as tables, so that a model file needs no pickle and the forest is part of the
exported graph.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from blemish.nn.picture_groups import GroupBuffers


class IsolationForest(GroupBuffers):
    """The score of scikit-learn's ``IsolationForest``, with its sign turned: higher is odder.

    Scores lie in (0, 1) and are coarse: a point beyond all points of the fit gets the score of the
    outermost cell, however far it is; :meth:`beyond` says how far.

    Args:
        features: Number of features.
        trees: Number of trees.
        sample: Largest number of points that one tree sees.

    Shapes: points ``(N, features)`` and the group ``(N,)`` whose forest judges each, without it
    the first → scores ``(N,)``. Before :meth:`fit` all scores are 1.
    """

    feature: Tensor  # (G, trees, nodes)
    threshold: Tensor
    child: Tensor  # (G, 2, trees, nodes)
    depth: Tensor
    normaliser: Tensor  # (G,)
    low: Tensor  # (G, features)
    high: Tensor

    def __init__(self, features: int, *, trees: int = 100, sample: int = 256) -> None:
        super().__init__()
        self.trees, self.sample = trees, sample
        #: No path is longer: scikit-learn stops there.
        self.levels = math.ceil(math.log2(max(sample, 2)))
        # A tree that isolates each of its points has one inner node fewer than points.
        nodes = 2 * sample - 1
        self.register_buffer("feature", torch.zeros(1, trees, nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(1, trees, nodes))
        self.register_buffer("child", torch.zeros(1, 2, trees, nodes, dtype=torch.int64))
        self.register_buffer("depth", torch.zeros(1, trees, nodes))
        self.register_buffer("normaliser", torch.ones(1))
        self.register_buffer("low", torch.zeros(1, features))
        self.register_buffer("high", torch.ones(1, features))

    def fit(self, *groups: ArrayLike, seed: int = 0) -> None:
        """Grow a forest on the points ``(N, features)`` of every group, ``seed`` for the cuts.

        Raises:
            ValueError: A group of fewer than two points, or a value that is not finite.
        """
        from sklearn.ensemble import IsolationForest as Reference

        for name, buffer in list(self.named_buffers()):
            setattr(self, name, buffer.new_zeros(len(groups), *buffer.shape[1:]))
        for group, points in enumerate(groups):
            known = np.asarray(points, np.float32)  # (N, features), the precision sklearn cuts in
            if len(known) < 2:
                raise ValueError(f"{len(known)} points: a forest needs at least 2")
            if not np.isfinite(known).all():  # scikit-learn would take NaN for a missing value
                raise ValueError("a forest needs finite numbers, and found NaN or infinity")
            sample = min(self.sample, len(known))
            grown = Reference(n_estimators=self.trees, max_samples=sample, random_state=seed)
            self._take(grown.fit(known), group)
            self.low[group] = torch.from_numpy(known.min(0))
            self.high[group] = torch.from_numpy(known.max(0))

    def _take(self, grown: Any, group: int) -> None:
        trees = zip(grown.estimators_, grown.estimators_features_, strict=True)
        for row, (estimator, columns) in enumerate(trees):
            tree = estimator.tree_
            count = tree.node_count
            leaf = tree.children_left < 0
            own = np.arange(count)
            used = np.asarray(columns)[np.where(leaf, 0, tree.feature)]
            at = (group, row, slice(count))
            self.feature[at] = torch.from_numpy(used)
            self.threshold[at] = torch.from_numpy(_round_down(tree.threshold))
            for side, children in enumerate((tree.children_left, tree.children_right)):
                # A leaf is its own child: walking on from it changes nothing.
                walked = torch.from_numpy(np.where(leaf, own, children))
                self.child[group, side, row, :count] = walked
            depth = _depths(tree) + _average_path(tree.n_node_samples)
            self.depth[at] = torch.from_numpy(depth).float()
        expected = _average_path(np.asarray([grown._max_samples]))[0]
        self.normaliser[group] = float(expected) if expected > 0 else 1.0

    def forward(self, points: Tensor, group: Tensor | None = None) -> Tensor:
        group = first_group(points) if group is None else group  # (N,)
        rows = points.T[None].expand(self.trees, -1, -1)  # (trees, features, N)
        # Into flat tables: of all gathers, that by one index is the smallest graph.
        feature, threshold, depth = (
            t.flatten() for t in (self.feature, self.threshold, self.depth)
        )
        left, right = (self.child[:, side].flatten() for side in (0, 1))
        tree = torch.arange(self.trees, device=points.device)[:, None]
        root = (group * self.trees + tree) * self.feature.shape[2]  # (trees, N)
        node = root
        for _ in range(self.levels):
            value = rows.gather(1, feature[node][:, None])[:, 0]  # (trees, N)
            node = root + torch.where(value <= threshold[node], left[node], right[node])
        return torch.exp2(-depth[node].mean(0) / self.normaliser[group])

    def beyond(self, points: Tensor, group: Tensor | None = None) -> Tensor:
        """How far points lie outside all points of the fit, where the forest is blind: ``(N,)``.

        The distances to the box around them, each in widths of the box, summed; 0 inside.
        """
        group = first_group(points) if group is None else group
        low, high = self.low[group], self.high[group]  # (N, features)
        width = (high - low).clamp_min(1e-6 * high.abs() + 1e-12)
        outside = torch.relu(points - high) + torch.relu(low - points)
        return (outside / width).sum(1)


def first_group(points: Tensor) -> Tensor:
    """The first group for each of the points."""
    return torch.zeros_like(points[:, 0], dtype=torch.int64)


def _round_down(values: NDArray) -> NDArray:
    """The largest float32 not above each float64: ``x <= v`` then says the same of a float32 x."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _depths(tree: Any) -> NDArray:
    """Steps from the root to each node."""
    depth = np.zeros(tree.node_count)
    # Children come after their parent.
    for node, children in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
        for child in children:
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth


def _average_path(counts: NDArray) -> NDArray:
    """Expected path of an unsuccessful search among ``counts`` points (Liu et al., equation 1)."""
    counts = np.asarray(counts, np.float64)
    more = np.maximum(counts, 3)
    paths = 2 * (np.log(more - 1) + np.euler_gamma) - 2 * (more - 1) / more
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, paths))
