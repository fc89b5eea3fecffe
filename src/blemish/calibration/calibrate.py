"""Calibrating: good images set, join or leave the limits of their product.

The one act of calibration, for Python, the command line and the server's page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from blemish._names import unknown_name_message
from blemish.calibration.good_scores import CalibrationRecord, GoodScores, same_image
from blemish.calibration.limits import DEFAULT_FALSE_ALARM_RATE, Calibration, checked_rates
from blemish.errors import CalibrationError, ConfigError

#: What good images do to those that are there: join them, replace them, or are taken out of them.
How = Literal["join", "replace", "exclude"]


def calibrate(
    records: Iterable[CalibrationRecord],
    *,
    current: Calibration | None = None,
    how: How = "replace",
    false_alarm_rate: float | None = None,
    unsure_rate: float | None = None,
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
    records = tuple(records)
    groups = {} if current is None else {group.product: group for group in current.groups}
    if how == "exclude":
        _exclude(groups, records)
    else:
        given = GoodScores.by_product(records)
        untouched = groups.keys() - {group.product for group in given if how == "replace"}
        there = [groups[product] for product in untouched]
        if len({frozenset(group.branches) for group in (*there, *given)}) > 1:
            raise CalibrationError(
                "These images were judged by a method with other branches than those that are "
                "there. Calibrate with scores of the same model."
            )
        for group in given:
            own = groups[group.product] if group.product in untouched else None
            kept = [] if own is None else _others(own, group.images)
            groups[group.product] = GoodScores.of(group.product, [*kept, *group.records()])
    if current is not None and false_alarm_rate is None and unsure_rate is None:
        rates = current.false_alarm_rate, current.unsure_rate
    else:
        before = DEFAULT_FALSE_ALARM_RATE if current is None else current.false_alarm_rate
        rates = checked_rates(before if false_alarm_rate is None else false_alarm_rate, unsure_rate)
    return Calibration(
        false_alarm_rate=rates[0],
        unsure_rate=rates[1],
        groups=tuple(sorted(groups.values(), key=lambda group: group.product or "")),
    )


def _others(there: GoodScores, images: Iterable[str]) -> list[CalibrationRecord]:
    """The images that are there and not among those named, by their content."""
    known = {same_image(image) for image in images if image}
    return [r for r in there.records() if not r.image or same_image(r.image) not in known]


def _exclude(groups: dict[str | None, GoodScores], records: tuple[CalibrationRecord, ...]) -> None:
    gone: set[str] = set()
    for record in records:
        # An image of unknown product is looked for in all of them; one named twice goes once.
        own = record.product is not None and record.product in groups
        asked = [record.product] if own else list(groups)
        found = bool(record.image) and same_image(record.image) in gone
        for product in asked:
            kept = _others(groups[product], [record.image])
            if len(kept) == groups[product].n:
                continue
            found = True
            gone.add(same_image(record.image))
            if kept:
                groups[product] = GoodScores.of(product, kept)
            else:
                del groups[product]
        if not found:
            raise CalibrationError(
                f"{record.image or 'An image without a file'} is not among the good images of "
                "these limits, and cannot be excluded."
            )
    if not groups:
        raise CalibrationError(
            "No good image would be left. Give other good images first: blemish calibrate"
        )
