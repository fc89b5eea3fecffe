"""Notes on limits: what the user should know of the good images behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from blemish._progress import Important
from blemish.calibration.conformal import images_needed, limit_rank
from blemish.calibration.good_scores import GoodScores
from blemish.calibration.limit_setters import setters_note
from blemish.calibration.tail import is_estimated
from blemish.results import UNKNOWN_PRODUCT

if TYPE_CHECKING:
    from blemish.calibration.limits import Calibration


def limit_notes(
    calibration: Calibration,
    pooled: GoodScores,
    asked: Iterable[str | None] = (),
    *,
    learned: bool = False,
) -> list[str]:
    """What the user should know about limits, one sentence each; empty if all is well.

    Args:
        calibration: The limits.
        pooled: The good images of all products together.
        asked: Products of the images that were judged, ``None`` where there was none: then only
            the limits that judged them are spoken of, and that some were the pooled ones is said.
            Nothing asked: all limits.
        learned: Whether the model has learned the good images as well.
    """
    groups = calibration.groups
    wanted = tuple(dict.fromkeys(product or None for product in asked))
    several = len(groups) > 1
    if several and not wanted and calibration.n < images_needed(calibration.false_alarm_rate):
        groups = (*groups, pooled)
    known = {None, UNKNOWN_PRODUCT, *calibration.products}
    unknown = sorted(p for p in wanted if p is not None and p not in known)
    if wanted:
        groups = tuple(g for g in groups if g.product is not None and g.product in wanted)
        if unknown or None in wanted:
            groups = (*groups, pooled)
    notes = [note for group in groups for note in _of_group(calibration, group, several)]
    if unknown:
        notes.append(
            Important(
                f"Not calibrated: {', '.join(unknown)}. Such images are judged by the limits "
                f"pooled over all {calibration.n} good images; for limits of their own, calibrate "
                "with good images of these products."
            )
        )
    if UNKNOWN_PRODUCT in wanted:
        notes.append(
            "Images that show none of the products the model knows are 'unsure', whatever their "
            "score. Name the product with --product where it is one of them, or train on it."
        )
    if None in wanted and several and calibration.products:
        notes.append(
            "Images of which no product is known are judged by the limits pooled over all "
            f"{calibration.n} good images, which hold the rate on average over the products and "
            "for none of them. Name the product with --product."
        )
    if wanted:
        return notes
    promised = [_of_new_groups(calibration, g, several) for g in calibration.groups]
    setters = map(Important, setters_note(calibration, learned=learned))
    return [*notes, *filter(None, promised), *setters]


def _of_new_groups(calibration: Calibration, group: GoodScores, several: bool) -> str:
    """What good images that come in groups support; empty where they do not."""
    if len(group.group_sizes) == group.n:
        return ""
    prefix = f"{group.product or 'images of unknown product'}: " if several else ""
    count = len(group.group_sizes)
    rate = calibration.limits_of(group).defect_rate
    asked = calibration.false_alarm_rate
    about = "the rate asked for" if limit_rank(asked, group.n) else _share(1 / (group.n + 1))
    return (
        f"{prefix}{'the' if prefix else 'The'} limits rest on {group.n} good images of {count} "
        f"group{'' if count == 1 else 's'}. Of new groups they stop about {about}; "
        f"guaranteed for {percent(asked)} is at most {100 * rate:.2g} %, "
        "and less only by more groups."
    )


def _of_group(calibration: Calibration, group: GoodScores, several: bool) -> list[str]:
    n = group.n
    own = group in calibration.groups
    unnamed = "images of unknown product" if own else "all products together"
    prefix = f"{group.product or unnamed}: " if several else ""
    # Of groups the bound is another, and said by _of_new_groups.
    most = "at most" if len(group.group_sizes) == n else "about"
    notes = []
    for rate, limit, effect in (
        (calibration.false_alarm_rate, "the limit", "a false-alarm rate"),
        (calibration.unsure_rate, "the limit for 'unsure' and for marked pixels", "a rate"),
    ):
        if limit_rank(rate, n) == 0:
            if is_estimated(calibration.estimate, n, rate):
                used = "is an estimate from the tail of their scores. Without it there is"
                if most == "at most":
                    used = "is an estimate from the tail of their scores. Guaranteed is"
            else:
                used = "used has"
            notes.append(
                f"{prefix}{percent(rate)} needs at least {images_needed(rate)} good images, "
                f"{n} {'was' if n == 1 else 'were'} given: {limit} {used} {effect} of "
                f"{most} {_share(1 / (n + 1))}."
            )
    constant = n > 1 and group.scores[0] == group.scores[-1]
    limits = calibration.limits_of(group)
    asked_for = calibration.unsure_rate > calibration.false_alarm_rate
    if asked_for and not constant and limits.defect == limits.unsure:
        notes.append(
            f"{prefix}with {n} good image{'' if n == 1 else 's'} both limits are the same: "
            "the verdict is never 'unsure'."
        )
    if constant:
        notes.append(
            Important(
                f"{prefix}all {n} good images have the same score: the model tells nothing apart."
            )
        )
    return notes


def _share(value: float) -> str:
    return f"{100 * value:.2g} %"


def percent(rate: float) -> str:
    """A rate in words: ``1 %``."""
    return f"{100 * rate:.4g} %"
