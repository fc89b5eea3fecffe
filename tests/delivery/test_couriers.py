"""Couriers: nothing is lost and order is kept, with a real receiver and a real broker."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from blemish.delivery.courier import Couriers
from blemish.delivery.message import Message
from blemish.results import Prediction, Region
from receiving import RECEIVER, receiver
from waiting import until


def found(number: int, verdict: str = "defect") -> Prediction:
    return Prediction(
        Path(f"/line/{number:05d}.png"),
        "nut",
        float(number),
        np.zeros((2, 2), np.float32),
        p_value=0.01,
        verdict=verdict,  # type: ignore[arg-type]
        regions=(Region((0, 0, 1, 1), 1, 2.0),),
    )


def written(log: Path) -> int:
    """So many verdicts; reading them all anew, while waiting, costs more than sending them."""
    return log.read_bytes().count(b"\n") if log.exists() else 0


def received(log: Path) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_webhook_gets_each_verdict_signed_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLEMISH_WEBHOOK_SECRET", "s3cret")
    log, notes = tmp_path / "log", list[str]()
    with receiver(log, 500, 404) as (port, _):
        target = f"http://127.0.0.1:{port}/hook?line=3#verdict=defect"
        with Couriers([target], model="m.blemish", folder=tmp_path, on_note=notes.append) as all_:
            for number in range(5):
                all_.take(found(number))
                all_.take(found(number, "ok"))
    lines = received(log)
    # The first is tried again after 500, then refused for good by 404 and put aside.
    assert [line["body"]["score"] for line in lines] == [1.0, 2.0, 3.0, 4.0]
    assert any("refused for good" in note and "404" in note for note in notes)
    head, body = lines[0]["headers"], lines[0]["raw"]
    signed = hmac.new(b"s3cret", f"{head['X-Blemish-Time']}.{body}".encode(), hashlib.sha256)
    assert head["X-Blemish-Signature"] == f"sha256={signed.hexdigest()}"
    assert head["X-Blemish-Id"] == lines[0]["body"]["id"]
    Message.model_validate(lines[0]["body"])  # as documented
    assert lines[0]["body"]["regions"][0]["box"] == [0, 0, 1, 1]


def test_two_thousand_verdicts_arrive_in_order_though_the_receiver_is_killed_twice(
    tmp_path: Path,
) -> None:
    log, notes = tmp_path / "log", list[str]()
    with receiver(log) as (port, first):
        target = f"http://127.0.0.1:{port}/"
        with Couriers(
            [target], model="m.blemish", folder=tmp_path, on_note=notes.append, patience=60
        ) as all_:
            for number in range(1000):
                all_.take(found(number))
            until(lambda: written(log) > 100)
            first.kill()
            first.wait()
            for number in range(1000, 2000):
                all_.take(found(number))
            with receiver(log, port=port) as (_, second):
                until(lambda: written(log) > 1200)
                second.kill()
                second.wait()
            with receiver(log, port=port):
                until(
                    lambda: written(log) >= 2000 and received(log)[-1]["body"]["score"] == 1999, 60
                )
    scores = [int(line["body"]["score"]) for line in received(log)]
    once = list(dict.fromkeys(scores))
    assert once == list(range(2000))  # none lost, order kept
    assert len(scores) - 2000 <= 2  # sent twice at most where the answer was lost
    assert any("wait on disk" in note for note in notes)
    assert any("is back" in note for note in notes)


def test_what_has_not_arrived_waits_for_the_next_run(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    target, notes = f"http://127.0.0.1:{port}/", list[str]()
    how = {"model": "m.blemish", "folder": tmp_path / "spool", "on_note": notes.append}
    with Couriers([target], patience=0.2, **how) as all_:  # type: ignore[arg-type]
        for number in range(3):
            all_.take(found(number))
    assert any("3 verdict(s)" in note and "next run" in note for note in notes)
    log = tmp_path / "log"
    with receiver(log, port=port), Couriers([target], **how):  # type: ignore[arg-type]
        pass
    assert [line["body"]["score"] for line in received(log)] == [0.0, 1.0, 2.0]


def test_a_process_killed_while_it_sends_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"""
import sys
sys.path[:0] = {[str(RECEIVER.parent), str(RECEIVER.parents[1])]!r}
from pathlib import Path
from test_couriers import found
from blemish.delivery.courier import Couriers
with Couriers([sys.argv[1]], model="m", folder=Path(sys.argv[2]), on_note=print) as all_:
    for number in range(100000):
        all_.take(found(number))
        print(number, flush=True)
