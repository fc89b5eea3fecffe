"""Messages: all that a verdict can hold reaches the receiver."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from blemish.delivery.message import message_of
from blemish.results import Branch, Explanation, Note, PartPose, Prediction, Region

_MAP = np.eye(4, dtype=np.float32)

WHOLE = Prediction(
    path=None,
    product="nut",
    score=3.5,
    anomaly_map=_MAP,
    p_value=0.02,
    verdict="defect",
    branches={"structural": Branch(3.5, 0.02, "defect", 1.4)},
    mask=_MAP > 0,
    regions=(Region((0, 0, 4, 4), 4, 1.0, 1.4),),
    calibration="c1",
    recognised="bolt",
    times_limit=1.4,
    rival="washer",
    explanation=Explanation("logical", (0, 0, 4, 4), "a part is missing"),
    notes=(Note("size", "It is far smaller."),),
    image=np.zeros((4, 4, 3), np.uint8),
    bit_depth=12,
    map_scale=(0.0, 1.0),
    roi=np.ones((4, 4), bool),
    pose=PartPose(angle=2.0, quality=0.9, limit=0.8, box=(1, 1, 2, 2)),
)


def test_a_verdict_with_all_that_it_can_hold_is_a_message() -> None:
    unset = [f.name for f in fields(WHOLE) if f.name != "path" and getattr(WHOLE, f.name) is None]
    assert not unset  # a field that is new is set above, and so tried here
    sent = message_of(WHOLE, "m.blemish").model_dump(mode="json", exclude_unset=True)
    told = {"id", "time", "model", "part", "views", "taken"}
    assert sent.keys() - told == WHOLE.to_dict().keys()
    assert sent["pose"] == WHOLE.to_dict()["pose"]
    assert sent["explanation"]["box"] == [0, 0, 4, 4]
