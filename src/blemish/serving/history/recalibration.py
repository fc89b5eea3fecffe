"""New limits from pictures that people marked as good.

The scores of the marked pictures join those of the model's own calibration, or take their place.
Always from the model's own calibration and never from the last one: a picture counts once, however
often one recalibrates, and a mark taken back is gone with the next calibration.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from blemish.calibration import Calibration, CalibrationRecord, How, Limits, calibrate
from blemish.errors import CalibrationError
from blemish.serving.history.pictures import Picture


def recalibrated(
    base: Calibration | None,
    records: Sequence[CalibrationRecord],
    *,
    how: How,
    rates: Calibration | None = None,
) -> Calibration:
    """The calibration of the model with the marked pictures in it.

    Args:
        base: The model's own calibration; ``None`` where it came without one.
        records: One per marked picture.
        how: ``join``: beside the model's own good images. ``replace``: in their place, for those
            products that have marked pictures; other products keep theirs.
        rates: Whose rates to use; the base's where not given.

    Raises:
        CalibrationError: No marked pictures, or scores of another method.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.serving.history.recalibration import recalibrated
        >>> base = calibrate(CalibrationRecord(None, score=s, peak=s) for s in range(99))
        >>> marked = [CalibrationRecord(None, score=150.0, peak=150.0)]
        >>> recalibrated(base, marked, how="join").limits().defect
        150.0
        >>> recalibrated(base, marked, how="replace").n
        1
    """
    if not records:
        raise CalibrationError(
            "No picture is marked as good. Mark pictures of good parts first; for a false-alarm "
            "rate of 1 % without the model's own good images, 99 of them are needed."
        )
    if base is not None:
        # A product without limits of its own was judged by the pooled ones: there it belongs.
        known = {group.product for group in base.groups}
        records = [r if r.product in known else replace(r, product=None) for r in records]
    done = calibrate(records, current=base, how=how)
    return done if rates is None else _at(done, rates)


def at_rate(calibration: Calibration, false_alarm_rate: float | None) -> Calibration:
    """The same good images at another rate; the same calibration where it is the rate it has.

    Raises:
        ConfigError: A rate outside (0, 0.5].
    """
    if false_alarm_rate is None or math.isclose(
        false_alarm_rate, calibration.false_alarm_rate, rel_tol=1e-9
    ):
        return calibration
    return calibration.at(false_alarm_rate=false_alarm_rate)


def comparison(
    before: Calibration | None, after: Calibration, pictures: Iterable[Picture]
) -> dict[str, Any]:
    """What new limits would change: the limits, and the verdicts of everything judged so far."""
    pictures = list(pictures)
    verdicts: dict[str, Counter[str]] = {"before": Counter(), "after": Counter()}
    marked = {mark: Counter[str]() for mark in ("good", "defect")}
    changed = []
    for picture in pictures:
        old = "none" if before is None else before.judge(picture.score, picture.product).verdict
        new = after.judge(picture.score, picture.product).verdict
        verdicts["before"][old] += 1
        verdicts["after"][new] += 1
        if old != new:
            changed.append({"id": picture.id, "before": old, "after": new})
        if picture.mark:
            marked[picture.mark]["total"] += 1
            marked[picture.mark]["stopped_before"] += old == "defect"
            marked[picture.mark]["stopped_after"] += new == "defect"
    return {
        "before": None if before is None else limits_json(before),
        "after": limits_json(after),
        "verdicts": {when: dict(counts) for when, counts in verdicts.items()},
        "marked": {mark: dict(counts) for mark, counts in marked.items()},
        "changed": changed,
        "notes": after.notes(),
    }


def limits_json(calibration: Calibration) -> list[dict[str, Any]]:
    """The limits of each product and the pooled ones, for JSON."""
    products: list[str | None] = [*calibration.products]
    # With one product and nothing else the pooled limits are its own.
    if len(calibration.groups) != 1 or not products:
        products.append(None)
    return [_limits_json(calibration.limits(product)) for product in products]


def _limits_json(limits: Limits) -> dict[str, Any]:
    return {
        "product": limits.product,
        "defect": limits.defect,
        "unsure": limits.unsure,
        "map": limits.map,
        "map_scale": list(limits.map_scale),
        "defect_rate": limits.defect_rate,
        "unsure_rate": limits.unsure_rate,
        "n": limits.n,
    }


def _at(calibration: Calibration, rates: Calibration) -> Calibration:
    return calibration.at(false_alarm_rate=rates.false_alarm_rate, unsure_rate=rates.unsure_rate)
