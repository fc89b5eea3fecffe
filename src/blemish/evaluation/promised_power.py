"""Power at the promise: what a model's own limits find at 1 % and 5 %, whatever rate it runs at.

The limits are those the calibration has for the product as which an image was judged. Where the
good images are too few for a rate its limit is the largest good score, or an estimate where that
was asked for, as in every verdict, and the rate that this guarantees stands beside the figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from blemish.calibration import Calibration, Limits
from blemish.metrics.power import Power, power
from blemish.results import Prediction

#: The false-alarm rates at which every evaluation says what is found.
RATES = (0.01, 0.05)
SHARES = ("found_share", "stopped_share", "roc_recall", "wasted")


@dataclass(frozen=True)
class PromisedPower:
    """What a promised false-alarm rate finds, of one product or as the mean of several.

    Attributes:
        rate: The false-alarm rate that was asked for.
        guaranteed: The one that the limits guarantee, ``None`` where some were pooled over other
            products and guarantee none; of several products the mean, which bounds the mean share
            of good images above.
        found_share: Share of defects above the limit.
        stopped_share: Share of good images above it.
        roc_recall: Largest recall of a threshold that stops no more good images.
        wasted: ``roc_recall`` less ``found_share``.
        counts: The images behind the shares; ``None`` for a mean.
        estimated: Whether some limit is an estimate, see :mod:`blemish.calibration.tail`.
        grouped: Whether the good images behind the limits come in groups, which guarantee less.
    """

    rate: float
    guaranteed: float | None
    found_share: float
    stopped_share: float
    roc_recall: float
    wasted: float
    counts: Power | None = None
    estimated: bool = False
    grouped: bool = False

    @property
    def promise(self) -> str:
        """The rate in words, such as ``1 %``."""
        return f"{100 * self.rate:g} %"

    @property
    def short(self) -> bool:
        """Whether less is guaranteed than was asked for."""
        return self.guaranteed is None or self.guaranteed > self.rate + 1e-9

    def figures(self) -> dict[str, Any]:
        """All of it by name, flat, for JSON."""
        shares = {name: getattr(self, name) for name in SHARES}
        counts = {} if self.counts is None else self.counts._asdict()
        rates: dict[str, Any] = {"false_alarm_rate": self.rate, "guaranteed_rate": self.guaranteed}
        if self.estimated:
            rates["estimated"] = True
        return rates | counts | shares


class PromisedLimits:
    """A calibration's limits at ``RATES``, for one image after another."""

    def __init__(self, calibration: Calibration) -> None:
        self._at = [calibration.at(false_alarm_rate=rate) for rate in RATES]
        self._known: dict[str | None, tuple[Limits, ...]] = {}

    def of(self, prediction: Prediction) -> tuple[Limits, ...]:
        """The limits of the product as which the image was judged, one for each rate."""
        product = prediction.product
        if product not in self._known:
            self._known[product] = tuple(at.limits(product) for at in self._at)
        return self._known[product]


def promised_power(
    scores: ArrayLike, labels: ArrayLike, limits: Sequence[tuple[Limits, ...]]
) -> tuple[PromisedPower, ...]:
    """The power at each of ``RATES``, of ``(N,)`` images each with its own limits."""
    measured = []
    for rate, own in zip(RATES, zip(*limits, strict=True), strict=True):
        counts = power(scores, labels, limits=[limit.defect for limit in own])
        pooled = any(limit.pooled for limit in own)
        guaranteed = None if pooled else max(limit.defect_rate for limit in own)
        shares = {name: getattr(counts, name) for name in SHARES}
        causes = {
            "estimated": any(limit.estimated for limit in own),
            "grouped": any(limit.groups < limit.n for limit in own),
        }
        measured.append(PromisedPower(rate, guaranteed, **shares, counts=counts, **causes))
    return tuple(measured)


def mean_power(products: Sequence[tuple[PromisedPower, ...]]) -> tuple[PromisedPower, ...]:
    """The unweighted mean of each share over the products that have it, at each rate."""
    return tuple(map(_mean, zip(*filter(None, products), strict=True)))


def _mean(at_rate: Sequence[PromisedPower]) -> PromisedPower:
    rates = [one.guaranteed for one in at_rate]
    known = [rate for rate in rates if rate is not None]
    shares: dict[str, Any] = {}
    for name in SHARES:
        given = [value for one in at_rate if math.isfinite(value := getattr(one, name))]
        shares[name] = math.fsum(given) / len(given) if given else math.nan
    guaranteed = math.fsum(known) / len(known) if len(known) == len(rates) else None
    return PromisedPower(at_rate[0].rate, guaranteed, **shares)


def shortfalls(products: Iterable[tuple[str, Sequence[PromisedPower]]]) -> list[str]:
    """For each rate that some product's limits do not guarantee: which products, and what they do.

    Example:
        >>> from blemish.evaluation.promised_power import PromisedPower, shortfalls
        >>> nut = PromisedPower(0.01, 1 / 43, 0.9, 0.05, 1.0, 0.1)
        >>> shortfalls([("nut", (nut,))])
        ['Too few good images for 1 %: the limit is the largest good score; guaranteed: nut 2.3 %.']
    """
    by_rate: dict[tuple[float, str], list[str]] = {}
    pooled: dict[str, None] = {}
    for product, at_rates in products:
        for one in at_rates:
            if one.guaranteed is None:
                pooled[product] = None
            elif one.short:
                said = f"{product} {100 * one.guaranteed:.2g} %"
                by_rate.setdefault((one.rate, _shortage(one)), []).append(said)
    sentences = [
        f"{shortage}; guaranteed: {', '.join(said)}."
        for (_, shortage), said in sorted(by_rate.items())
    ]
    if pooled:
        named = ", ".join(pooled)
        sentences.append(f"Limits pooled over all products guarantee nothing for: {named}.")
    return sentences


def _shortage(power: PromisedPower) -> str:
    """Why the limit guarantees less than was asked for."""
    if power.estimated:
        why = "the limit is an estimate from their tail"
    elif power.grouped:
        return f"Too few groups of good images to hold {100 * power.rate:g} % of new ones for sure"
    else:
        why = "the limit is the largest good score"
    return f"Too few good images for {100 * power.rate:g} %: {why}"
