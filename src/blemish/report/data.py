"""Report data: what is kept of each test image, counted by kind, product and model.

No maps: an image that is to be shown is judged once more when it is drawn, so that a report over
ten thousand images needs little more memory than one over ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration, Limits
from blemish.data.images.reading import read_mask
from blemish.data.sample import DataSet, Sample
from blemish.errors import DataError, ImageError
from blemish.evaluation.evaluator import Evaluation, ProductResult
from blemish.metrics.curves import Curve
from blemish.metrics.intervals import Interval, auroc_interval, binomial_interval
from blemish.report.promise import PromiseCheck, check_promise
from blemish.results import Branch, Prediction, Verdict

if TYPE_CHECKING:
    from blemish.evaluation.diagnosis import Diagnosis
    from blemish.model_file.bundle import Manifest
    from blemish.report.setters import ShownSetters


@dataclass(frozen=True)
class Row:
    """One judged test image.

    Attributes:
        sample: What is known of it.
        score, p_value, verdict, times_limit: See :class:`blemish.results.Prediction`.
        background, peak: Median and largest value of its anomaly map.
        located: Whether the marked area touches the ground truth; ``None`` without a mask or
            without limits.
        branches: What each branch of the method says, empty where it has none.
        advice: The explanation's sentence, empty without one.
    """

    sample: Sample
    score: float
    p_value: float | None
    verdict: Verdict | None
    background: float
    peak: float
    located: bool | None = None
    branches: Mapping[str, Branch] = field(default_factory=dict, hash=False)
    advice: str = ""
    times_limit: float | None = None

    @property
    def kind(self) -> str:
        """``good`` or the defect kind, named as in :mod:`blemish.evaluation.evaluator`."""
        return "good" if self.sample.is_good else self.sample.defect_kind or "defect"

    @property
    def outcome(self) -> tuple[str, Verdict] | None:
        """What the verdict means for this part, and whether that is good news."""
        if self.verdict is None:
            return None
        if self.verdict == "unsure":
            return "unsure", "unsure"
        if self.kind == "good":
            return ("pass", "ok") if self.verdict == "ok" else ("stopped", "defect")
        return ("missed", "defect") if self.verdict == "ok" else ("found", "ok")


def make_row(sample: Sample, prediction: Prediction) -> Row:
    """The row of one prediction."""
    amap = prediction.anomaly_map
    # Every fourth line tells the background as well as all of them.
    few = amap[::4, ::4] if prediction.roi is None else prediction.map_values
    return Row(
        sample=sample,
        score=prediction.score,
        p_value=prediction.p_value,
        verdict=prediction.verdict,
        background=float(np.median(few)),
        peak=float(amap.max()),
        located=_touches(sample, prediction.mask),
        branches=dict(prediction.branches),
        advice=prediction.explanation.sentence if prediction.explanation else "",
        times_limit=prediction.times_limit,
    )


def _touches(sample: Sample, marked: NDArray[np.bool_] | None) -> bool | None:
    if marked is None:
        return None
    truth = read_truth(sample, (marked.shape[0], marked.shape[1]))
    return None if truth is None else bool((marked & truth).any())


def read_truth(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """All ground truth of an image as one ``(H, W)``; ``None`` where there is none to be read."""
    try:
        masks = [read_mask(path, expected_size=size) > 0 for path in sample.mask_paths]
    except (DataError, ImageError):
        return None  # the evaluation says what is wrong with it
    union: NDArray[np.bool_] | None = np.any(masks, axis=0) if masks else None
    return union


@dataclass(frozen=True)
class Verdicts:
    """How many images of one group got which verdict."""

    ok: int = 0
    unsure: int = 0
    defect: int = 0

    @property
    def total(self) -> int:
        """Number of images."""
        return self.ok + self.unsure + self.defect


class Group(tuple[Row, ...]):
    """Images of one sort, such as the good ones of a product."""

    @property
    def verdicts(self) -> Verdicts | None:
        """How many got which verdict; ``None`` without calibration or without images."""
        given = [row.verdict for row in self]
        if not given or None in given:
            return None
        return Verdicts(given.count("ok"), given.count("unsure"), given.count("defect"))

    @property
    def located(self) -> tuple[int, int]:
        """Of the defects called ``defect``: those marked at the right place, those with a mask."""
        known = [row.located for row in self if row.verdict == "defect" and row.located is not None]
        return sum(known), len(known)

    @property
    def scores(self) -> list[float]:
        """Their raw scores."""
        return [row.score for row in self]

    @property
    def auroc(self) -> Interval:
        """The AUROC of the images with its interval; ``nan`` if one class is missing."""
        return auroc_interval(self.scores, [row.kind != "good" for row in self])


def by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by their kind, in the order of the first of each."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    return kinds


@dataclass(frozen=True)
class Figure:
    """One part as a report shows it.

    Attributes:
        row: What is said of it.
        image, overlay: Data URIs.
        truth: Data URI of the image with the ground truth outlined; ``None`` without one.
        size: Width and height of the pictures in pixels.
        close_ups: Of a large image: data URI, size and place of what matters in it.
    """

    row: Row
    image: str
    overlay: str
    truth: str | None
    size: tuple[int, int]
    close_ups: tuple[tuple[str, tuple[int, int], str], ...] = ()


@dataclass(frozen=True)
class KindReport:
    """One defect kind of one product: its images, and what becomes of them."""

    product: str
    kind: str
    rows: Group
    auroc: Interval  # good images of the product against these

    @property
    def verdicts(self) -> Verdicts | None:
        """Its verdicts; ``None`` without calibration."""
        return self.rows.verdicts

    @property
    def weakness(self) -> tuple[float, float, float, float]:
        """Sorts the weakest kind first: what is surely missed, then what is not surely found.

        By the lower confidence limit, so that one miss among two images does not come before
        twenty among sixty.
        """
        v = self.verdicts
        auroc = self.auroc.estimate
        if v is None:
            return (0.0, 0.0, 0.0, auroc)
        missed = binomial_interval(v.ok, v.total)
        unfound = binomial_interval(v.ok + v.unsure, v.total)
        return (-missed.low, -missed.estimate, -unfound.low, auroc)


@dataclass(frozen=True)
class ProductReport:
    """One product.

    Attributes:
        result: Its figures.
        rows: Its judged test images.
        limits: ``None`` without calibration.
        pro: PRO curve; ``None`` without masks.
        alarms, misses, hits: The images shown, see :class:`blemish.report.pictures.Chosen`.
    """

    result: ProductResult
    rows: Group
    limits: Limits | None
    pro: Curve | None = None
    alarms: tuple[Figure, ...] = ()
    misses: tuple[Figure, ...] = ()
    hits: tuple[Figure, ...] = ()

    @property
    def name(self) -> str:
        """The product."""
        return self.result.product

    @cached_property
    def good(self) -> Group:
        """Its good images."""
        return Group(row for row in self.rows if row.kind == "good")

    @cached_property
    def defective(self) -> Group:
        """Its defective images."""
        return Group(row for row in self.rows if row.kind != "good")

    @property
    def pictured(self) -> bool:
        """Whether any of its images is shown."""
        return bool(self.alarms or self.misses or self.hits)

    @property
    def p_values(self) -> list[float]:
        """Of its good images; empty without calibration."""
        return [row.p_value for row in self.good if row.p_value is not None]

    @cached_property
    def auroc(self) -> Interval:
        """Of images, with its confidence interval."""
        return self.rows.auroc

    @cached_property
    def kinds(self) -> tuple[KindReport, ...]:
        """Its defect kinds, the weakest first."""
        kinds = (
            KindReport(self.name, kind, Group(rows), Group((*self.good, *rows)).auroc)
            for kind, rows in by_kind(self.defective).items()
        )
        return tuple(sorted(kinds, key=lambda kind: kind.weakness))

    @cached_property
    def promise(self) -> PromiseCheck | None:
        """False alarms against what the calibration promised; ``None`` without calibration."""
        return self._check(unsure=False)

    @cached_property
    def unsure_promise(self) -> PromiseCheck | None:
        """The same for good images that are at least unsure."""
        return self._check(unsure=True)

    def _check(self, *, unsure: bool) -> PromiseCheck | None:
        verdicts = self.good.verdicts
        if self.limits is None or verdicts is None:
            return None
        alarms = verdicts.defect + (verdicts.unsure if unsure else 0)
        return check_promise(self.limits, good=verdicts.total, alarms=alarms, unsure=unsure)


class Timing(NamedTuple):
    """How long things took, in seconds.

    Attributes:
        load: Reading the model file; ``None`` if it was not read.
        images: Number of images of the pass over the test set.
        judging: Time that pass took, images read ahead and judged in batches.
        single: Each of some images read and judged by itself.
    """

    load: float | None
    images: int
    judging: float
    single: tuple[float, ...] = ()


class Decisions(NamedTuple):
    """What happens to the parts of one product, or of all, at the calibrated limits."""

    name: str
    good: Verdicts
    defective: Verdicts
    located: tuple[int, int]


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        model: What is called so in the title.
        data_set: What was measured on, all of it.
        date: Of this report, UTC, ISO 8601.
        evaluation: All figures.
        products: In the order of the evaluation.
        timing: How long it took.
        machine: What this was measured on, see :mod:`blemish.benchmark.environment`.
        command: The command line that asked for it, empty where there was none.
        manifest: Of the model file, where there is one.
        calibration: The model's limits.
        notes: What the reader should know, one sentence each.
        diagnosis: Why the model misses, where that was asked for.
        setters: By product the good images that its limit rests on.
    """

    model: str
    data_set: DataSet
    date: str
    evaluation: Evaluation
    products: tuple[ProductReport, ...]
    timing: Timing
    machine: Mapping[str, Any]
    command: str = ""
    manifest: Manifest | None = None
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None
    setters: Mapping[str, ShownSetters] = field(default_factory=dict)

    @cached_property
    def learned(self) -> tuple[ProductReport, ...]:
        """The products that the model knows, of which the summary speaks."""
        others = self.evaluation.unlearned
        return tuple(product for product in self.products if product.name not in others)

    @cached_property
    def good(self) -> Group:
        """The good images of all products learned."""
        return Group(row for product in self.learned for row in product.good)

    @cached_property
    def defective(self) -> Group:
        """The defective images of all products learned."""
        return Group(row for product in self.learned for row in product.defective)

    @property
    def calibrated(self) -> bool:
        """Whether there are verdicts."""
        return self.calibration is not None

    @property
    def kinds(self) -> tuple[KindReport, ...]:
        """The defect kinds of all products learned, the weakest first."""
        kinds = [kind for product in self.learned for kind in product.kinds]
        return tuple(sorted(kinds, key=lambda kind: kind.weakness))

    @property
    def decisions(self) -> list[Decisions]:
        """By product, and of all of them where there are several."""
        groups = [(p.name, p.good, p.defective) for p in self.products]
        if len(groups) > 1:
            name = "all learned" if self.evaluation.unlearned else "all"
            groups.append((name, self.good, self.defective))
        none = Verdicts()
        return [
            Decisions(name, good.verdicts or none, bad.verdicts or none, bad.located)
            for name, good, bad in groups
        ]

    def given(self, metrics: Mapping[str, str]) -> dict[str, str]:
        """Those of the named metrics that could be measured."""
        mean = self.evaluation.mean
        return {k: name for k, name in metrics.items() if math.isfinite(mean.get(k, math.nan))}
