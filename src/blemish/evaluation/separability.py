"""Are the products told apart in the bottleneck, although no label was ever seen?

A model that confuses one product with another rebuilds it as the other. The labels are used to
measure only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Separability:
    """How well good images of different products separate in a vector space.

    Attributes:
        silhouette: Mean silhouette coefficient over images, −1..1, Euclidean distance
            (Rousseeuw, 1987).
        purity: Share of images whose nearest product mean, computed on the *other* half of the
            images, is that of their own product.
        chance: The purity of always naming the product with most images.
        images: Number of images.
    """

    silhouette: float
    purity: float
    chance: float
    images: int


def separability(
    vectors: NDArray[np.floating], products: Sequence[str], *, seed: int = 0
) -> Separability | None:
    """Measure the separation of products.

    Args:
        vectors: ``(N, C)``, one per good image.
        products: The product of each.
        seed: Draws the halves.

    Returns:
        ``None`` with fewer than two products of at least two images each: there is nothing to
        tell apart. Products of one image are left out.

    Example:
        >>> import numpy as np
        >>> from blemish.evaluation.separability import separability
        >>> vectors = np.array([[0.0, 0], [0, 0.1], [9, 9], [9, 9.1]])
        >>> separability(vectors, ["nut", "nut", "bolt", "bolt"]).purity
        1.0
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
