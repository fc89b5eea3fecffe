"""Verdicts of parts to the line: behind their pictures, though the receiver goes away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spot_model import part, png

from blemish.delivery.message import Message
from receiving import receiver
from waiting import until

Start = Callable[..., Any]


def received(log: Path) -> list[Message]:
    """What came, each message once."""
    lines = log.read_text().splitlines() if log.exists() else []
    messages = [Message.model_validate(json.loads(line)["body"]) for line in lines]
    return list({message.id: message for message in messages}.values())


def said(messages: list[Message]) -> list[tuple[str | None, int | None, str | None]]:
    return [(message.part, message.views, message.verdict) for message in messages]


def test_parts_arrive_behind_their_pictures_though_the_receiver_is_killed(
    tmp_path: Path, start: Start
) -> None:
    log = tmp_path / "log"
    with receiver(log) as (port, first):
        server = start("--send", f"http://127.0.0.1:{port}/", "--spool", tmp_path / "spool")

        def post(number: int, *levels: int, **more: object) -> Any:
            files = [("image", (f"{n}.png", png(part(n)), "image/png")) for n in levels]
            answer = server.client.post(
                "/v1/predict", files=files, params={"part": f"{number}", **more}
            )
            return answer.raise_for_status().json()["part"]

        assert post(1, 105, 106)["verdict"] == "ok"
        until(lambda: len(received(log)) == 3, 40)
        first.kill()
        first.wait()
        # One picture after the other, as from two stations; the second is sent twice.
        assert post(2, 110, views=2) is None
        assert post(3, 180)["views"] == 1
        assert post(2, 180, views=2)["verdict"] == "unsure"
        assert post(2, 180, views=2)["verdict"] == "unsure"
        with receiver(log, port=port):
            until(lambda: len(received(log)) == 7, 40)
            assert server.stop() == 0
    found = received(log)
    assert said(found) == [
        *[("1", None, "ok"), ("1", None, "ok"), ("1", 2, "ok")],
        *[("2", None, "ok"), ("3", 1, "defect"), ("2", None, "defect"), ("2", 2, "unsure")],
    ]
    assert found[-1].p_value == 0.02  # two views, one in a hundred each
    assert (found[-1].path, found[-1].score, found[-1].regions) == (None, None, [])
    assert found[-1].product == "nut"


def test_a_folder_whose_names_say_the_part(tmp_path: Path, start: Start) -> None:
    source, log = tmp_path / "in", tmp_path / "log"
    source.mkdir()

    def arrive(*names: str, level: int = 105) -> None:
        for name in names:
            (tmp_path / name).write_bytes(png(part(level)))
            (tmp_path / name).rename(source / name)

    with receiver(log) as (port, _):
        server = start(
            *("--source", source, "--part-id", "part([0-9]+)", "--views", "2"),
            *("--send", f"http://127.0.0.1:{port}/#of=part", "--spool", tmp_path / "spool"),
        )
        arrive("part1_a.png", "part2_a.png")
        until(lambda: server.client.get("/v1/live").json()["judged"] == 2, 40)
        assert received(log) == []  # neither is complete
        arrive("part2_b.png")
        until(lambda: len(received(log)) == 1, 40)
        arrive("part1_b.png", level=180)
        until(lambda: len(received(log)) == 2, 40)
        arrive("part3_a.png")  # of which there is no more: at the end it is said
        until(lambda: server.client.get("/v1/live").json()["judged"] == 5, 40)
        assert server.client.get("/v1/live").json()["last"][0]["part"] == "3"
        assert server.stop() == 0
    found = received(log)
    assert said(found) == [("2", 2, "ok"), ("1", 2, "unsure"), ("3", 2, "unsure")]
    assert found[-1].notes == ["1 of 2 views were not judged."]


def test_a_call_of_the_line_for_one_view_after_the_other(tmp_path: Path, start: Start) -> None:
    (tmp_path / "steady.py").write_text(
        "import time\nimport numpy as np\n"
        "def pictures():\n"
        "    while True:\n"
        "        time.sleep(0.05)\n"
        "        yield np.full((64, 64, 3), 105, np.uint8)\n"
    )
    out = tmp_path / "out"
    server = start(
        *("--source", "python:steady:pictures", "--trigger", "call", "--views", "2"),
        *("--send", f"folder:{out}#of=part", "--spool", tmp_path / "spool"),
        PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    )
    calls = [server.client.post("/v1/trigger", json={"part": "4711"}) for _ in range(2)]
    answers = [call.raise_for_status().json()["part"] for call in calls]
    assert answers[0] is None
    assert answers[1]["verdict"] == "ok"
    assert server.stop() == 0
    (told,) = [json.loads(file.read_text()) for file in out.rglob("*.json")]
    assert (told["part"], told["views"], told["verdict"]) == ("4711", 2, "ok")
