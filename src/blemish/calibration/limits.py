"""Split-conformal limits: from the scores of good images to verdicts, and the act of setting them.

What this promises on a line stands in ``docs/calibration.md``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from blemish._names import unknown_name_message
from blemish.calibration.conformal import (
    Judgement,
    Scores,
    guaranteed_rate,
    judge,
    limit_at,
    times_limit,
)
from blemish.calibration.good_scores import CalibrationRecord, GoodScores, How, changed
from blemish.calibration.limit_notes import limit_notes, percent
from blemish.calibration.rates import DEFAULT_FALSE_ALARM_RATE, Rate, checked_rates
from blemish.calibration.tail import estimated_limit, is_estimated
from blemish.errors import CalibrationError, ConfigError
from blemish.results import UNKNOWN_PRODUCT, Branch

#: How limits follow from scores, for the digest: the same scores have other limits by another rule.
_RULE = "between ranks"


@dataclass(frozen=True)
class Limits:
    """Where the verdicts change for one product, and how often a good image crosses.

    Attributes:
        defect: A score above it is a ``defect``.
        unsure: A score above it, and not above ``defect``, is ``unsure``.
        map: Pixels of the anomaly map above it are marked. A good image has any marked pixel with
            a probability of at most ``unsure_rate``.
        map_scale: Map values shown as 0 % and 100 % of a colour scale that is the same for every
            image: the typical background of good maps, and twice as far above it as the peaks
            reach at the false-alarm rate (which is thus at 50 %).
        defect_rate: The rate at which good images are ``defect`` at most; those of new groups
            where the good images come in groups. On which condition, says
            :func:`blemish.calibration.conformal.guaranteed_rate`.
        unsure_rate: The same for "``unsure`` or ``defect``".
        n: Number of good images behind these limits.
        groups: Number of parts, strips or lots that they are of: ``n`` where each is one.
        product: The product they belong to; ``None`` for the pooled ones.
        middle: Median of the good scores, from which :meth:`times` counts.
        estimated: True if ``defect`` is estimated from the tail of the good scores, because they
            are too few for the rate: what is guaranteed is ``defect_rate`` alone.
    """

    defect: float
    unsure: float
    map: float
    map_scale: tuple[float, float]
    defect_rate: float
    unsure_rate: float
    n: int
    groups: int
    product: str | None
    middle: float
    estimated: bool = False

    @property
    def pooled(self) -> bool:
        """True if these are the limits over all products together."""
        return self.product is None

    def times(self, score: float) -> float | None:
        """How far beyond the limit: see :func:`blemish.calibration.conformal.times_limit`."""
        return times_limit(score, self.middle, self.defect)

    def map_times(self, value: float) -> float | None:
        """The same of a map value: 0 at the background of good maps, 1 where marking begins."""
        return times_limit(value, self.map_scale[0], self.map)


class Calibration(BaseModel):
    """Verdicts at a false-alarm rate, from the scores of good images.

    Immutable. Keeps the scores themselves, so that ``at`` moves to other rates at no cost.

    Attributes:
        false_alarm_rate: Share of good images that may be called ``defect``.
        unsure_rate: Share of good images that may be called ``unsure`` or ``defect``.
        groups: The good images by product.
        estimate: Where they are too few for a rate, put its limit where their tail is estimated to
            reach it instead of at the largest score: see :mod:`blemish.calibration.tail`.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> records = [CalibrationRecord("bottle", score=s, peak=s) for s in range(99)]
        >>> calibration = calibrate(records)
        >>> calibration.judge(98.5, "bottle")
        Judgement(p_value=0.01, verdict='defect')
        >>> calibration.judge(95.5, "bottle").verdict, calibration.judge(5.0, "bottle").verdict
        ('unsure', 'ok')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_alarm_rate: Rate
    unsure_rate: Rate
    groups: tuple[GoodScores, ...]
    estimate: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> Calibration:
        if self.unsure_rate < self.false_alarm_rate:
            raise ValueError("the unsure rate is below the false-alarm rate")
        if not self.groups:
            raise ValueError("there are no good images")
        if len({g.product for g in self.groups}) != len(self.groups):
            raise ValueError("a product is listed twice")
        if len({frozenset(g.branches) for g in self.groups}) != 1:
            raise ValueError("the products have different branches")
        return self

    def __repr__(self) -> str:
        products = ", ".join(self.products) or "no product named"
        of = f"{self.counted} of {products}, at {percent(self.false_alarm_rate)}"
        return f"<Calibration {self.version}: {of}>"

    __str__ = __repr__

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products that have limits of their own."""
        return tuple(g.product for g in self.groups if g.product is not None)

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Names of the method's branches, empty where it has none."""
        return tuple(self.groups[0].branches)

    @property
    def n(self) -> int:
        """Number of good images over all products."""
        return sum(g.n for g in self.groups)

    @property
    def counted(self) -> str:
        """The number of good images in words, and of groups where they come in some."""
        groups = sum(len(group.group_sizes) for group in self.groups)
        return f"{self.n} good images" + (f" of {groups} groups" if groups < self.n else "")

    @cached_property
    def version(self) -> str:
        """Digest of the good images and rates: what a prediction says it was judged by."""
        content = json.dumps([_RULE, self.to_json()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:12]

    def at(
        self,
        *,
        false_alarm_rate: float | None = None,
        unsure_rate: float | None = None,
        estimate: bool | None = None,
    ) -> Calibration:
        """The same good images judged at other rates, or with limits estimated or not.

        The false-alarm rate is as it was where not given, and so is ``estimate``; the unsure rate
        follows the other, unless neither is given.

        Raises:
            ConfigError: A rate outside (0, 0.5], or an unsure rate below the other.

        Example:
            >>> from blemish.calibration import CalibrationRecord, calibrate
            >>> records = [CalibrationRecord(None, score=s, peak=s) for s in range(99)]
            >>> calibrate(records).at(false_alarm_rate=0.1).limits().defect
            89.0
        """
        alarm, unsure = self.false_alarm_rate, self.unsure_rate
        if not (false_alarm_rate is None and unsure_rate is None):
            rate = alarm if false_alarm_rate is None else false_alarm_rate
            alarm, unsure = checked_rates(rate, unsure_rate)
        # Not a copy: what is cached of this one would come along.
        return Calibration(
            false_alarm_rate=alarm,
            unsure_rate=unsure,
            groups=self.groups,
            estimate=self.estimate if estimate is None else estimate,
        )

    def limits(self, product: str | None = None) -> Limits:
        """The limits of a product; the pooled ones if it is ``None`` or was not calibrated."""
        group = self._group(product)
        found = self._found.get(group.product)
        if found is None:
            found = self._found[group.product] = self.limits_of(group)
        return found

    def limits_of(self, group: GoodScores) -> Limits:
        """The limits that these good scores set, at the rates of this calibration."""
        defect, unsure = self._pair(group.scores, group.grouped)
        peak, mark = self._pair(group.ascending_peaks, group.grouped)
        low = median(group.map_lows)
        high = low + 2.0 * (peak - low)
        rates = [
            guaranteed_rate(rate, group.group_sizes)
            for rate in (self.false_alarm_rate, self.unsure_rate)
        ]
        return Limits(
            defect=defect,
            unsure=unsure,
            map=mark,
            map_scale=(low, high if high > low else low + 1.0),  # good maps without any structure
            defect_rate=rates[0],
            unsure_rate=rates[1],
            n=group.n,
            groups=len(group.group_sizes),
            product=group.product,
            middle=median(group.scores),
            estimated=is_estimated(self.estimate, group.n, self.false_alarm_rate),
        )

    def judge(self, score: float, product: str | None = None) -> Judgement:
        """The p-value and verdict of a score.

        A product that was not calibrated is judged by the pooled limits: see ``limits().pooled``.
        Of a picture of no product that the model knows no limit says anything: it is ``unsure``.

        Raises:
            CalibrationError: The score is not a finite number.
        """
        limits = self.limits(product)
        judgement = judge(score, self._group(product).scores, limits.defect, limits.unsure)
        return judgement._replace(verdict="unsure") if product == UNKNOWN_PRODUCT else judgement

    def judge_branches(
        self, branches: Mapping[str, float], product: str | None = None
    ) -> dict[str, Branch]:
        """Each branch's score, judged at the same rates as the whole.

        Each branch keeps the rate for itself: that *some* branch raises a false alarm may happen
        up to as many times as often as there are branches. A branch that was not calibrated has a
        score and no verdict.

        Raises:
            CalibrationError: A score is not a finite number.
        """
        group = self._group(product)
        judged = {name: Branch(score) for name, score in branches.items()}
        for name in branches.keys() & group.branches.keys():
            good = group.ascending_branches[name]
            score = branches[name]
            defect, unsure = self._pair(good, group.grouped)
            times = times_limit(score, median(good), defect)
            judged[name] = Branch(score, *judge(score, good, defect, unsure), times)
        return judged

    def mask(
        self, anomaly_map: NDArray[np.float32], product: str | None = None
    ) -> NDArray[np.bool_]:
        """The pixels ``(H, W)`` of a raw anomaly map above the product's map limit."""
        limit = self.limits(product).map
        # A float32 map compares in float32; rounding the limit up would lose pixels above it.
        rounded = np.float32(limit)
        if float(rounded) > limit:
            rounded = np.nextafter(rounded, np.float32(-np.inf))
        above: NDArray[np.bool_] = np.asarray(anomaly_map, np.float32) > rounded  # (H, W)
        return above

    def notes(self, asked: Iterable[str | None] = (), *, learned: bool = False) -> list[str]:
        """What the user should know about these limits, one sentence each; empty if all is well.

        Args:
            asked: Products of the images that were judged, ``None`` for none: then of the limits
                that judged them alone, and that some were pooled is said.
            learned: Whether the model has learned the good images as well, as a cross-fitted one.
        """
        return limit_notes(self, self._pooled, asked, learned=learned)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for ``json``; scores come back from it to the last bit."""
        content = self.model_dump(mode="json")
        if not self.estimate:
            del content["estimate"]  # the digest, and earlier versions, know files without it
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """The calibration that ``to_json`` wrote.

        Raises:
            CalibrationError: The content is not a whole calibration.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "as a whole"
            raise CalibrationError(
                f"The stored calibration is not valid ({where}: {first['msg']}): it was altered or "
                "written by another version. Calibrate the model again with: blemish calibrate"
            ) from error

    @cached_property
    def _pooled(self) -> GoodScores:
        records = (r for group in self.groups for r in group.records())
        apart = (replace(r, group=r.group and f"{r.product or ''}/{r.group}") for r in records)
        return GoodScores.of(None, apart)

    def _group(self, product: str | None) -> GoodScores:
        if product is not None:
            for group in self.groups:
                if group.product == product:
                    return group
        return self._pooled

    @cached_property
    def _found(self) -> dict[str | None, Limits]:
        """Limits by their product, as far as they were asked for."""
        return {}

    def _pair(self, good: Scores, grouped: bool) -> tuple[float, float]:
        """Limits for ``defect`` and ``unsure`` by ascending good scores, or estimates of them."""
        alarm, unsure = (
            estimated_limit(good, rate)
            if is_estimated(self.estimate, len(good), rate)
            else limit_at(rate, good, grouped=grouped)
            for rate in (self.false_alarm_rate, self.unsure_rate)
        )
        return alarm, unsure


def calibrate(
    records: Iterable[CalibrationRecord],
    *,
    current: Calibration | None = None,
    how: How = "replace",
    false_alarm_rate: float | None = None,
    unsure_rate: float | None = None,
    estimate: bool | None = None,
) -> Calibration:
    """Limits from held-out good images: images that took no part in training.

    The one act of calibration. Products that no record names keep the images they have.

    Args:
        records: One per good image, in any order.
        current: The calibration to start from; ``None`` for a first one.
        how: ``replace``: in place of the product's images. ``join``: beside them; an image that is
            there already counts once, as it is now. ``exclude``: the product's images without
            these, whose scores do not matter; a product of which none is left has no limits of
            its own any more.
        false_alarm_rate: Share of good images that may be called ``defect``, in (0, 0.5]; where not
            given as it was, at first 1 %.
        unsure_rate: Share of good images that may be called ``unsure`` or ``defect``. Where
            neither rate is given as it was; else five times the false-alarm rate, at most 0.5.
        estimate: Estimate the limits for which there are too few images; where not given as it
            was, at first not.

    Raises:
        CalibrationError: No records, a number that is not finite, records whose branches differ
            from each other or from those that are there, or images to exclude that are not there.
        ConfigError: A rate outside (0, 0.5], an unsure rate below the false-alarm rate, or another
            ``how``.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> nuts = calibrate([CalibrationRecord("nut", score=s, peak=s) for s in range(42)])
        >>> nuts.limits("nut").defect
        41.0
        >>> more = [CalibrationRecord("nut", score=50, peak=50), CalibrationRecord("cap", 7, 7)]
        >>> both = calibrate(more, current=nuts, how="join")
        >>> both.limits("nut").defect, both.products
        (50.0, ('cap', 'nut'))
        >>> print(nuts.notes()[0])  # doctest: +NORMALIZE_WHITESPACE
        1 % needs at least 99 good images, 42 were given: the limit used has a false-alarm rate of
        at most 2.3 %.
    """
    if how not in get_args(How):
        raise ConfigError(unknown_name_message("way to calibrate", str(how), get_args(How)))
    groups = changed(() if current is None else current.groups, tuple(records), how)
    if current is not None and false_alarm_rate is None and unsure_rate is None:
        rates = current.false_alarm_rate, current.unsure_rate
    else:
        before = DEFAULT_FALSE_ALARM_RATE if current is None else current.false_alarm_rate
        rates = checked_rates(before if false_alarm_rate is None else false_alarm_rate, unsure_rate)
    return Calibration(
        false_alarm_rate=rates[0],
        unsure_rate=rates[1],
        groups=groups,
        estimate=(current is not None and current.estimate) if estimate is None else estimate,
    )
