"""A part of several views over HTTP: of one request, or of one station after the other."""

from __future__ import annotations

from running_server import RunningServer
from spot_model import part, png


def test_pictures_of_one_request_are_views_of_the_part_it_names(server: RunningServer) -> None:
    files = [("image", (f"{spot}.png", png(part(spot)), "image/png")) for spot in (105, 180)]
    answer = server.client.post("/v1/predict", files=files, params={"part": "7"}).json()
    assert [one["verdict"] for one in answer["results"]] == ["ok", "defect"]
    assert answer["part"]["views"] == 2
    assert answer["part"]["verdict"] == "unsure"
    assert server.client.post("/v1/predict", files=files).json()["part"] is None


def test_the_name_of_a_part_is_one_line_of_plain_text(server: RunningServer) -> None:
    files = [("image", ("a.png", png(part(105)), "image/png"))]
    answer = server.client.post("/v1/predict", files=files, params={"part": "../7\n\0"}).json()
    assert answer["part"]["part"] == "7" + 2 * "\N{REPLACEMENT CHARACTER}"
