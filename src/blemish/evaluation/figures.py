"""Evaluation as JSON, with ``null`` where a figure cannot be given."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from blemish.evaluation.evaluator import Evaluation, ProductResult


def evaluation_json(evaluation: Evaluation) -> str:
    """All figures of an evaluation as indented JSON; JSON knows no NaN, so it says ``null``."""
    content = {
        "products": {result.product: _product(result) for result in evaluation.products},
        "mean": evaluation.mean,
        "products_behind_mean": evaluation.covered,
        "mean_ad": evaluation.mean_ad,
        "failures": [{"path": str(path), "error": reason} for path, reason in evaluation.failures],
    }
    return json.dumps(json_ready(content), indent=1, allow_nan=False)


def _product(result: ProductResult) -> dict[str, Any]:
    operating = None
    if result.operating is not None:
        o = result.operating
        operating = {
            **asdict(o),
            "accuracy": o.accuracy,
            "precision": o.precision,
            "recall": o.recall,
            "f1": o.f1,
        }
    return {
        "good": result.good,
        "defective": result.defective,
        "with_mask": result.masked,
        "image_level": _named(result, "image_"),
        "pixel_level": _named(result, "pixel_"),
        "sample_level": _named(result, "sample_"),
        "au_spro": _named(result, "au_spro_"),
        "operating_point": operating,
        "kinds": {name: asdict(kind) for name, kind in result.kinds.items()},
        "problems": list(result.problems),
    }


def _named(result: ProductResult, prefix: str) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if name.startswith(prefix)}


def json_ready(value: Any) -> Any:
    """The value for JSON, with ``null`` where a figure cannot be given.

    Example:
        >>> from blemish.evaluation.figures import json_ready
        >>> json_ready({"image_auroc": (0.5, float("nan"))})
        {'image_auroc': [0.5, None]}
    """
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
