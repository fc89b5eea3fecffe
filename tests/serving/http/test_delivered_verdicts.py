"""``serve --send``: each verdict goes to the target too, under the name its client gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


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


def test_a_server_refuses_to_send_pictures(tmp_path: Path, start: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="sends no pictures along"):
        start("--send", f"folder:{tmp_path / 'out'}#overlay=1")
