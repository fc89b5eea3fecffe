"""The product of a picture, corrected: one entry, judged again by that product's limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from running_server import RunningServer
from spot_model import part, png

Start = Callable[..., RunningServer]


@pytest.fixture
def server(start: Start) -> RunningServer:
    return start(SPOT_PRODUCTS="2")


def judge(server: RunningServer, image: bytes, **query: str) -> dict[str, Any]:
    query = {"keep": "true", "name": "part.png", **query}
    answer = server.client.post("/v1/predict", params=query, content=image)
    return dict(answer.json()["results"][0])


def history(server: RunningServer) -> list[dict[str, Any]]:
    return list(server.client.get("/v1/history").json()["pictures"])


def say(server: RunningServer, key: int, product: str | None) -> dict[str, Any]:
    answer = server.client.put(f"/v1/pictures/{key}/product", json={"product": product})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_corrected_picture_is_one_entry_judged_by_what_was_said(server: RunningServer) -> None:
    image = png(part(150, ground=100))  # looks like a bolt, of which 150 is usual
    first = judge(server, image)
    assert (first["product"], first["recognised"], first["verdict"]) == ("bolt", "bolt", "ok")
    again = say(server, first["id"], "nut")
    assert (again["id"], again["product"], again["recognised"]) == (first["id"], "nut", "bolt")
    assert (again["verdict"], again["verdict_then"], again["named"]) == ("defect", "defect", True)
    assert again["times_limit"] == (150 - 112.25) / (124.5 - 112.25)
    detail = server.client.get(f"/v1/pictures/{first['id']}").json()
    assert (detail["verdict"], detail["p_value"]) == ("defect", 0.01)
    assert len(detail["regions"]) == 1  # by the map limit of nuts
    # The same file without a word: what was said of it holds, and it is still one entry.
    anew = judge(server, image)
    assert (anew["id"], anew["product"], anew["verdict"]) == (first["id"], "nut", "defect")
    # Named as something else in the request: that is the newest word.
    named = judge(server, image, product="bolt")
    assert (named["id"], named["verdict"]) == (first["id"], "ok")
    (kept,) = history(server)
    assert (kept["product"], kept["verdict"], kept["named"]) == ("bolt", "ok", True)
    taken_back = say(server, first["id"], None)
    assert (taken_back["product"], taken_back["named"]) == ("bolt", False)
    refused = server.client.put(f"/v1/pictures/{first['id']}/product", json={"product": "cap"})
    assert (refused.status_code, refused.json()["error"]) == (422, "no_such_product")
    missing = server.client.put("/v1/pictures/99/product", json={"product": "nut"})
    assert missing.status_code == 404
    assert server.stop() == 0


def test_a_picture_that_may_show_either_is_judged_by_the_stricter_until_somebody_says(
    server: RunningServer, start: Start
) -> None:
    image = png(part(150, ground=85))
    first = judge(server, image)
    assert (first["product"], first["rival"], first["verdict"]) == ("bolt", "nut", "defect")
    (kept,) = history(server)
    assert (kept["rival"], kept["verdict"]) == ("nut", "defect")
    said = say(server, first["id"], "bolt")
    assert (said["rival"], said["verdict"]) == (None, "ok")
    back = say(server, first["id"], None)
    assert (back["rival"], back["verdict"]) == ("nut", "defect")
    assert server.client.get(f"/v1/pictures/{first['id']}").json()["verdict"] == "defect"
    say(server, first["id"], "bolt")
    assert server.stop() == 0
    later = start(SPOT_PRODUCTS="2")  # a restart keeps what was said
    (kept,) = history(later)
    assert (kept["product"], kept["named"], kept["verdict"]) == ("bolt", True, "ok")
    row = later.client.get("/v1/history.csv").text.splitlines()[1].split(",")
    assert row[:5] == ["1", "part.png", "bolt", "bolt", ""]
    # What calibrates is of the product that was said.
    later.client.put(f"/v1/pictures/{kept['id']}/mark", json={"mark": "good"})
    after = later.client.get("/v1/recalibration", params={"how": "join"}).json()["after"]
    assert {limits["product"]: limits["n"] for limits in after} == {
        "bolt": 100, "nut": 99, None: 199,
    }  # fmt: skip
    assert later.stop() == 0
