"""Influential observations: the good images that a limit rests on, by name.

The limit is one of the largest good scores, or lies between two of them, so that one mislabelled
image hides every defect that scores less. Where a few hold the limit far above the next score they
are named, with what leaves them out.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from blemish._names import nearest_hint
from blemish.calibration.conformal import limit_at, limit_between
from blemish.calibration.good_scores import CalibrationRecord, GoodScores
from blemish.errors import CalibrationError

if TYPE_CHECKING:
    from blemish.calibration.limits import Calibration

#: How many times as far above the median as the next good score is worth saying: chance alone gives
#: it in one of twelve sets of 60 scores with an exponential tail, and in one of 25 sets of 99.
FAR = 2.0
#: Most images of which it is said that a limit rests on them, and their largest share.
_MOST, _SHARE = 5, 0.1
#: Products, and images of each, that one sentence names.
_NAMED = 3


class LimitSetters(NamedTuple):
    """The good images that one product's limit for ``defect`` rests on.

    Attributes:
        product: Its name, ``None`` for images of unknown product.
        images: Identities, the highest score first; empty where an image has none.
        times: How many times as far above the median good score the limit, or the lowest of them
            below it, is as the next good image; infinite where that one is not above the median.
        limit: Score above which an image is a ``defect``.
        without: The limit, were these images left out.
    """

    product: str | None
    images: tuple[str, ...]
    times: float
    limit: float
    without: float

    @property
    def far(self) -> bool:
        """Whether the limit stands so far from the next that it is worth a look."""
        return self.times >= FAR

    @property
    def names(self) -> tuple[str, ...]:
        """File names of the images, as far as they have one."""
        return tuple(image_name(image) for image in self.images if image)


def image_name(identity: str) -> str:
    """What people call an image of a calibration: its file's name, without the digest."""
    return identity.rpartition("#")[0] or identity


def limit_setters(calibration: Calibration) -> list[LimitSetters]:
    """What each product's limit rests on, in the order of the products.

    These are the images above the widest gap in the scores, in distances from the median, where it
    is wide (:data:`FAR`): at least those at or above the limit, at most five and a tenth. Else it
    is the one whose score is nearest to the limit.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.limit_setters import limit_setters
        >>> scores = [*range(19), 40.0]
        >>> good = [CalibrationRecord("nut", s, s, image=f"{s:.0f}.png#{s}") for s in scores]
        >>> found, = limit_setters(calibrate(good))
        >>> found.names, round(found.times, 1), found.without
        (('40.png',), 3.6, 18.0)
    """
    return [_of_group(group, calibration.false_alarm_rate) for group in calibration.groups]


def _of_group(group: GoodScores, rate: float) -> LimitSetters:
    scores, n = group.scores, group.n
    rank, way = limit_between(rate, n, grouped=group.grouped)
    middle, limit = median(scores), limit_at(rate, scores, grouped=group.grouped)

    def times(count: int) -> float:
        next_one = scores[-count - 1] - middle
        # Above a limit that lies between two scores a gap says nothing of it.
        own = min(scores[-count], limit) - middle
        return own / next_one if next_one > 0 else math.inf

    # Of constant scores nothing stands out.
    candidates = range(rank, min(_MOST, int(_SHARE * n)) + 1) if limit > middle else ()
    count = max(candidates, key=times, default=0)
    widest = times(count) if count else 1.0
    nearest = n - rank - (way > 0.5)
    own = slice(n - count, n) if widest >= FAR else slice(nearest, nearest + 1)
    left = scores[: own.start] + scores[own.stop :]
    return LimitSetters(
        product=group.product,
        images=group.images[own][::-1],
        times=widest,
        limit=limit,
        without=limit_at(rate, left, grouped=group.grouped) if left else math.nan,
    )


