"""Figures as words: shares, intervals, scores and file names, the same everywhere in a report."""

from __future__ import annotations

import math
from pathlib import Path

from blemish.metrics.intervals import Interval
from blemish.report.html import NO_BREAK

MISSING = "–"


def percent(share: float) -> str:
    """A share with two digits, and never rounded to a hundred or to nothing.

    Example:
        >>> from blemish.report.words import percent
        >>> shares = (0.0233, 0.318, 0.9996, 0.0, 0.999999)
        >>> [percent(share).replace("\u00a0", " ") for share in shares]
        ['2.3 %', '32 %', '99.96 %', '0 %', '> 99.99 %']
    """
    if not math.isfinite(share):
        return MISSING
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f}{NO_BREAK}%"
    if value < 0.01:
        return f"<{NO_BREAK}0.01{NO_BREAK}%"
    if value > 99.99:
        return f">{NO_BREAK}99.99{NO_BREAK}%"
    if value < 9.95:
        return f"{value:.2g}{NO_BREAK}%"
    for digits in range(3):
        shown = f"{value:.{digits}f}"
        if float(shown) < 100:
            return f"{shown}{NO_BREAK}%"
    raise AssertionError(value)  # 99.99 has two digits


def share_range(interval: Interval) -> str:
    """Both limits of a share.

    Example:
        >>> from blemish.metrics.intervals import Interval
        >>> from blemish.report.words import share_range
        >>> share_range(Interval(0.1, 0.012, 0.317)).replace("\u00a0", " ")
        '1.2 % to 32 %'
    """
    if not math.isfinite(interval.low):
        return MISSING
    return f"{percent(interval.low)} to {percent(interval.high)}"


def fraction(value: float) -> str:
    """A metric with three decimals, a dash where it cannot be given.

    Example:
        >>> from blemish.report.words import fraction
        >>> fraction(0.98765), fraction(float("nan"))
        ('0.988', '–')
    """
    return f"{value:.3f}" if math.isfinite(value) else MISSING


def score(value: float) -> str:
    """A raw score or map value with four digits.

    Example:
        >>> from blemish.report.words import score
        >>> score(1.23456)
        '1.235'
    """
    return f"{value:.4g}"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    Example:
        >>> from blemish.report.words import count
        >>> count(1, "image"), count(0, "image")
        ('1 image', '0 images')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def file_name(path: Path) -> str:
    """Folder and name: enough to find the file, and no machine's whole path.

    Example:
        >>> from pathlib import Path
        >>> from blemish.report.words import file_name
        >>> file_name(Path("data/bottle/test/good/003.png"))
        'good/003.png'
    """
    return "/".join(path.parts[-2:])


def seconds(value: float) -> str:
    """A duration in the unit it is best read in.

    Example:
        >>> from blemish.report.words import seconds
        >>> [seconds(value).replace("\u00a0", " ") for value in (0.0284, 1.26, 300)]
        ['28 ms', '1.3 s', '5.0 min']
    """
    if value < 0.9995:
        return (
            f"{1000 * value:.0f}{NO_BREAK}ms"
            if value >= 0.01
            else f"{1000 * value:.1f}{NO_BREAK}ms"
        )
    return f"{value:.1f}{NO_BREAK}s" if value < 120 else f"{value / 60:.1f}{NO_BREAK}min"
