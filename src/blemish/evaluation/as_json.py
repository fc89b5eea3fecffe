"""Figures as JSON: an evaluation for programs, with ``null`` where a figure cannot be given."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from blemish.evaluation.evaluator import Evaluation, Metrics, ProductResult


def evaluation_json(evaluation: Evaluation) -> str:
    """All figures of an evaluation as indented JSON; JSON knows no NaN, so it says ``null``."""
    content = {
        "products": {result.product: _product(result) for result in evaluation.products},
        "mean": evaluation.mean,
        "products_behind_mean": evaluation.covered,
        "mean_ad": evaluation.mean_ad,
        "mean_power": [power.figures() for power in evaluation.power],
        "failures": [{"path": str(path), "error": reason} for path, reason in evaluation.failures],
    }
    if evaluation.unlearned:
        content["products_not_learned"] = list(evaluation.unlearned)
    if evaluation.mean_ad_ader is not None:
        content["mean_ad_ader"] = evaluation.mean_ad_ader
    if evaluation.error_bounds:
        content["error_bounds_of_mean"] = evaluation.error_bounds
    return json.dumps(json_ready(content), indent=1, allow_nan=False)


def _product(result: ProductResult) -> dict[str, Any]:
    def named(prefix: str) -> Metrics:
        return {name: value for name, value in result.metrics.items() if name.startswith(prefix)}

    content = {
        "good": result.good,
        "defective": result.defective,
        "with_mask": result.masked,
        "image_level": named("image_"),
        "pixel_level": named("pixel_"),
        "sample_level": named("sample_"),
        "au_spro": named("au_spro_"),
        "operating_point": None if result.operating is None else result.operating.figures(),
        "power": [power.figures() for power in result.power],
        "kinds": {name: asdict(kind) for name, kind in result.kinds.items()},
        "problems": list(result.problems),
    }
    return content | ({"error_bounds": result.error_bounds} if result.error_bounds else {})


def json_ready(value: Any) -> Any:
    """The value for JSON, with ``null`` where a figure cannot be given."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
