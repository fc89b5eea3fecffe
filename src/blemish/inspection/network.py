"""Network output: what a network says of pixels, whichever runtime computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NetworkOutput:
    """The network's answer for N pictures, before calibration and at the model's input size.

    Attributes:
        maps: ``(N, H, W)`` anomaly maps at the input size, raw, higher is worse.
        scores: ``(N,)`` raw image scores, unbounded, higher is worse.
        branches: Raw scores ``(N,)`` of the method's branches by name, empty where it has none.
        departures: ``(N, h, w)`` at any size, where a logical branch saw what departs; ``None``
            from methods without one.
        products: Name of the product that each picture shows, one of those the model was trained
            on or :data:`blemish.results.UNKNOWN_PRODUCT`; ``None`` from networks that do not
            recognise it.
        rivals: Name of another product that each picture may as well show, empty where it is
            clear; ``None`` from networks that do not tell.

    Example:
        >>> import numpy as np
        >>> from blemish.inspection.network import NetworkOutput
        >>> NetworkOutput(np.zeros((2, 64, 64), "f4"), np.zeros(2)).branches
        {}
    """

    maps: NDArray[np.float32]  # (N, H, W)
    scores: NDArray[np.float64]  # (N,)
    branches: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # {name: (N,)}
    departures: NDArray[np.float32] | None = None  # (N, h, w)
    products: tuple[str, ...] | None = None  # (N,)
    rivals: tuple[str, ...] | None = None  # (N,)


def joined(outputs: Sequence[NetworkOutput]) -> NetworkOutput:
    """The answers of several passes of one network as one, in order."""

    def together(parts: list[NDArray[Any] | None]) -> Any:
        return None if parts[0] is None else np.concatenate(parts)  # type: ignore[arg-type]

    def names(parts: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
        return None if parts[0] is None else tuple(name for part in parts for name in part or ())

    return NetworkOutput(
        together([output.maps for output in outputs]),
        together([output.scores for output in outputs]),
        {name: together([o.branches[name] for o in outputs]) for name in outputs[0].branches},
        together([output.departures for output in outputs]),
        names([output.products for output in outputs]),
        names([output.rivals for output in outputs]),
    )


class Network(Protocol):
    """Anything that judges preprocessed pixels: a trained method in torch, or an exported graph."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        ...
