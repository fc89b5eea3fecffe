"""A prediction of a method with branches, as a sink gets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blemish.results import Branch, Explanation, Prediction, Region, Verdict


def prediction(
    name: str = "a/1.png", verdict: Verdict | None = "defect", **change: object
) -> Prediction:
    fields: dict = {
        "path": Path(name),
        "product": "nut",
        "score": 0.1 + 0.2,
        "anomaly_map": np.zeros((4, 4), np.float32),
        "p_value": 0.01,
        "verdict": verdict,
        "times_limit": 1.25,
        "branches": {
            "structural": Branch(0.5, 0.5, "ok", 0.25),
            "logical": Branch(99.5, 0.01, "defect", 3.5),
        },
        "explanation": Explanation("logical", (2, 0, 4, 2), "Look there."),
        "regions": (Region((1, 2, 3, 4), 4, 1.5, 2.5), Region((0, 0, 1, 1), 1, 0.5)),
    }
    return Prediction(**{**fields, **change})
