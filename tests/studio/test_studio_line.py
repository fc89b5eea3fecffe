"""A model on the line, set on the page: it looks, tells, comes back, and reaches nowhere else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_steps import AXE, faults, needs_chromium
from running_server import RunningServer
from studio_steps import give, picture

from blemish.serving.limits import RefusalError
from blemish.studio.line import LineOrder, Lines

if TYPE_CHECKING:
    from playwright.sync_api import Page


def told(folder: Path, last: str) -> list[str]:
    """What has been told, once this one has."""
    end, names = time.monotonic() + 60, list[str]()
    while last not in names and time.monotonic() < end:
        time.sleep(0.1)
        names = [json.loads(file.read_text())["path"] for file in sorted(folder.rglob("*.json"))]
    return names


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"source": "python:os:getcwd"}, "no camera for a page"),
        ({"source": "../elsewhere"}, "not inside the project"),
        ({"source": "clip.mp4"}, "no clip.mp4 inside the project"),
        ({"source": "/etc"}, "not inside the project"),
        ({"source": "file:/etc/passwd"}, "expected camera:0"),
        ({"source": "http://a/b#protocol_whitelist=file"}, "option protocol_whitelist"),
        ({"source": "camera:0", "trigger": "sometimes"}, "--trigger"),
        ({"source": "camera:0", "keep": "most"}, "--keep-live"),
        ({"send": ["folder:../pictures"]}, "not inside the project"),
        ({"send": ["csv:/tmp/x.csv"]}, "not inside the project"),
        ({"send": ["csv:%2e%2e/project.sqlite"]}, "not inside the project"),
        ({"source": "camera:0", "part_id": "("}, "--part-id"),
        ({"send": ["smtp://a/b"]}, "is no target"),
        ({"send": ["https://[::1"]}, "IPv6"),
        ({}, "neither a camera nor anybody"),
    ],
)
def test_what_reaches_outside_is_refused(tmp_path: Path, order: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words) as refusal:
        Lines(tmp_path).line(LineOrder(**order))
    assert refusal.value.status == 422
    assert not list(tmp_path.iterdir())


def test_passwords_are_not_shown_and_files_are_ours_alone(tmp_path: Path) -> None:
    order = LineOrder(source="rtsp://u:secret@cam/1", send=["mqtts://u:secret@broker/line#every=1"])
    assert "secret" not in order.shown
    assert order.shown == "looks at rtsp://cam/1 (all); tells mqtts://broker/line"
    lines = Lines(tmp_path)
    lines.put("m", order)
    assert lines.get("m") == order
    assert lines.names() == ["m"]
    assert (tmp_path / "lines/m.json").stat().st_mode & 0o077 == 0


@needs_chromium
def test_a_model_on_the_line_from_the_page(
    tmp_path: Path,
    start_studio: Callable[..., RunningServer],
    learned: Callable[[str], None],
    visit: Callable[..., Page],
) -> None:
    studio = start_studio()
    for seed in range(12):
        assert give(studio.client, f"nut/good/{seed}.png", picture(seed)).is_success
    learned("quick")
    page = visit(f"{studio.url}/#line", bypass_csp=bool(AXE))
    page.fill("#line-source", "../elsewhere")
    page.click("#line-form .main")
    page.wait_for_selector("#line-error:has-text('not inside the project')")
    assert studio.client.get("/v1/studio/lines").json() == []

    project = tmp_path / "line"
    page.fill("#line-source", "incoming")
    page.fill("#line-send", "folder:gate\ncsv:all.csv")
    page.fill("#line-part", "(a|b)[.]png")
    page.fill("#line-views", "1")
    page.select_option("#line-keep", "all")
    page.click("#line-form .main")
    page.wait_for_selector("[data-line='quick'] a:has-text('Live view')")
    (project / "incoming/a.png").write_bytes(picture(50))
    (project / "incoming/b.png").write_bytes(picture(51, spot=True))
    assert told(project / "verdicts/gate", "b.png") == ["a.png", "b.png"]
    page.wait_for_selector("[data-line='quick'] dd:has-text('2, ')")
    # The project's place on the disk is nobody's business.
    page.wait_for_selector("dt:text-is('folder:gate') + dd:text-is('all delivered')")
    page.set_viewport_size({"width": 390, "height": 800})
    assert not faults(page)
    counted = studio.client.get("/metrics").text.splitlines()
    assert 'blemish_line_up{model="quick"} 1.0' in counted
    assert 'blemish_line_waiting{model="quick"} 0.0' in counted
    judged = [line for line in counted if line.startswith('blemish_images_total{model="quick"')]
    assert sum(float(line.split()[-1]) for line in judged) == 2
    assert 'blemish_studio_jobs{state="failed"} 0.0' in counted
    families = [line for line in counted if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))  # or Prometheus reads none of it
    page.click("[data-line='quick'] a:has-text('Live view')")
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector("#last button >> nth=1")
    models = studio.client.get("/v1/models").json()
    assert models == [{"name": "quick", "source": "incoming"}]

    page.goto("about:blank")
    studio.kill()
    again = start_studio()  # nobody has asked for the model, and it looks all the same
    (project / "incoming/c.png").write_bytes(picture(52))
    # Those that lie there are judged again, under the ids that they had.
    assert set(told(project / "verdicts/gate", "c.png")) == {"a.png", "b.png", "c.png"}
    parts = [json.loads(f.read_text())["part"] for f in (project / "verdicts/gate").rglob("*.json")]
    assert {*parts} == {"a", "b", None}
    assert again.client.delete("/v1/studio/lines/../quick").status_code == 404
    (project / "models/quick.blemish").unlink()
    assert again.client.delete("/v1/studio/lines/quick").is_success
    assert again.client.get("/v1/studio/lines").json() == []
    changes = [e["after"] for e in again.client.get("/v1/studio/audit").json()][:2]
    looks = "looks at incoming (all); tells folder:gate, csv:all.csv"
    assert changes == ["taken off the line", looks]
    assert again.stop() == 0


def test_a_model_that_cannot_be_opened_is_not_on_the_line(
    tmp_path: Path, start_studio: Callable[..., RunningServer]
) -> None:
    studio = start_studio()
    broken = tmp_path / "line/models/broken.blemish"
    broken.write_bytes(b"PK no model")
    for _ in range(2):
        answer = studio.client.put("/v1/studio/lines/broken", json={"source": "incoming"})
        assert (answer.status_code, answer.json()["error"]) == (422, "no_line")
        assert "broken.blemish" in answer.json()["detail"]
        assert studio.client.get("/v1/studio/lines").json() == []
    assert not list((tmp_path / "line/lines").iterdir())
    assert studio.client.get("/healthz").is_success
    # It was on the line, and its file was damaged since: that is said, and set right on the page.
    (tmp_path / "line/lines/broken.json").write_text(LineOrder(source="in").model_dump_json())
    assert studio.stop() == 0
    again = start_studio()
    (line,) = again.client.get("/v1/studio/lines").json()
    end = time.monotonic() + 60
    while not line["problem"] and time.monotonic() < end:
        (line,) = again.client.get("/v1/studio/lines").json()
    assert "broken.blemish" in line["problem"]
    assert 'blemish_line_up{model="broken"} 0.0' in again.client.get("/metrics").text
    assert again.client.delete("/v1/studio/lines/broken").is_success
    assert again.client.get("/v1/studio/lines").json() == []
