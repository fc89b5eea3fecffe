"""Pieces of kept pictures behind HTTP: what is seen of a large one, and nothing more."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from running_server import RunningServer
from spot_model import png

from blemish.serving.viewport import Box, Viewport

Start = Callable[..., RunningServer]


def slope(height: int, width: int) -> np.ndarray:
    """Each place has a colour of its own, red by column, green by row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    return picture


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)), np.float32)


def test_a_piece_is_what_lies_there_at_the_size_asked_for(start: Start) -> None:
    server = start()
    picture = slope(600, 900)
    answer = server.client.post("/v1/predict?keep=true", content=png(picture)).json()
    address = f"/v1/pictures/{answer['results'][0]['id']}/piece"
    box = {"left": 500, "top": 300, "width": 200, "height": 100}
    found = server.client.get(address, params=box)
    assert found.headers["content-type"] == "image/jpeg"
    there = opened(found.content)
    assert there.shape == (100, 200, 3)
    assert np.abs(there - picture[300:400, 500:700]).max() < 6
    half = opened(server.client.get(address, params={**box, "longest": 100}).content)
    assert half.shape == (50, 100, 3)
    assert np.abs(half - picture[300:400:2, 500:700:2]).max() < 8
    for wrong in ({"left": 701}, {"top": -1}, {"width": 0}, {"height": 301}, {"longest": 5000}):
        assert server.client.get(address, params={**box, **wrong}).status_code == 422
    beyond = server.client.get(address, params={**box, "left": 701}).json()
    assert beyond["error"] == "no_such_piece"
    assert "has 900×600" in beyond["detail"]
    assert server.client.get("/v1/pictures/99/piece", params=box).status_code == 404
    assert server.stop() == 0


def test_of_large_pictures_one_is_decoded_and_once() -> None:
    decoded: list[int] = []
    viewport = Viewport()

    def look(key: int, box: Box, longest: int = 64) -> np.ndarray:
        def decode() -> np.ndarray:
            decoded.append(key)
            return np.full((200, 100, 3), 10 * key, np.uint8)

        return opened(viewport.piece(key, decode, box, longest=longest))

    for box in (Box(0, 0, 100, 200), Box(50, 50, 10, 10), Box(99, 199, 1, 1)):
        assert look(1, box).mean() == pytest.approx(10, abs=1)
    assert decoded == [1]
    assert look(2, Box(0, 0, 100, 200)).shape == (64, 32, 3)
    assert look(1, Box(0, 0, 8, 8)).mean() == pytest.approx(10, abs=1)
    assert decoded == [1, 2, 1]
