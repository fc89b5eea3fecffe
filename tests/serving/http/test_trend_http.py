"""The trend of a server: the figures of ``blemish trend``, days, alarms, and what outlives it."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spot_model import part, png, spot_calibration

from blemish.calibration.trend import odds
from blemish.data.images.appearance import Appearance, appearance
from blemish.results import Prediction
from blemish.serving.history.database import Database
from blemish.serving.history.trend_log import Alarm, TrendLog
from blemish.serving.history.versions import CalibrationVersions

Start = Callable[..., Any]


def levels(count: int, *, seed: int = 0) -> list[int]:
    return [int(x) for x in np.random.default_rng(seed).integers(100, 122, count)]


def post(server: Any, pictures: list[np.ndarray], folder: Path, **query: Any) -> list[list[Any]]:
    """Judge pictures one by one; rows as ``predict --csv`` writes them."""
    rows: list[list[Any]] = []
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        path = folder / f"{len(list(folder.iterdir()))}.png"
        path.write_bytes(png(picture))
        answer = server.client.post(
            "/v1/predict", content=path.read_bytes(), params={"name": path.name, **query}
        )
        found = answer.json()["results"][0]
        rows.append([path, found["product"], found["verdict"], found["score"], found["p_value"]])
    return rows


def test_the_page_and_the_command_say_the_same(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start("--send", f"folder:{tmp_path / 'out'}", "--spool", tmp_path / "spool")
    before = [part(level) for level in levels(140)]
    after = [part(level, ground=63) for level in levels(60, seed=1)]  # the lamp is brighter
    rows = post(server, before, tmp_path / "in", keep=True)
    rows += post(server, after, tmp_path / "in", keep=True)
    found = server.client.get("/v1/trend").json()
    (product,) = found["products"]
    changed = product["changed"]
    assert 100 <= changed["rose"]["part"] <= 145
    numbers = {
        side: [int(picture["name"][:-4]) for picture in changed[side]]
        for side in ("before", "after")
    }
    assert len(numbers["before"]) == len(numbers["after"]) == 8
    assert max(numbers["before"]) < changed["rose"]["part"]
    assert min(numbers["after"]) >= product["rang"]["part"] - 1
    assert product["parts"] == 200
    assert product["rang"]["part"] > 140
    assert product["by_measure"]["brightness"] > product["by_measure"]["sharpness"]
    (day,) = found["days"]
    assert (day["product"], day["n"], day["ok"]) == ("nut", 200, 200)
    text = server.client.get("/metrics").text
    assert 'blemish_drift_alarm{product="nut"} 1.0' in text
    assert 'blemish_day_parts{product="nut",verdict="ok"} 200.0' in text
    assert 'blemish_day_false_alarms{product="nut"} 0.0' in text
    look = re.search(r'blemish_day_appearance\{measure="brightness",product="nut"\} (\S+)', text)
    assert look
    assert float(look[1]) == pytest.approx(day["brightness"])
    assert server.stop() == 0
    sent = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("*.json")]
    alarms = [message for message in sent if message["alarm"]]
    assert len(alarms) == 1
    assert "nut has changed, most of all by brightness" in alarms[0]["alarm"]
    assert alarms[0]["verdict"] is None

    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "product", "verdict", "score", "p_value"], *rows])
    program = (
        "import sys\nfrom types import SimpleNamespace\nfrom spot_model import spot_calibration\n"
        "from blemish.model_file import bundle\n"
        "limits = spot_calibration().to_json()\n"
        "bundle.model_manifest = lambda path: SimpleNamespace(calibration=limits)\n"
        "from blemish.cli.app import main\nsys.argv[0] = 'blemish'\nmain()\n"
    )
    monkeypatch.setenv("COLUMNS", "200")
    said = subprocess.run(
        [sys.executable, "-c", program, "trend", "m.blemish", "rows.csv", "--look"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert said.returncode == 1, said.stderr
    assert odds(product["stretches"][-1]["evidence"]) in said.stdout
    assert f"at picture {product['rang']['part']}," in said.stdout
    for measure, value in product["by_measure"].items():
        assert f"{measure} {odds(value)}" in said.stdout


def test_what_is_watched_outlives_the_server_and_begins_anew_with_new_limits(
    tmp_path: Path, start: Start
) -> None:
    server = start()
    post(server, [part(level) for level in levels(110)], tmp_path / "in", keep=True)
    before = server.client.get("/v1/trend").json()
    assert before["products"][0]["watching"]
    assert server.stop() == 0
    server = start()
    after = server.client.get("/v1/trend").json()
    assert after["days"] == before["days"]
    for key in ("parts", "evidence", "by_measure", "first", "line"):
        assert after["products"][0][key] == before["products"][0][key]
    server.client.post("/v1/recalibration", json={"false_alarm_rate": 0.05})
    post(server, [part(101)], tmp_path / "in")
    assert server.client.get("/v1/trend").json()["products"][0]["parts"] == 1
    assert server.stop() == 0


def test_marks_count_as_false_alarms_of_their_day(tmp_path: Path, start: Start) -> None:
    server = start()  # its own: every picture of its history is marked
    rows = post(server, [part(150), part(101), part(171)], tmp_path / "in", keep=True)
    assert [row[2] for row in rows] == ["defect", "ok", "defect"]
    for picture in server.client.get("/v1/history").json()["pictures"]:
        mark = "defect" if picture["score"] == 171 else "good"
        server.client.put(f"/v1/pictures/{picture['id']}/mark", json={"mark": mark})
    (day,) = (d for d in server.client.get("/v1/trend").json()["days"] if d["product"] == "nut")
    assert (day["marked_good"], day["false_alarms"]) == (2, 1)
    assert server.stop() == 0


def test_of_a_fast_line_parts_are_chosen_by_time_alone(tmp_path: Path) -> None:
    now = [0.0]
    alarms: list[Alarm] = []
    database = Database.open(tmp_path, "m")
    versions = CalibrationVersions(database, spot_calibration())
    log = TrendLog(database, versions, alarms.append, clock=lambda: now[0])
    look, empty = appearance(part(101)), np.zeros((1, 1), np.float32)
    for _ in range(2_500):
        now[0] += 0.04
        log.add(Prediction(None, "nut", 101.0, empty, verdict="ok"), look, "a", versions.active)
    (watched,) = log.watched()
    watch, line = watched.watch, watched.line
    assert watch.seen == 2_000 + 2_500 * 0.04 // 15
    assert len(line) <= 600
    assert log.days()[0]["n"] == 2_500
    assert not alarms  # all parts are equal: nothing changes
    database.close()


@pytest.mark.parametrize("carriers", [50, 51])
def test_a_line_that_goes_round_has_not_changed(tmp_path: Path, carriers: int) -> None:
    """Fifty parts of 0.3 seconds are fifteen seconds: the pace at which parts count."""
    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, spot_calibration())
    clock, alarms = [0.0], list[Alarm]()
    log = TrendLog(database, versions, alarms.append, clock=lambda: clock[0])
    rng = np.random.default_rng(0)
    scores, grey = rng.normal(110, 4, carriers), rng.normal(60, 4, carriers)
    empty = np.zeros((0, 0), np.float32)
    for number in range(12_000):  # an hour
        clock[0] = 0.3 * number
        at = number % carriers
        found = Prediction(None, "nut", scores[at] + 0.05 * rng.normal(), empty, verdict="ok")  # type: ignore[arg-type]
        look = Appearance(grey[at] + 0.05 * rng.normal(), 1.0, 0.0)
        log.add(found, look, f"{number}", versions.active)
    assert not alarms
    (watched,) = log.watched()
    assert 2150 < watched.watch.seen < 2300
    log.close()
    database.close()
