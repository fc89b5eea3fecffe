"""A tiled model behind HTTP: large pictures at their own resolution, kept and looked at again."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from running_server import RunningServer
from spot_model import png

Start = Callable[..., RunningServer]


def large(spot: int | None = None) -> bytes:
    """700×500, of which a spot of 6 pixels would be half of one at the input's size."""
    image = np.full((700, 500, 3), 60, np.uint8)
    if spot is not None:
        image[401:407, 302:308] = spot
    return png(image)


def judge(server: RunningServer, content: bytes, **query: Any) -> dict[str, Any]:
    answer = server.client.post("/v1/predict", content=content, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["results"][0])


def test_a_spot_of_six_pixels_is_found_and_outlined_to_the_pixel(start: Start) -> None:
    server = start(SPOT_TILES="1")
    found = judge(server, large(200), keep="true", map="grey")
    assert found["score"] == 200
    assert [region["box"] for region in found["regions"]] == [[302, 401, 308, 407]]
    assert judge(server, large())["verdict"] == "ok"
    again = server.client.get(f"/v1/pictures/{found['id']}").json()
    assert [region["box"] for region in again["regions"]] == [[302, 401, 308, 407]]
    heat = server.client.get(f"/v1/pictures/{found['id']}/heat")
    assert Image.open(io.BytesIO(heat.content)).size == (500, 700)
    assert server.stop() == 0


def test_with_a_coarse_look_both_count_here_too(start: Start) -> None:
    server = start(SPOT_TILES="1", SPOT_COARSE="1")
    found = judge(server, large(200), keep="true")
    assert abs(found["score"] - (200 - np.log(2))) < 1e-3  # the whole is as dark as ever
    assert [region["box"] for region in found["regions"]] == [[302, 401, 308, 407]]
    again = server.client.get(f"/v1/pictures/{found['id']}").json()
    assert [region["box"] for region in again["regions"]] == [[302, 401, 308, 407]]
    heat = server.client.get(f"/v1/pictures/{found['id']}/heat")
    assert Image.open(io.BytesIO(heat.content)).size == (500, 700)
    assert server.stop() == 0


def test_many_large_pictures_at_once_are_all_answered(start: Start) -> None:
    server = start("--queue", "8", "--max-images", "2", SPOT_TILES="1")
    found: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: found.append(judge(server, large(200)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one["score"] for one in found] == [200] * 6
    assert server.stop() == 0
