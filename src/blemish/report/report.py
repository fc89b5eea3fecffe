"""HTML report: one file that tells within a minute what a model finds and what it misses.

The test images are judged in one pass that feeds the metrics and the report's rows. No map is
kept: the few images that are shown are judged once more, one by one, which also tells how long a
single image takes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish._files import atomic_write
from blemish._progress import Progress
from blemish.benchmark.environment import environment
from blemish.calibration import Calibration
from blemish.data.sources import training_data
from blemish.errors import ConfigError, ImageError
from blemish.evaluation.evaluator import Evaluator
from blemish.report import words
from blemish.report.data import Figure, Group, ProductReport, Report, Row, Timing, make_row
from blemish.report.page import render_page
from blemish.report.pictures import choose_images, display_scale, draw_figure, plan_pictures

if TYPE_CHECKING:
    from blemish.data.sample import DataSet
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
        >>> detector = Detector(settings={"steps": 2, "batch_size": 4})
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
    evaluator = Evaluator(histogram=histogram)
    by_product: dict[str, list[Row]] = {}
    pairs = detector.judge_test_images(
        data_set,
        on_error=lambda path, error: failures.__setitem__(path, str(error)),
        progress=progress,
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
    facts = {
        "Model": {"Name": name} | ({} if manifest is None else model_facts(manifest)),
        "Data": data_facts(data_set, judged=judged),
        "This report": run_facts(command),
    }
    return Report(
        model=name,
        data=data_set.root.resolve().name or "the data set",
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        evaluation=evaluation,
        products=products,
        timing=Timing(load_seconds, judged, waited, single),
        facts=facts,
        notes=_notes(detector, products, data_set.problems, pictures),
        diagnosis=diagnosis,
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


def model_facts(manifest: Manifest) -> dict[str, str]:
    """What a model file says of itself, in words; the counts of its training may be missing."""
    settings = ", ".join(f"{name} {value}" for name, value in manifest.config.items())
    teacher = manifest.teacher.name
    if not manifest.teacher.pretrained:
        teacher += " with random weights: it finds no defects"
    size, training = manifest.preprocessing, manifest.training
    facts = {
        "Method": f"{manifest.method} ({settings})" if settings else manifest.method,
        "Teacher": teacher,
        "Input": f"{size['height']} × {size['width']} pixels (height × width)",
        "Products": ", ".join(manifest.products) or "none named",
        "Trained on": _trained(training),
        "Calibrated": _calibrated(manifest.calibration),
        "Written": manifest.created,
        "Written with": _versions(manifest.versions),
    }
    if manifest.digest:
        facts["SHA-256 of its manifest"] = manifest.digest
    return facts


def data_facts(data_set: DataSet, *, judged: int) -> dict[str, str]:
    """What was measured on; ``judged`` labelled test images of it could be read."""
    test = data_set.split("test")
    unlabelled = sum(1 for sample in test.samples if sample.label is None)
    facts = {
        "Data set": data_set.root.resolve().name or str(data_set.root),
        "Layout": data_set.layout,
        "Products": ", ".join(test.products) or "none",
        "Test images judged": str(judged),
        "With ground truth": str(sum(1 for sample in test.samples if sample.mask_paths)),
    }
    if unlabelled:
        facts["Left out for want of a label"] = str(unlabelled)
    return facts


def run_facts(command: str) -> dict[str, str]:
    """When, by which command line (empty for none) and on which machine the report was made."""
    found = environment()
    memory = "" if found["memory_gib"] is None else f", {found['memory_gib']} GiB"
    facts = {"Date": found["date_utc"]}
    if command:
        facts["Command"] = command
    facts["Machine"] = f"{found['cpu_model']}, {words.count(found['cores'], 'core')}{memory}"
    facts["System"] = f"{found['platform']}, Python {found['python']}"
    facts["Packages"] = _versions(found["packages"])
    return facts


def _trained(training: Mapping[str, Any]) -> str:
    if "training_images" not in training:
        return "not recorded"
    said = words.count(int(training["training_images"]), "good image")
    if "seed" in training:
        said += f", seed {training['seed']}"
    if "seconds" in training:
        said += f", {words.seconds(float(training['seconds']))}"
    return said


def _calibrated(content: dict[str, Any] | None) -> str:
    if content is None:
        return "no: scores without verdicts"
    calibration = Calibration.from_json(content)
    return (
        f"on {words.count(calibration.n, 'good image')}, false-alarm rate "
        f"{words.percent(calibration.false_alarm_rate)}, unsure rate "
        f"{words.percent(calibration.unsure_rate)}"
    )


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
