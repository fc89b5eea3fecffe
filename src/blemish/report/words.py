"""Template filters: figures and names as words, the same everywhere, and the page's templates."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean, median

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from blemish._progress import printable
from blemish.metrics.bounds import bound_text
from blemish.metrics.intervals import Interval, binomial_interval

MISSING = "–"
#: A space at which no line ends, as between a number and its unit.
NO_BREAK = "\u00a0"

_BREAKS = re.compile(r"([_/.-])(?=.)")


def shown(value: object) -> object:
    """A value as it is shown: text becomes printable, anything else stays as it is."""
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return printable(str(value), keep=NO_BREAK) if plain else value


def breakable(name: str) -> Markup:
    """A name that may go on in the next line after ``_``, ``/``, ``-`` and ``.``."""
    return Markup(_BREAKS.sub(r"\1<wbr>", str(escape(shown(name)))))


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
    # 99.99 has two digits, so one of these is below a hundred.
    shown = (f"{value:.{digits}f}" for digits in range(3))
    return next(text for text in shown if float(text) < 100) + f"{NO_BREAK}%"


def share_range(interval: Interval) -> str:
    """Both limits of a share."""
    if not math.isfinite(interval.low):
        return MISSING
    return f"{percent(interval.low)} to {percent(interval.high)}"


def fraction(value: float, digits: int = 3, *, missing: str = MISSING) -> str:
    """A metric with three decimals, a dash where it cannot be given."""
    return f"{value:.{digits}f}" if math.isfinite(value) else missing


def score(value: float) -> str:
    """A raw score or map value with four digits."""
    return f"{value:.4g}"


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 image``, ``0 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def file_name(path: Path) -> str:
    """Folder and name: enough to find the file, and no machine's whole path."""
    return "/".join(path.parts[-2:])


def seconds(value: float) -> str:
    """A duration in the unit it is best read in.

    Example:
        >>> from blemish.report.words import seconds
        >>> [seconds(value).replace("\u00a0", " ") for value in (0.0284, 1.26, 300)]
        ['28 ms', '1.3 s', '5.0 min']
    """
    if value < 0.9995:
        return f"{1000 * value:.{0 if value >= 0.01 else 1}f}{NO_BREAK}ms"
    return f"{value:.1f}{NO_BREAK}s" if value < 120 else f"{value / 60:.1f}{NO_BREAK}min"


def metric(values: Mapping[str, float], name: str) -> str:
    """A named metric, a dash where it was not measured."""
    return fraction(values.get(name, math.nan))


def pixels(value: float) -> str:
    """A length of a drawing with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def template(name: str) -> Template:
    """A template of this package; every value in it is escaped, and printable."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("blemish.report"),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        **{f.__name__: f for f in (breakable, percent, share_range, fraction, score)},
        **{f.__name__: f for f in (file_name, seconds, metric, median, bound_text)},
        **{"counted": count, "px": pixels, "mean": fmean},
    }
    made.tests["finite"] = math.isfinite
    made.globals |= {"interval": binomial_interval, "MISSING": MISSING}
    return made
