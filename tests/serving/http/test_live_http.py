"""``serve --source``: a camera's pictures judged, kept by a rule, sent on, and called for."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scripted_camera import write_video
from spot_model import part, png

from blemish.errors import ConfigError
from blemish.results import Prediction
from blemish.serving.live import KeepRule
from waiting import until

Start = Callable[..., Any]


def clip(path: Path, levels: list[int], *, rate: int = 10) -> Path:
    write_video(path, [part(level) for level in levels], rate=rate)
    return path


def folder_of(path: Path, levels: list[int]) -> Path:
    path.mkdir()
    for number, level in enumerate(levels):
        (path / f"{number}.png").write_bytes(png(part(level)))
    return path


def test_a_folder_is_judged_kept_by_the_rule_and_sent(tmp_path: Path, start: Start) -> None:
    source, out = folder_of(tmp_path / "in", [101, 180, 104, 190]), tmp_path / "out"
    server = start("--source", source, "--send", f"folder:{out}", "--spool", tmp_path / "spool")
    state = until(lambda: (s := server.client.get("/v1/live").json())["judged"] == 4 and s)
    assert state["counts"] == {"ok": 2, "unsure": 0, "defect": 2, "none": 0}
    assert (state["seen"], state["dropped"], state["state"]) == (4, 0, "running")
    assert [shown["verdict"] for shown in state["last"]] == ["defect", "ok", "defect", "ok"]
    kept = server.client.get("/v1/history").json()["pictures"]
    assert {p["name"]: p["score"] for p in kept} == {"1.png": 180, "3.png": 190}
    for name in ("picture", "heat"):
        answer = server.client.get(f"/v1/live/{state['last'][0]['number']}/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("image/")
    assert server.client.get("/v1/live/99/picture").status_code == 404
    assert server.client.post("/v1/live/zero").json()["counts"]["ok"] == 0
    (source / "5.png").write_bytes(png(part(108)))
    until(lambda: server.client.get("/v1/live").json()["counts"]["ok"] == 1)
    text = server.client.get("/metrics").text
    assert "blemish_camera_frames_total 5.0" in text
    assert "blemish_camera_up 1.0" in text
    assert server.stop() == 0
    messages = [json.loads(file.read_text()) for file in out.rglob("*.json")]
    assert sorted(m["path"] for m in messages) == [f"{n}.png" for n in (0, 1, 2, 3, 5)]
    assert all(m["taken"] <= m["time"] for m in messages)


def test_a_kept_picture_of_a_camera_is_judged_again_as_it_was(tmp_path: Path, start: Start) -> None:
    server = start("--source", clip(tmp_path / "c.mp4", [180] * 3), "--keep-live", "all")
    until(lambda: server.client.get("/v1/live").json()["state"] == "ended")
    first = until(lambda: server.client.get("/v1/history").json()["pictures"])[0]
    assert first["name"].startswith("c.mp4/20")
    source = server.client.get(f"/v1/pictures/{first['id']}/source").content
    again = server.client.post(
        "/v1/predict", content=source, headers={"Content-Type": "image/png"}
    ).json()["results"][0]
    assert again["score"] == first["score"]
    assert server.stop() == 0
    assert "c.mp4 has ended" in server.log.read_text()


def test_a_line_calls_for_a_verdict(tmp_path: Path, start: Start) -> None:
    (tmp_path / "steady.py").write_text(
        "import time\nimport numpy as np\n"
        "def pictures():\n"
        "    while True:\n"
        "        time.sleep(0.05)\n"
        "        yield np.full((64, 64, 3), 180, np.uint8)\n"
    )
    source = ("--source", "python:steady:pictures", "--trigger", "call")
    out = tmp_path / "out"
    server = start(
        *(*source, "--send", f"folder:{out}", "--spool", tmp_path / "spool"),
        PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    )
    answer = server.client.post("/v1/trigger", json={"part": "4711"})
    assert answer.status_code == 200
    (found,) = answer.json()["results"]
    assert (found["verdict"], found["score"]) == ("defect", 180)
    assert found["name"].endswith("-4711")
    alone = {"part": "4711", "views": 1, "p_value": 0.01, "verdict": "defect"}
    assert answer.json()["part"] == alone
    answer = server.client.post("/v1/trigger", json={"part": "4712", "views": 3}).json()
    assert len(answer["results"]) == 3
    # One in a hundred is the least a p-value can be here; three views are three chances.
    assert answer["part"]["p_value"] == pytest.approx(0.03)
    assert answer["part"]["verdict"] == "unsure"
    assert server.client.post("/v1/trigger", json={"views": 0}).status_code == 422
    wrong = server.client.post("/v1/trigger", json={"product": "bolt"})
    assert (wrong.status_code, wrong.json()["error"]) == (422, "no_such_product")
    # Whoever called has the answer before the counts have it; frames come on by themselves.
    until(lambda: (s := server.client.get("/v1/live").json())["judged"] == 4 and s["seen"] > 4)
    assert server.stop() == 0
    told = [json.loads(file.read_text()) for file in sorted(out.rglob("*.json"))]
    assert [(message["part"], message["views"]) for message in told] == [
        *[("4711", 1), ("4712", None), ("4712", None), ("4712", None), ("4712", 3)]
    ]


def test_without_a_camera_it_is_said(server: Any) -> None:
    answer = server.client.post("/v1/trigger", json={})
    assert (answer.status_code, answer.json()["error"]) == (409, "no_camera")
    assert "--source" in answer.json()["detail"]


def test_wrong_options_are_told_before_anything_is_served(tmp_path: Path, start: Start) -> None:
    for words, said in (
        (("--source", tmp_path / "none"), "no file or folder is there"),
        (("--source", tmp_path, "--trigger", "motion"), "expected all, every:SECONDS"),
        (("--source", tmp_path, "--keep-live", "some"), "expected all, none, not-ok"),
        (("--source", tmp_path, "--product", "bolt"), "This model knows nut"),
        (("--source", tmp_path, "--part-id", "("), "no regular expression"),
    ):
        with pytest.raises(AssertionError, match=said):
            start(*words)


def test_what_is_kept() -> None:
    def kept(text: str) -> list[int]:
        rule, empty = KeepRule.parse(text), np.zeros((1, 1), np.float32)
        verdicts = ["ok", "unsure", "ok", "defect", "ok", "ok"]
        found = [Prediction(None, None, 0.0, empty, verdict=v) for v in verdicts]  # type: ignore[arg-type]
        return [n for n, prediction in enumerate(found, 1) if rule.wants(prediction, n)]

    assert kept("all") == [1, 2, 3, 4, 5, 6]
    assert kept("none") == []
    assert kept("not-ok") == [2, 4]
    assert kept("1/3") == [3, 6]
    assert kept("not-ok,1/3") == [2, 3, 4, 6]
    with pytest.raises(ConfigError, match="expected all"):
        KeepRule.parse("1/0")


def events(server: Any, found: list[tuple[str, dict[str, Any]]]) -> threading.Thread:
    """Collect events in the background; returns once the server listens."""
    ready = threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{server.url}/v1/events", timeout=60) as answer:
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    found.append((kind, json.loads(line[6:])))
                    ready.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(20)
    return thread


def test_what_changes_reaches_all_who_listen_and_stops_with_the_server(start: Start) -> None:
    server = start()
    found: list[tuple[str, dict[str, Any]]] = []
    thread = events(server, found)
    assert found == [("hello", {"version": 1, "live": False})]
    client = server.client
    client.post("/v1/predict", params={"keep": True, "name": "a.png"}, content=png(part(150)))
    client.put("/v1/pictures/1/mark", json={"mark": "good"})
    answer = client.post("/v1/recalibration", json={"how": "join", "expected": 1})
    assert answer.json()["version"] == 2
    stale = client.post("/v1/recalibration", json={"how": "join", "expected": 1})
    assert (stale.status_code, stale.json()["error"]) == (409, "changed_meanwhile")
    client.post("/v1/calibrations/activate", json={})
    client.post("/v1/history/remove", json={"ids": [1]})
    until(lambda: len(found) == 6)
    assert [kind for kind, _ in found[1:]] == ["picture", "mark", "limits", "limits", "removed"]
    assert found[1][1] == {"id": 1, "name": "a.png", "verdict": "defect"}
    assert found[2][1] == {"id": 1, "mark": "good"}
    assert [content["version"] for kind, content in found if kind == "limits"] == [2, 1]
    started = time.monotonic()
    assert server.stop() == 0
    thread.join(5)
    assert time.monotonic() - started < 10  # an open page does not hold the server up


def test_verdicts_of_a_camera_are_events(tmp_path: Path, start: Start) -> None:
    source = folder_of(tmp_path / "in", [])
    server = start("--source", source)
    found: list[tuple[str, dict[str, Any]]] = []
    events(server, found)
    (source / "a.png").write_bytes(png(part(180)))
    until(lambda: len(found) == 3)
    kinds = dict(found)
    assert kinds["live"]["verdict"] == "defect"
    assert kinds["live"]["id"] == kinds["picture"]["id"] == 1
    assert server.stop() == 0
