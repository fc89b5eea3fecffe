"""HTML report: one file that tells within a minute what a model finds and what it misses.

The test images are judged in one pass that feeds the metrics and the report's rows. No map is
kept: the few images that are shown are judged once more, one by one, which also tells how long a
single image takes.
"""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import replace
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from blemish import __version__
from blemish._files import atomic_write
from blemish._progress import Progress
from blemish.benchmark.environment import environment
from blemish.data.sources import training_data
from blemish.errors import ConfigError, ImageError
from blemish.evaluation.evaluator import Evaluator
from blemish.report import plots, words
from blemish.report.data import Figure, Group, ProductReport, Report, Row, Timing, make_row
from blemish.report.pictures import (
    choose_images,
    colour_bar,
    display_scale,
    draw_figure,
    plan_pictures,
)
from blemish.report.setters import shown_setters
from blemish.report.summary import summary_cards

if TYPE_CHECKING:
    from blemish.data.sources import TrainingSource
    from blemish.evaluation.diagnosis import Diagnosis
    from blemish.inspector import Inspector
    from blemish.model_file.bundle import Manifest


def make_report(
    detector: Inspector,
    data: TrainingSource,
    *,
    name: str = "this model",
    manifest: Manifest | None = None,
    layout: str = "auto",
    pictures: int = 6,
    histogram: bool = False,
    load_seconds: float | None = None,
    command: str = "",
    diagnosis: Diagnosis | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge the labelled test images of a data set and gather what a report says of them.

    Args:
        detector: Trained; without calibration the report has no verdicts and says so.
        data: As for :meth:`blemish.detector.Detector.evaluate`.
        name: What the report calls the model.
        manifest: Of the model file, for the facts at the end.
        layout: Name of the layout, ``auto`` to recognise it.
        pictures: Most images shown of each group of each product; fewer with many products.
        histogram: Measure pixels in bounded memory, see ``Evaluator``.
        load_seconds: How long reading the model file took.
        command: The command line that asked for the report.
        diagnosis: What ``diagnose`` found, for a section of its own.
        progress: Where progress is shown.

    Raises:
        ConfigError: A negative number of pictures, or nothing is trained yet.
        DataError: No labelled test images.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from blemish import Detector
        >>> from blemish.data.sample import DataSet, Sample
        >>> from blemish._progress import Progress
        >>> from blemish.report.report import make_report, write_report
        >>> parts = np.random.default_rng(0).integers(90, 110, (24, 64, 64, 3)).astype(np.uint8)
        >>> detector = Detector()
        >>> _ = detector.fit(parts, false_alarm_rate=0.2, progress=Progress(quiet=True))
        >>> test = [
        ...     Sample(Path(f"parts#{i}"), "nut", "test", i % 2, image=part)
        ...     for i, part in enumerate(parts[:6])
        ... ]
        >>> report = make_report(detector, DataSet("array", Path("parts"), tuple(test)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(report, Path(folder) / "report.html").name
        'report.html'
    """
    if pictures < 0:
        raise ConfigError(f"{pictures} pictures per group were asked for; expected 0 or more.")
    progress = progress or Progress(quiet=True)
    data_set = training_data(data, layout=layout, bit_depth=detector.bit_depth)
    failures: dict[Path, str] = {}
    told: list[str] = []
    evaluator = Evaluator(
        histogram=histogram, calibration=detector.calibration, learned=detector.products
    )
    by_product: dict[str, list[Row]] = {}
    pairs = detector.judge_test_images(
        data_set,
        on_error=lambda path, error: failures.__setitem__(path, str(error)),
        progress=progress,
        on_note=told.append,
    )
    waited, asked = 0.0, time.perf_counter()  # for predictions, not what is done with them
    for sample, prediction in pairs:
        waited += time.perf_counter() - asked
        evaluator.add(sample, prediction)
        by_product.setdefault(sample.product, []).append(make_row(sample, prediction))
        asked = time.perf_counter()
    waited += time.perf_counter() - asked
    evaluation = evaluator.compute(failures.items())
    curves, limits = evaluator.pro_curves(), detector.calibration
    products = tuple(
        ProductReport(
            result=result,
            rows=Group(by_product[result.product]),
            limits=None if limits is None else limits.limits(result.product or None),
            pro=curves.get(result.product),
        )
        for result in evaluation.products
    )
    products, single = _with_pictures(detector, products, pictures, progress)
    judged = sum(len(product.rows) for product in products)
    return Report(
        model=name,
        data_set=data_set,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        evaluation=evaluation,
        products=products,
        timing=Timing(load_seconds, judged, waited, single),
        machine=environment(),
        command=command,
        manifest=manifest,
        calibration=detector.calibration,
        notes=_notes(detector, products, (*data_set.problems, *told), pictures),
        diagnosis=diagnosis,
        setters=shown_setters(
            detector.calibration,
            (s for s in data_set.samples if s.is_good and s.image is None),
            bit_depth=detector.bit_depth,
        ),
    )


def write_report(report: Report, path: str | Path) -> Path:
    """Write a report as one HTML file, whole or not at all; returns the file.

    Raises:
        ConfigError: The folder does not exist or cannot be written to.
    """
    page = render_page(report)
    with atomic_write(path) as file:
        file.write(page)
    return Path(path)


def _with_pictures(
    detector: Inspector, products: tuple[ProductReport, ...], most: int, progress: Progress
) -> tuple[tuple[ProductReport, ...], tuple[float, ...]]:
    """The products with the figures of the images shown, and the seconds each of these took."""
    plan = plan_pictures(len(products), most)
    chosen = [choose_images(product.rows, most=plan.per_group) for product in products]
    times: list[float] = []
    drawn: list[ProductReport] = []
    with progress.task("Drawing", sum(len(choice.all) for choice in chosen)) as task:

        def draw(row: Row, scale: tuple[float, float]) -> Figure | None:
            task.advance()
            try:
                started = time.perf_counter()
                prediction = next(iter(detector.predict(row.sample, batch_size=1)))
                times.append(time.perf_counter() - started)
                return draw_figure(
                    row, prediction, scale=scale, plan=plan, bit_depth=detector.bit_depth
                )
            except ImageError:
                return None  # it was readable a minute ago and has gone since

        for product, choice in zip(products, chosen, strict=True):
            limits = product.limits
            scale = display_scale(product.rows) if limits is None else limits.map_scale
            alarms, misses, hits = (
                tuple(figure for row in rows if (figure := draw(row, scale)) is not None)
                for rows in (choice.alarms, choice.misses, choice.hits)
            )
            drawn.append(replace(product, alarms=alarms, misses=misses, hits=hits))
    return tuple(drawn), tuple(times)


def _notes(
    detector: Inspector,
    products: tuple[ProductReport, ...],
    problems: tuple[str, ...],
    pictures: int,
) -> tuple[str, ...]:
    notes = []
    if detector.calibration is None:
        notes.append(
            "The model is not calibrated: there are scores but no verdicts. Run: blemish "
            "calibrate MODEL GOOD_DIR. The colours of its maps are scaled by the good test images."
        )
    else:
        notes += detector.calibration.notes(product.name for product in products)
    notes += problems
    notes += [
        f"{product.name}: {problem}" for product in products for problem in product.result.problems
    ]
    plan = plan_pictures(len(products), pictures)
    if plan.per_group < pictures:
        notes.append(
            f"{plan.per_group} instead of {pictures} pictures of each group are shown, for one "
            f"file with {len(products)} products to stay small. For more, report on one product's "
            "folder."
        )
    return tuple(notes)


def render_page(report: Report) -> bytes:
    """The report as one UTF-8 HTML file, styles, script, plots and pictures included.

    Its content security policy forbids every request and every script but its own.
    """
    style, script = _resource("report.css"), _resource("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    levels = 0 if report.diagnosis is None else len(report.diagnosis.leakage.copied)
    page = words.template("page.html").render(
        report=report,
        cards=summary_cards(report),
        plots=plots,
        levels=[f"Copied, level {i + 1}" for i in range(levels)],
        colour_bar=colour_bar(),
        version=__version__,
        style=style,
        script=script,
        policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )
    return page.encode("utf-8")


def _resource(name: str) -> Markup:
    file = resources.files("blemish.report").joinpath("templates").joinpath(name)
    return Markup(file.read_text(encoding="utf-8"))
