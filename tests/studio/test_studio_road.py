"""The whole road over HTTP: drop, mark, train, inspect, exclude, undo, compare, write back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from running_server import RunningServer
from studio_steps import TINY, give, picture, wait_for

from blemish.calibration import Calibration
from blemish.model_file.bundle import model_manifest


def test_from_pictures_to_limits(
    start_studio: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = start_studio()
    client = server.client
    for k in range(12):
        taken = give(client, f"drop/nut/train/good/{k:02}.png", picture(k)).json()
        assert taken["path"] == f"nut/good/{k:02}.png"
    again = give(client, "other.png", picture(3), product="nut").json()
    assert again["equal_to"] == "nut/good/03.png"
    odd = give(client, "odd.png", picture(50, spot=True), product="nut").json()
    assert odd["role"] == "unsorted"
    marked = client.put("/v1/studio/marks", json={"paths": [odd["path"]], "mark": "defect"}).json()
    assert marked["paths"] == ["nut/defect/odd.png"]
    assert (tmp_path / "line/pictures/nut/defect/odd.png").read_bytes() == picture(50, spot=True)
    small = client.get("/v1/studio/thumbnail", params={"path": "nut/good/00.png"})
    assert small.content[:2] == b"\xff\xd8"
    leave = {"paths": ["nut/good/11.png"], "mark": "leave_out"}
    assert client.put("/v1/studio/marks", json=leave).status_code == 200

    for name in ("first", "second"):
        order = {**TINY, "name": name, "seed": 1 if name == "second" else 0}
        job = client.post("/v1/studio/train", json=order).json()
        ended = wait_for(client, job["id"])
        assert ended["state"] == "done", ended["log"]
        assert "--leave-out nut/11.png" in ended["command"]
    [_, first] = client.get("/v1/studio/models").json()
    assert (first["name"], first["n"], first["products"]) == ("first", 2, ["nut"])

    seen = client.get("/inspect/first/v1/model").json()
    assert seen["products"] == ["nut"]
    headers = {"Content-Type": "image/png"}
    sent = {"content": picture(51, spot=True), "headers": headers}
    answer = client.post("/inspect/first/v1/predict?keep=true&name=odd.png", **sent).json()
    assert answer["results"][0]["verdict"] == "defect"
    page = client.get("/inspect/first/").text
    assert "inspect.js" in page
    history = client.get("/inspect/first/v1/history").json()
    [setters] = history["judged_by"]["setters"]
    out = {"leave_out": [setters["images"][0]["image"]], "expected": 1}
    after = client.post("/inspect/first/v1/recalibration", json=out).json()
    assert (after["version"], after["n"]) == (2, 1)
    stale = client.post("/inspect/first/v1/recalibration", json=out)
    assert stale.status_code == 409
    undone = client.post("/inspect/first/v1/calibrations/activate", json={}).json()
    assert undone["version"] == 1
    client.post("/inspect/first/v1/calibrations/activate", json={"version": 2})
    stale = client.post("/inspect/first/v1/calibrations/write?expected=1").json()
    assert stale["error"] == "changed_meanwhile"
    written = client.post("/inspect/first/v1/calibrations/write?expected=2").json()
    assert written["version"] == 2
    written_limits = model_manifest(tmp_path / "line/models/first.blemish").calibration
    assert written_limits is not None
    assert Calibration.from_json(written_limits).n == 1
    actions = [entry["action"] for entry in client.get("/v1/studio/audit").json()]
    assert actions[:4] == ["limits written into the model", *["limits changed"] * 3]

    asked = client.get("/v1/studio/compare", params={"model": ["first", "second"]}).json()
    assert asked == {"missing": ["first", "second"]}
    for name in ("first", "second"):
        job = client.post(f"/v1/studio/models/{name}/judge").json()
        assert wait_for(client, job["id"])["state"] == "done"
    compared = client.get("/v1/studio/compare", params={"model": ["first", "second"]}).json()
    assert compared["pictures"] == 13
    assert compared["models"]["first"]["found"]["of"] == 1
    assert sum(compared["models"]["first"]["learned"].values()) == 11
    assert compared["milliseconds"]["first"] > 0

    at = {"false_alarm_rate": 0.2, "expected": 2}
    assert client.post("/inspect/first/v1/recalibration", json=at).json()["version"] == 3
    assert server.stop() == 0
    client = start_studio().client  # what is in the file by now changes no limits in force
    assert client.get("/inspect/first/v1/model").json()["calibration"]["version"] == 3


def test_what_is_taught_is_good_and_two_that_are_taught_at_once_are_two_models(
    start_studio: Callable[..., RunningServer], learned: Callable[[str], None]
) -> None:
    client = start_studio().client
    for k in range(12):
        give(client, f"nut/good/{k:02}.png", picture(k))
    learned("first")
    for k in range(50, 54):
        give(client, f"nut/good/{k}.png", picture(k))
    give(client, "nut/test/spots/1.png", picture(100, spot=True))
    at = "/v1/studio/models/first/teach"
    refused = client.post(at, json={"paths": ["nut/defect/spots/1.png"]})
    assert (refused.status_code, refused.json()["error"]) == (422, "not_good")
    client.put("/v1/studio/marks", json={"paths": ["nut/good/50.png"], "mark": "leave_out"})
    assert client.post(at, json={"paths": ["nut/good/50.png"]}).json()["error"] == "not_good"
    jobs = [
        client.post(at, json={"paths": [f"nut/good/{k}.png"], "write": True}).json()
        for k in (51, 52)
    ]
    assert [job["facts"]["makes"] for job in jobs] == [
        *("models/first-2.blemish", "models/first-3.blemish")
    ]
    for job in jobs:
        ended = wait_for(client, job["id"])
        assert ended["state"] == "done", ended["log"]
    models = {model["name"]: model for model in client.get("/v1/studio/models").json()}
    assert models["first-3"]["taught"] == [{"product": "nut", "images": 1}]