def setters_note(calibration: Calibration, *, learned: bool = False) -> list[str]:
    """What to do where limits stand far from the next good image; nothing where none does.

    ``learned``: the model was fitted on the images as well, and takes what they show for good until
    it is fitted without them.
    """
    found = [setters for setters in limit_setters(calibration) if setters.far and setters.names]
    found.sort(key=lambda setters: -setters.times)
    if not found:
        return []
    first, several = found[0], len(calibration.groups) > 1
    if several:
        shown = found[:_NAMED]
        named = [f"{_product(s)} on {_listed(s.names)}, {_far(s)}" for s in shown]
        more = len(found) - len(named)
        rests = "Limits that rest on few good images: " + "; ".join(named)
        rests += f"; and {more} more, see `blemish info MODEL`" if more else ""
    else:
        shown = [first]
        rests = f"The limit rests on {_listed(first.names)}, {_far(first)}"
    names = [
        f"{setters.product}/{name}" if several and setters.product else name
        for setters in shown
        for name in setters.names
    ]
    it = "it" if len(names) == 1 else "they"
    no_good = f"If {it} {'is no good part' if it == 'it' else 'are no good parts'}"
    exclude = f"`blemish calibrate MODEL {_flags('--exclude', names)}`"
    if not learned:
        return [f"{rests}. {no_good}: {exclude}"]
    return [
        f"{rests}. {no_good}, fit without {'it' if it == 'it' else 'them'}: `blemish fit … "
        f"{_flags('--leave-out', names)}`. Lower limits alone, of a model that has still learned "
        f"{'it' if it == 'it' else 'them'} as good: {exclude}"
    ]


def set_by_line(calibration: Calibration) -> str:
    """Which images set the limits, to end a sentence on them; empty where none has a name."""
    found = [setters for setters in limit_setters(calibration) if setters.names]
    several = len(calibration.groups) > 1
    named = [
        (f"{_product(setters)} " if several else "") + _listed(setters.names)
        for setters in found[:_NAMED]
    ]
    if len(found) > _NAMED:
        named.append(f"and {len(found) - _NAMED} more (blemish info MODEL)")
    return f", set by {', '.join(named)}" if named else ""


def named_images(
    calibration: Calibration, names: Iterable[str], product: str | None = None
) -> list[CalibrationRecord]:
    """The good images that are called so, to be excluded: no file of theirs is needed.

    Args:
        calibration: The limits that they are behind.
        names: File names, ``<product>/<name>``, or identities where several images have one name.
        product: Look among the good images of this one alone.

    Raises:
        CalibrationError: No image has the name, or several have.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.limit_setters import named_images
        >>> good = [CalibrationRecord("nut", s, s, image=f"{s}.png#{s}") for s in range(20)]
        >>> named_images(calibrate(good), ["7.png"])[0].image
        '7.png#7'
    """
    there = [
        record
        for group in calibration.groups
        for record in group.records()
        if record.image and product in (None, group.product)
    ]
    known = [image_name(record.image) for record in there]
    found = []
    for name in names:
        called = [
            record
            for record in there
            if name in (record.image, own := image_name(record.image), f"{record.product}/{own}")
        ]
        if not called:
            of = f" of {product}" if product else ""
            raise CalibrationError(
                f"{name} is not among the {len(there)} good images{of} that these limits know by "
                f"name.{nearest_hint(name, known)} `blemish info MODEL --json` lists them."
            )
        if len(called) > 1:
            which = ", ".join(f"{r.image} of {r.product or 'unknown product'}" for r in called[:4])
            raise CalibrationError(
                f"{len(called)} good images are called {name}: {which}. Give the product too, as "
                f"in {called[0].product or 'lid'}/{name}, or the name with the digest behind it."
            )
        found += called
    return found


def _flags(option: str, names: Iterable[str]) -> str:
    return shlex.join([word for name in names for word in (option, name)])


def _product(setters: LimitSetters) -> str:
    return setters.product or "unknown product"


def _far(setters: LimitSetters) -> str:
    if math.isinf(setters.times):
        return "and no other is above the median good score"
    return f"{setters.times:.1f} times as far above the median good score as the next"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
