"""A studio that is killed or loses a process: nothing is lost, and what works is found again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_server import RunningServer
from studio_steps import TINY, give, picture, wait_for

from forked import PLACE

Start = Callable[..., RunningServer]
#: Trained step by step, and long enough to be interrupted.
SLOW = {**TINY, "recipe": "logical", "name": "slow", "steps": 4000}


def begun(client: Any, key: int, *, steps: int) -> dict[str, Any]:
    """A training, once it has gone so many steps."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(f"/v1/studio/jobs/{key}").json()
        assert job["state"] in ("waiting", "running"), job["log"]
        if job["losses"] and job["losses"][-1][0] >= steps:
            return job
        time.sleep(0.2)
    raise AssertionError(job)


def pid_of(folder: Path, key: int) -> int:
    return int(json.loads((folder / f"line/jobs/{key}/process.json").read_text())["pid"])


def fill(client: Any, count: int = 8) -> None:
    for k in range(count):
        assert give(client, f"nut/good/{k}.png", picture(k)).status_code == 200


def test_a_training_outlives_its_studio_and_goes_on_from_its_checkpoint(
    start_studio: Start, tmp_path: Path
) -> None:
    first = start_studio()
    fill(first.client)
    key = first.client.post("/v1/studio/train", json=SLOW).json()["id"]
    queued = first.client.post("/v1/studio/train", json={**TINY, "name": "next"}).json()["id"]
    before = begun(first.client, key, steps=10)["losses"][-1][0]
    pid = pid_of(tmp_path, key)
    first.kill()

    second = start_studio()
    later = begun(second.client, key, steps=before + 10)
    assert later["state"] == "running"
    assert pid_of(tmp_path, key) == pid
    assert second.client.get(f"/v1/studio/jobs/{queued}").json()["state"] == "waiting"
    for _ in range(4):  # an impatient hand: once or often is the same
        assert second.client.post(f"/v1/studio/jobs/{key}/cancel").status_code in (200, 409)
    stopped = wait_for(second.client, key)
    assert (stopped["state"], stopped["can_go_on"]) == ("cancelled", True), stopped["log"]
    assert "is complete" in stopped["log"]  # its last word: the checkpoint
    assert wait_for(second.client, queued)["state"] == "done"
    again = second.client.post(f"/v1/studio/jobs/{key}/again").json()
    assert "--resume" in again["command"]
    resumed = begun(second.client, again["id"], steps=1)
    assert resumed["losses"][0][0] > later["losses"][-1][0] - 45
    second.client.post(f"/v1/studio/jobs/{again['id']}/cancel", params={"at_once": "true"})
    ended = wait_for(second.client, again["id"])
    assert ended["state"] == "cancelled"
    assert "is complete" not in ended["log"]


def test_a_training_that_is_killed_leaves_the_page_alive_and_says_what_happened(
    start_studio: Start, tmp_path: Path
) -> None:
    client = start_studio().client
    fill(client)
    key = client.post("/v1/studio/train", json=SLOW).json()["id"]
    begun(client, key, steps=5)
    os.kill(pid_of(tmp_path, key), signal.SIGKILL)
    job = wait_for(client, key)
    assert job["state"] == "failed"
    assert "memory runs out" in job["message"]
    assert client.get("/v1/studio/pictures").json()["products"] == ["nut"]


def test_when_all_processes_are_killed_the_job_is_interrupted(
    start_studio: Start, tmp_path: Path
) -> None:
    first = start_studio(**{PLACE: ""})  # whose job is a Python of its own, as a user's is
    fill(first.client)
    key = first.client.post("/v1/studio/train", json=SLOW).json()["id"]
    begun(first.client, key, steps=5)
    pid = pid_of(tmp_path, key)
    first.kill()
    os.kill(pid, signal.SIGKILL)
    job = wait_for(start_studio().client, key)
    assert job["state"] == "interrupted"


@pytest.mark.parametrize("how", ["network", "studio"])
def test_inspection_survives_a_kill(
    start_studio: Start, learned: Callable[[str], None], tmp_path: Path, how: str
) -> None:
    server = start_studio()
    client = server.client
    fill(client)
    learned("quick")
    raw = {"Content-Type": "image/png"}
    judge = "/inspect/quick/v1/predict?keep=true&name=part.png"
    assert client.post(judge, content=picture(40), headers=raw).status_code == 200
    marks = client.put("/inspect/quick/v1/pictures/1/mark", json={"mark": "good"})
    assert marks.status_code == 200
    if how == "network":
        tasks = Path(f"/proc/{server.process.pid}/task")
        if not tasks.is_dir():
            pytest.skip("needs Linux's lists of children")
        children = " ".join(file.read_text() for file in tasks.glob("*/children")).split()
        [child] = [c for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]
        os.kill(int(child), signal.SIGKILL)
        refused = client.post(judge, content=picture(41), headers=raw)
        assert refused.status_code == 500
        assert "memory runs out" in refused.json()["detail"]
    else:
        server.kill()
        client = start_studio().client
    again = client.post(judge, content=picture(41), headers=raw)
    assert again.status_code == 200, again.text
    kept = client.get("/inspect/quick/v1/history").json()["pictures"]
    assert {picture["mark"] for picture in kept} == {"good", None}


def test_two_studios_never_work_on_one_project(start_studio: Start) -> None:
    start_studio()
    with pytest.raises(AssertionError, match="in use"):
        start_studio()
