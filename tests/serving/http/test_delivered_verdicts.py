"""``serve --send``: each verdict goes to the target too, under the name its client gave."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from spot_model import part, png


def test_served_verdicts_are_delivered(tmp_path: Path, start: Callable[..., Any]) -> None:
    out = tmp_path / "out"
    server = start("--send", f"folder:{out}", "--spool", str(tmp_path / "spool"))
    Image.new("L", (64, 64), 90).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    for name in ("first.png", "second.png"):
        kind = {"Content-Type": "image/png"}
        answer = server.client.post(
            "/v1/predict", params={"name": name}, content=content, headers=kind
        )
        answer.raise_for_status()
    verdict = answer.json()["results"][0]["verdict"]
    assert server.stop() == 0
    messages = [json.loads(file.read_text()) for file in out.rglob("*.json")]
    assert sorted(message["path"] for message in messages) == ["first.png", "second.png"]
    assert {message["verdict"] for message in messages} == {verdict}


def test_a_server_sends_the_overlay_of_what_it_was_given(
    tmp_path: Path, start: Callable[..., Any]
) -> None:
    out = tmp_path / "out"
    server = start("--send", f"folder:{out}#overlay=1&verdict=defect", "--spool", tmp_path / "s")
    (tmp_path / "name.png").write_bytes(png(part(101)))
    for level in (101, 180):  # the name is a file here, and another picture
        name = {"name": str(tmp_path / "name.png")}
        answer = server.client.post("/v1/predict", params=name, content=png(part(level)))
        answer.raise_for_status()
    assert server.stop() == 0
    (file,) = out.rglob("*.jpg")
    with Image.open(file) as picture:
        seen = np.asarray(picture.convert("L"))
    with Image.open(io.BytesIO(png(part(101)))) as other:
        assert seen.max() > np.asarray(other.convert("L")).max() + 40
