"""What a report keeps of each test image, and which images it shows.

No maps: an image that is to be shown is judged once more when it is drawn, so that a report over
ten thousand images needs little more memory than one over ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.image import read_mask
from blemish.data.sample import Sample
from blemish.errors import DataError, ImageError
from blemish.results import Prediction, Verdict

# Of an image group without an alarm or a miss, so many are shown that came nearest to one.
_NEAREST = 3


@dataclass(frozen=True)
class Row:
    """One judged test image.

    Attributes:
        sample: What is known of it.
        score, p_value, verdict: See :class:`blemish.results.Prediction`.
        background, peak: Median and largest value of its anomaly map.
        located: Whether the marked area touches the ground truth; ``None`` without a mask or
            without limits.
        branch_verdicts: Verdict of each branch of the method, empty where it has none.
        advice: The explanation's sentence, empty without one.
        advised: Whether the explanation's box touches the ground truth; ``None`` without either.
    """

    sample: Sample
    score: float
    p_value: float | None
    verdict: Verdict | None
    background: float
    peak: float
    located: bool | None = None
    branch_verdicts: Mapping[str, Verdict] = field(default_factory=dict, hash=False)
    advice: str = ""
    advised: bool | None = None

    @property
    def kind(self) -> str:
        """``good`` or the defect kind, named as in :mod:`blemish.evaluation.evaluator`."""
        return "good" if self.sample.is_good else self.sample.defect_kind or "defect"


def make_row(sample: Sample, prediction: Prediction) -> Row:
    """The row of one prediction.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.data.sample import Sample
        >>> from blemish.report.rows import make_row
        >>> from blemish.results import Prediction
        >>> sample = Sample(Path("x.png"), "nut", "test", 1, "dent")
        >>> make_row(sample, Prediction(None, "nut", 0.7, np.ones((4, 4), "f4"))).kind
        'dent'
    """
    amap = prediction.anomaly_map
    return Row(
        sample=sample,
        score=prediction.score,
        p_value=prediction.p_value,
        verdict=prediction.verdict,
        # Every fourth line tells the background as well as all of them.
        background=float(np.median(amap[::4, ::4])),
        peak=float(amap.max()),
        located=_touches(sample, prediction.mask),
        branch_verdicts=dict(prediction.branch_verdicts),
        advice=prediction.explanation.sentence if prediction.explanation else "",
        advised=_touches(sample, _look_mask(prediction)),
    )


def _look_mask(prediction: Prediction) -> NDArray[np.bool_] | None:
    if prediction.explanation is None:
        return None
    left, top, right, bottom = prediction.explanation.box
    mask = np.zeros(prediction.anomaly_map.shape, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def _touches(sample: Sample, marked: NDArray[np.bool_] | None) -> bool | None:
    if marked is None or not sample.mask_paths:
        return None
    size = (marked.shape[0], marked.shape[1])
    try:
        truth = [read_mask(path, expected_size=size) > 0 for path in sample.mask_paths]
    except (DataError, ImageError):
        return None  # the evaluation says what is wrong with it
    return any(bool((marked & mask).any()) for mask in truth)


@dataclass(frozen=True)
class Verdicts:
    """How many images of one group got which verdict.

    Attributes:
        ok, unsure, defect: Numbers of images.

    Example:
        >>> from blemish.report.rows import Verdicts
        >>> Verdicts(ok=17, unsure=1, defect=2).total
        20
    """

    ok: int
    unsure: int
    defect: int

    @property
    def total(self) -> int:
        """Number of images."""
        return self.ok + self.unsure + self.defect

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Verdicts:
        """The counts of calibrated rows."""
        given = [row.verdict for row in rows]
        return cls(given.count("ok"), given.count("unsure"), given.count("defect"))


@dataclass(frozen=True)
class Chosen:
    """The images a report shows of one product.

    Attributes:
        alarms: Good images, the highest score first: false alarms and what came nearest to one.
        misses: Defective images, the lowest score first: misses and what came nearest to one.
        hits: Defects that were found, each kind's most typical first.
    """

    alarms: tuple[Row, ...] = field(default=())
    misses: tuple[Row, ...] = field(default=())
    hits: tuple[Row, ...] = field(default=())

    @property
    def all(self) -> tuple[Row, ...]:
        """All of them."""
        return (*self.alarms, *self.misses, *self.hits)


def choose_images(rows: Sequence[Row], *, most: int) -> Chosen:
    """The images to show of one product.

    Args:
        rows: All its rows.
        most: Largest number per group.

    Example:
        >>> from blemish.report.rows import choose_images
        >>> choose_images([], most=6).all
        ()
    """
    good = sorted((r for r in rows if r.kind == "good"), key=lambda r: -r.score)
    bad = sorted((r for r in rows if r.kind != "good"), key=lambda r: r.score)
    alarms = _worst(good, [r for r in good if r.verdict in ("unsure", "defect")], most)
    misses = _worst(bad, [r for r in bad if r.verdict in ("unsure", "ok")], most)
    # Without verdicts, whatever is not among the lowest scores counts as found.
    found = [r for r in bad if r.verdict in ("defect", None) and r not in misses]
    return Chosen(tuple(alarms), tuple(misses), tuple(_typical(found, most)))


def _worst(ordered: list[Row], wrong: list[Row], most: int) -> list[Row]:
    shown = ordered if not wrong and _uncalibrated(ordered) else wrong
    if len(shown) < _NEAREST:
        shown = ordered[:_NEAREST]
    return shown[:most]


def _uncalibrated(rows: list[Row]) -> bool:
    return bool(rows) and rows[0].verdict is None


def _typical(found: list[Row], most: int) -> list[Row]:
    """From each kind in turn the row nearest to the kind's median score, then the next."""
    by_kind: dict[str, list[Row]] = {}
    for row in found:
        by_kind.setdefault(row.kind, []).append(row)
    queues = []
    for rows in by_kind.values():
        middle = float(np.median([row.score for row in rows]))
        queues.append(sorted(rows, key=lambda row: abs(row.score - middle)))
    queues.sort(key=len, reverse=True)
    chosen: list[Row] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return chosen[:most]


def display_scale(rows: Sequence[Row]) -> tuple[float, float]:
    """Map values at the ends of the colours for a model without limits, from the good images.

    The same rule as ``Limits.map_scale``, taken from the test images for want of better: good for
    the eye, not for a verdict.

    Example:
        >>> from blemish.report.rows import display_scale
        >>> display_scale([])
        (0.0, 1.0)
    """
    good = [row for row in rows if row.kind == "good"] or list(rows)
    if not good:
        return 0.0, 1.0
    low = float(np.median([row.background for row in good]))
    high = low + 2.0 * (max(row.peak for row in good) - low)
    return low, high if high > low and math.isfinite(high) else low + 1.0
