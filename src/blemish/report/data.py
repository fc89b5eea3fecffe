"""What a report says, before it is put into words and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from blemish.calibration.limits import Limits
from blemish.evaluation.evaluator import Evaluation, ProductResult
from blemish.metrics import Interval, auroc_interval
from blemish.metrics.curves import Curve
from blemish.metrics.intervals import binomial_interval
from blemish.report.pictures import Figure
from blemish.report.promise import PromiseCheck, check_promise
from blemish.report.rows import Row, Verdicts

if TYPE_CHECKING:
    from blemish.evaluation.diagnosis import Diagnosis


@dataclass(frozen=True)
class KindReport:
    """One defect kind of one product.

    Attributes:
        product, kind: Names.
        rows: Its images.
        good: The product's good images.
    """

    product: str
    kind: str
    rows: tuple[Row, ...]
    good: tuple[Row, ...] = field(repr=False)

    @cached_property
    def verdicts(self) -> Verdicts | None:
        """Its verdicts; ``None`` without calibration."""
        return verdicts_of(self.rows)

    @cached_property
    def auroc(self) -> Interval:
        """Good images of the product against this kind."""
        return rows_auroc((*self.good, *self.rows))

    @property
    def located(self) -> tuple[int, int]:
        """Images whose marked area touches the ground truth, of those where that is known."""
        return located_of(self.rows)

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
        alarms, misses, hits: The images shown, see ``report_rows.Chosen``.
    """

    result: ProductResult
    rows: tuple[Row, ...]
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
    def good(self) -> tuple[Row, ...]:
        """Its good images."""
        return tuple(row for row in self.rows if row.kind == "good")

    @cached_property
    def defective(self) -> tuple[Row, ...]:
        """Its defective images."""
        return tuple(row for row in self.rows if row.kind != "good")

    @cached_property
    def auroc(self) -> Interval:
        """Of images, with its confidence interval."""
        return rows_auroc(self.rows)

    @cached_property
    def kinds(self) -> tuple[KindReport, ...]:
        """Its defect kinds, the weakest first."""
        by_kind: dict[str, list[Row]] = {}
        for row in self.defective:
            by_kind.setdefault(row.kind, []).append(row)
        kinds = [
            KindReport(self.name, kind, tuple(rows), self.good) for kind, rows in by_kind.items()
        ]
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
        verdicts = verdicts_of(self.good)
        if self.limits is None or verdicts is None:
            return None
        alarms = verdicts.defect + (verdicts.unsure if unsure else 0)
        return check_promise(self.limits, good=verdicts.total, alarms=alarms, unsure=unsure)


@dataclass(frozen=True)
class Timing:
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


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        model, data: What is called so in the title.
        date: Of this report, UTC, ISO 8601.
        evaluation: All figures.
        products: In the order of the evaluation.
        timing: How long it took.
        facts: Headings with named facts: model, data, this run.
        notes: What the reader should know, one sentence each.
        diagnosis: Why the model misses, where that was asked for.
    """

    model: str
    data: str
    date: str
    evaluation: Evaluation
    products: tuple[ProductReport, ...]
    timing: Timing
    facts: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """All judged images."""
        return tuple(row for product in self.products for row in product.rows)

    @property
    def calibrated(self) -> bool:
        """Whether there are verdicts."""
        return all(product.limits is not None for product in self.products)

    @property
    def kinds(self) -> tuple[KindReport, ...]:
        """The defect kinds of all products, the weakest first."""
        kinds = [kind for product in self.products for kind in product.kinds]
        return tuple(sorted(kinds, key=lambda kind: kind.weakness))


def rows_auroc(rows: Sequence[Row]) -> Interval:
    """The AUROC of images with its confidence interval; ``nan`` if one class is missing."""
    return auroc_interval([row.score for row in rows], [row.kind != "good" for row in rows])


def verdicts_of(rows: Sequence[Row]) -> Verdicts | None:
    """The counts of verdicts; ``None`` without calibration or without images."""
    if not rows or any(row.verdict is None for row in rows):
        return None
    return Verdicts.of(rows)


def located_of(rows: Sequence[Row]) -> tuple[int, int]:
    """Of the defects called ``defect``: those marked at the right place, those with a mask.

    Example:
        >>> from blemish.report.data import located_of
        >>> located_of([])
        (0, 0)
    """
    known = [row.located for row in rows if row.verdict == "defect" and row.located is not None]
    return sum(known), len(known)
