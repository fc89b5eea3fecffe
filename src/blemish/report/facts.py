"""What was measured, with what, where: the facts at the end of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blemish.calibration.limits import Calibration
from blemish.data.sample import DataSet
from blemish.model_file.bundle import Manifest
from blemish.report import words


def model_facts(manifest: Manifest) -> dict[str, str]:
    """What a model file says of itself, in words.

    Args:
        manifest: Of the model; the counts of its training may be missing.
    """
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
    """What was measured on.

    Args:
        data_set: All of it.
        judged: Number of labelled test images that could be read.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.sample import DataSet
        >>> from blemish.report.facts import data_facts
        >>> data_facts(DataSet("folder", Path("parts"), ()), judged=0)["Layout"]
        'folder'
    """
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
    """When, how and on which machine the report was made.

    Args:
        command: The command line, empty where there was none.
    """
    from blemish.benchmark.environment import environment

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
