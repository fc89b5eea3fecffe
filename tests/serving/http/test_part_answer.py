"""A part of several views: its p-value, and that a doubtful one never passes."""

from __future__ import annotations

import numpy as np
import pytest
from running_server import RunningServer
from spot_model import part, png, spot_calibration

from blemish.results import Prediction, Verdict
from blemish.serving.http.part_answer import part_answer
from blemish.serving.limits import RefusalError
from blemish.serving.order import Judged, NotJudged

EMPTY = np.zeros((1, 1), np.float32)


def view(p_value: float | None, verdict: Verdict | None) -> Judged:
    found = Prediction(None, None, 0.0, EMPTY, p_value=p_value, verdict=verdict)
    return Judged("a", found, (1, 1), 1, None, None)


@pytest.mark.parametrize(
    ("views", "p_value", "verdict"),
    [
        ([(0.4, "ok"), (0.7, "ok")], 0.8, "ok"),
        ([(0.004, "defect"), (0.7, "ok")], 0.008, "defect"),
        ([(0.01, "defect"), (0.7, "ok")], 0.02, "unsure"),
        ([(0.02, "unsure"), (0.7, "ok")], 0.04, "unsure"),
        ([(0.04, "unsure"), (0.7, "ok")], 0.08, "ok"),
        ([(0.01, "defect")] + 9 * [(0.9, "ok")], 0.1, "unsure"),  # a view of it was stopped
        ([(0.03, "unsure")], 0.03, "unsure"),
        ([(0.9, "ok"), None], 1.0, "unsure"),  # half of it was not seen
        ([(0.9, "ok"), (None, "unsure")], 1.0, "unsure"),  # of a product that nobody knows
    ],
)
def test_the_verdict_of_a_part(
    views: list[tuple[float | None, Verdict] | None], p_value: float, verdict: str
) -> None:
    limits = spot_calibration()
    assert (limits.false_alarm_rate, limits.unsure_rate) == (0.01, 0.05)
    lost = NotJudged("b", RefusalError(422, "damaged_image", "It is damaged."))
    items = [lost if one is None else view(*one) for one in views]
    found = part_answer("7", items, limits)
    assert found is not None
    assert (found.part, found.views, found.verdict) == ("7", len(views), verdict)
    assert found.p_value == pytest.approx(p_value)
    assert part_answer(None, items, limits) is None
    assert part_answer("7", items, None) is None


def test_pictures_of_one_request_are_views_of_the_part_it_names(server: RunningServer) -> None:
    files = [("image", (f"{spot}.png", png(part(spot)), "image/png")) for spot in (105, 180)]
    answer = server.client.post("/v1/predict", files=files, params={"part": "7"}).json()
    assert [one["verdict"] for one in answer["results"]] == ["ok", "defect"]
    assert answer["part"]["views"] == 2
    assert answer["part"]["verdict"] == "unsure"
    assert server.client.post("/v1/predict", files=files).json()["part"] is None