"""
    with receiver(log) as (port, _):
        words = [sys.executable, "-c", code, f"http://127.0.0.1:{port}/", tmp_path / "spool"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            taken = 0
            while taken < 150:
                taken = int(process.stdout.readline())
            process.kill()
            taken = max([taken, *map(int, process.stdout.read().split())])
        how = {"model": "m", "folder": tmp_path / "spool", "on_note": print}
        with Couriers([f"http://127.0.0.1:{port}/"], **how):  # type: ignore[arg-type]
            pass
    scores = list(dict.fromkeys(int(line["body"]["score"]) for line in received(log)))
    assert scores[: taken + 1] == list(range(taken + 1))


def test_every_keeps_verdicts_apart_and_counts_those_between(tmp_path: Path) -> None:
    target = f"folder:{tmp_path / 'out'}#every=0.4"
    with Couriers([target], model="m", folder=tmp_path, on_note=print) as all_:
        for number in range(4):
            all_.take(found(number))
        time.sleep(0.45)
        all_.take(found(4))
    files = sorted((tmp_path / "out").rglob("*.json"))
    told = [json.loads(file.read_text()) for file in files]
    assert [(message["score"], message["left_out"]) for message in told] == [(0.0, 0), (4.0, 3)]


def test_the_same_verdict_has_the_same_id_and_another_another(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"1")
    first, again = (Prediction(picture, "nut", 1.0, np.zeros((2, 2), np.float32)) for _ in "ab")
    from blemish.delivery.message import message_of

    known = message_of(first, "m").id
    assert message_of(again, "m").id == known
    picture.write_bytes(b"22")  # another picture under the same name
    assert message_of(again, "m").id != known
    assert message_of(again, "other").id != message_of(again, "m").id


def test_a_csv_file_has_a_line_for_each_and_never_half_of_one(tmp_path: Path) -> None:
    file = tmp_path / "out/verdicts.csv"
    how = {"model": "m.blemish", "folder": tmp_path / "spool", "on_note": print}
    for part in ("1", "2"):  # the second run begins behind a line that a power cut left
        with Couriers([f"csv:{file}"], **how) as all_:  # type: ignore[arg-type]
            all_.take(found(3), part=part)
            all_.tell("nut", "it has changed")
        with file.open("a") as cut:
            cut.write("2026-11-26T08:1")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    whole = [row for row in rows if row["id"]]
    assert len(rows) == len(whole) + 2
    assert [row["part"] for row in whole] == ["1", "", "2", ""]
    assert [row["verdict"] for row in whole] == ["defect", "", "defect", ""]
    assert [row["alarm"] for row in whole][1::2] == ["it has changed"] * 2
    assert whole[0]["score"] == "3.0"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[[], tuple[int, subprocess.Popen[bytes]]]]:
    """Starts mosquitto; called again, the same one once more, with what it had."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("needs the MQTT broker mosquitto, a package of the system")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        f"persistence true\npersistence_location {tmp_path}/\n"
        + ("user root\n" if os.geteuid() == 0 else "")  # or it could not write its own file
    )
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[int, subprocess.Popen[bytes]]:
        words = [program, "-c", settings]
        started.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        return port, started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_two_thousand_verdicts_go_through_a_broker_that_goes_away_and_comes_back(
    tmp_path: Path, broker: Callable[[], tuple[int, subprocess.Popen[bytes]]]
) -> None:
    import paho.mqtt.client as mqtt

    port, process = broker()
    heard, lock, states = list[int](), threading.Lock(), list[str]()

    def on_message(client: object, data: object, message: mqtt.MQTTMessage) -> None:
        with lock:
            if message.topic.endswith("/status"):
                states.append(message.payload.decode())
            else:
                heard.append(int(json.loads(message.payload)["score"]))

    # The broker keeps for this listener what comes while it is away.
    listener = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False
    )
    listener.on_message = on_message
    listener.on_connect = lambda client, *_: client.subscribe([("plant/#", 1)])
    listener.reconnect_delay_set(1, 1)
    listener.connect("127.0.0.1", port)
    listener.loop_start()
    try:
        target = f"mqtt://127.0.0.1:{port}/plant/line3"
        how = {"model": "m", "folder": tmp_path, "on_note": print}
        with Couriers([target], patience=60, **how) as all_:  # type: ignore[arg-type]
            for number in range(1000):
                all_.take(found(number))
            until(lambda: len(heard) == 1000, 60)
            process.terminate()
            process.wait()
            for number in range(1000, 2000):
                all_.take(found(number))
            broker()
            until(lambda: len(set(heard)) == 2000, 60)
        until(lambda: "offline" in states)
    finally:
        listener.loop_stop()
    assert states[0] == "online"
    assert list(dict.fromkeys(heard)) == list(range(2000))  # none lost, order kept
    assert len(heard) < 2100  # at least once: what nobody confirmed in time comes again
