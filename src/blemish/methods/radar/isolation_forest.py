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
from torch import Tensor, nn


class IsolationForest(nn.Module):
    """The score of scikit-learn's ``IsolationForest``, with its sign turned: higher is odder.

    Scores lie in (0, 1) and are coarse: a point beyond all points of the fit gets the score of the
    outermost cell, however far it is; :meth:`beyond` says how far.

    Args:
        features: Number of features.
        trees: Number of trees.
        sample: Largest number of points that one tree sees.

    Shapes: points ``(N, features)`` → scores ``(N,)``. Before :meth:`fit` all scores are 1.
    """

    feature: Tensor
    threshold: Tensor
    child: Tensor
    depth: Tensor
    normaliser: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, features: int, *, trees: int = 100, sample: int = 256) -> None:
        super().__init__()
        self.trees, self.sample = trees, sample
        #: No path is longer: scikit-learn stops there.
        self.levels = math.ceil(math.log2(max(sample, 2)))
        # A tree that isolates each of its points has one inner node fewer than points.
        nodes = 2 * sample - 1
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(trees, nodes))
        self.register_buffer("child", torch.zeros(2, trees, nodes, dtype=torch.int64))
        self.register_buffer("depth", torch.zeros(trees, nodes))
        self.register_buffer("normaliser", torch.ones(()))
        self.register_buffer("low", torch.zeros(features))
        self.register_buffer("high", torch.ones(features))

    def fit(self, points: ArrayLike, *, seed: int = 0) -> None:
        """Grow the trees on points ``(N, features)``, with ``seed`` for the random cuts.

        Raises:
            ValueError: Fewer than two points, or a value that is not finite.
        """
        from sklearn.ensemble import IsolationForest as Reference

        known = np.asarray(points, np.float32)  # (N, features), the precision sklearn cuts in
        if len(known) < 2:
            raise ValueError(f"{len(known)} points: a forest needs at least 2")
        if not np.isfinite(known).all():  # scikit-learn would take NaN for a missing value
            raise ValueError("a forest needs finite numbers, and found NaN or infinity")
        sample = min(self.sample, len(known))
        grown = Reference(n_estimators=self.trees, max_samples=sample, random_state=seed)
        self._take(grown.fit(known))
        self.low.copy_(torch.from_numpy(known.min(0)))
        self.high.copy_(torch.from_numpy(known.max(0)))

    def _take(self, grown: Any) -> None:
        for buffer in (self.feature, self.threshold, self.child, self.depth):
            buffer.zero_()
        trees = zip(grown.estimators_, grown.estimators_features_, strict=True)
        for row, (estimator, columns) in enumerate(trees):
            tree = estimator.tree_
            count = tree.node_count
            leaf = tree.children_left < 0
            own = np.arange(count)
            used = np.asarray(columns)[np.where(leaf, 0, tree.feature)]
            self.feature[row, :count] = torch.from_numpy(used)
            self.threshold[row, :count] = torch.from_numpy(_round_down(tree.threshold))
            for side, children in enumerate((tree.children_left, tree.children_right)):
                # A leaf is its own child: walking on from it changes nothing.
                self.child[side, row, :count] = torch.from_numpy(np.where(leaf, own, children))
            depth = _depths(tree) + _average_path(tree.n_node_samples)
            self.depth[row, :count] = torch.from_numpy(depth).float()
        expected = _average_path(np.asarray([grown._max_samples]))[0]
        self.normaliser.fill_(float(expected) if expected > 0 else 1.0)

    def forward(self, points: Tensor) -> Tensor:
        rows = points.T[None].expand(self.trees, -1, -1)  # (trees, features, N)
        node = torch.zeros_like(rows[:, 0], dtype=torch.int64)  # (trees, N)
        for _ in range(self.levels):
            value = rows.gather(1, self.feature.gather(1, node)[:, None])[:, 0]  # (trees, N)
            left, right = self.child[0].gather(1, node), self.child[1].gather(1, node)
            node = torch.where(value <= self.threshold.gather(1, node), left, right)
        paths = self.depth.gather(1, node)  # (trees, N)
        return torch.exp2(-paths.mean(0) / self.normaliser)

    def beyond(self, points: Tensor) -> Tensor:
        """How far points lie outside all points of the fit, where the forest is blind: ``(N,)``.

        The distances to the box around them, each in widths of the box, summed; 0 inside.
        """
        width = (self.high - self.low).clamp_min(1e-6 * self.high.abs() + 1e-12)
        outside = torch.relu(points - self.high) + torch.relu(self.low - points)
        return (outside / width).sum(1)


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
