"""Usual values: mean and deviation of good pictures' distances, by row and by place, as sums.

A picture is measured by what the others leave; and since sums are what is kept, pictures that come
later are added to those that are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Patches that a row must have been nearest to before its own usual distance outweighs all rows'.
_PRIOR = 20.0
#: Share of a place's own variance; the rest is that of all places.
_OWN = 0.8
#: Share of the mean distance below which a deviation comes of too few pictures, or of equal ones:
#: eight to thirty hundredths are what products of five pictures and more leave.
_NARROW = 0.03


class Moments(NamedTuple):
    """Mean and deviation that a measure is standardised with."""

    mean: Tensor
    scale: Tensor


class Usual(NamedTuple):
    """Mean and deviation, and the sums ``(3, …)`` of powers 0, 1 and 2 that both come from."""

    mean: Tensor
    scale: Tensor
    sums: Tensor


def by_row(
    distances: Tensor, places: Tensor, count: int, part: Tensor, known: Tensor | None = None
) -> tuple[Usual, Tensor]:
    """Usual distance ``(M,)`` of the patches that a row is nearest to; each in that of others.

    Rows that few patches are near to lean on all rows' mean and variance. ``known`` ``(3, M)`` are
    the sums of pictures that are not at hand any more.
    """
    typical = float(distances.mean())
    centred = (distances - typical).double()  # so that the differences below are exact
    least = max(1e-6, _NARROW * typical)

    def sums(chosen: Tensor) -> Tensor:
        values, at = centred[chosen].flatten(), places[chosen].flatten()
        powers = torch.stack([torch.ones_like(values), values, values.square()])
        return powers.new_zeros(3, count).index_add_(1, at, powers)  # (3, M)

    def moments(sums: Tensor, variance: Tensor | float) -> Moments:
        number, first, _ = sums
        mean = first / (number + _PRIOR)
        own = (_squares(sums, mean).clamp_min(0) + _PRIOR * variance) / (number + _PRIOR)
        return Moments(mean, own.sqrt().clamp_min(least))

    everything = sums(torch.ones_like(part, dtype=torch.bool))
    if known is not None:
        everything = everything + moved(known, -typical)
        least = max(1e-6, _NARROW * (typical + float(everything[1].sum() / everything[0].sum())))
    apart_of_mean = _squares(everything, moments(everything, 0.0).mean)
    variance = apart_of_mean.sum() / everything[0].sum()
    apart = torch.empty_like(centred)
    for own in part.unique():
        mean, scale = moments(everything - sums(part == own), variance)
        at = places[part == own]
        apart[part == own] = (centred[part == own] - mean[at]) / scale[at]
    mean, scale = moments(everything, variance)
    seen = moved(everything, typical).float()
    return Usual((mean + typical).float(), scale.float(), seen), apart.float()


def by_place(
    distances: Tensor,
    part: Tensor,
    smooth: Callable[[Tensor], Tensor] = lambda x: x,
    known: Tensor | None = None,
) -> tuple[Usual, Tensor]:
    """Usual distance ``(P,)`` at each place of pictures ``(n, P)``; each in that of other parts.

    ``known`` ``(3, P)`` as for :func:`by_row`.
    """
    typical = float(distances.mean())
    centred = (distances - typical).double()
    least = max(1e-6, _NARROW * typical)
    powers = torch.stack([torch.ones_like(centred), centred, centred.square()])  # (3, n, P)

    def moments(sums: Tensor, variance: Tensor | float) -> Moments:
        number, first, _ = sums
        mean = smooth(first / number)
        own = _OWN * smooth(_squares(sums, mean).clamp_min(0) / number) + (1 - _OWN) * variance
        return Moments(mean, own.sqrt().clamp_min(least))

    everything = powers.sum(1, keepdim=True)  # (3, 1, P)
    if known is not None:
        everything = everything + moved(known, -typical)[:, None]
        least = max(1e-6, _NARROW * (typical + float(everything[1].sum() / everything[0].sum())))
    apart_of_mean = _squares(everything, moments(everything, 0.0).mean)
    variance = apart_of_mean.sum() / everything[0].sum()
    mean, scale = moments(everything, variance)
    seen = moved(everything, typical)[:, 0].float()
    found = Usual((mean[0] + typical).float(), scale[0].float(), seen)
    if known is not None or len(part.unique()) > 1:
        same = powers.new_zeros(3, int(part.max()) + 1, powers.shape[2]).index_add_(1, part, powers)
        mean, scale = moments(everything - same[:, part], variance)  # (n, P)
    return found, ((centred - mean) / scale).float()


def moved(sums: Tensor, by: Tensor | float) -> Tensor:
    """Sums of powers 0, 1 and 2 ``(3, …)`` of values that are all larger by so much."""
    number, first, second = sums.double()
    return torch.stack([number, first + by * number, second + 2 * by * first + by**2 * number])


def _squares(sums: Tensor, mean: Tensor) -> Tensor:
    """Sum of the squared differences of values from ``mean``, given their sums ``(3, …)``."""
    number, first, second = sums
    return second - 2 * mean * first + number * mean.square()
