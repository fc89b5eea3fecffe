"""What new limits change: old and new, and the rate that the new ones really give."""

from __future__ import annotations

from blemish.calibration.limits import Calibration, Limits

#: So many products are listed; of more, those whose limit has moved furthest.
_LISTED = 20


def limit_changes(before: Calibration | None, after: Calibration) -> list[str]:
    """One line per product: its limits, what they were, and how many good parts they stop.

    The rate is the guaranteed one, which with few good images is not the one that was asked for.
    Of many products those are listed whose limit has changed most.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.limit_changes import limit_changes
        >>> before = calibrate([CalibrationRecord("nut", score=s, peak=s) for s in range(150)])
        >>> for line in limit_changes(before, before.at(false_alarm_rate=0.05)):
        ...     print(line)  # doctest: +NORMALIZE_WHITESPACE
        nut: defect above 142.4 (was 148.5), unsure above 112.2 (was 142.4); stops at most 5 % of
        good parts, asked for 5 %, from 150 good images.
    """
    products: list[str | None] = [*after.products]
    if any(group.product is None for group in after.groups):
        products.append(None)
    known = set() if before is None else {group.product for group in before.groups}
    found = []
    for product in products:
        new = after.limits(product)
        old = before.limits(product) if before is not None and product in known else None
        moved = 0.0 if old is None else abs(new.defect - old.defect) / (abs(old.defect) or 1.0)
        found.append((moved, _line(new, old, after.false_alarm_rate)))
    if len(found) <= _LISTED:
        return [line for _, line in found]
    found.sort(key=lambda one: -one[0])
    rest = f"… and {len(found) - _LISTED} more products: blemish info MODEL"
    return [*(line for _, line in found[:_LISTED]), rest]


def _line(new: Limits, old: Limits | None, asked: float) -> str:
    return (
        f"{new.product or 'Images of unknown product'}: "
        f"defect above {_moved(new.defect, None if old is None else old.defect)}, "
        f"unsure above {_moved(new.unsure, None if old is None else old.unsure)}; stops at most "
        f"{100 * new.defect_rate:.2g} % of good parts, asked for {100 * asked:.3g} %, from "
        f"{new.n} good image{'' if new.n == 1 else 's'}."
    )


def _moved(new: float, old: float | None) -> str:
    if old is None:
        return f"{new:.4g}"
    return f"{new:.4g} (as before)" if new == old else f"{new:.4g} (was {old:.4g})"
