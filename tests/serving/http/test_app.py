"""The application in this process: what it lets go, and its answers to errors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import sqlite3
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from spot_model import (
    GOOD,
    SpotNetwork,
    named_calibration,
    part,
    png,
    spot_calibration,
    spot_model,
)
from spot_service import open_service

from blemish.calibration import CalibrationRecord, calibrate, image_identity
from blemish.errors import ConfigError
from blemish.inspection.network import NetworkOutput
from blemish.model_file.bundle import Manifest, TeacherEntry, write_bundle
from blemish.serving.http.app import create_app
from blemish.serving.http.middleware import Watched
from blemish.serving.http.security import Gate
from blemish.serving.limits import RefusalError
from blemish.serving.model import ServedModel
from blemish.serving.order import Order, Upload
from blemish.serving.service import InspectionService

RAW = {"Content-Type": "image/png"}
PATH = "/v1/predict"


@contextlib.contextmanager
def service_of(model: ServedModel, folder: Path) -> Iterator[InspectionService]:
    with open_service(model, folder) as service:
        yield service
        asyncio.run(service.close())


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InspectionService]:
    slipped_in = CalibrationRecord("nut", 130, 130, image=image_identity("a.png", png(part(130))))
    calibration = calibrate([slipped_in], current=spot_calibration(), how="join")
    with service_of(spot_model(calibration=calibration), tmp_path) as service:
        yield service


@pytest.fixture
def app(service: InspectionService) -> Watched:
    return create_app(service, Gate(token=None, loopback=True))


def ask(app: Any, method: str = "POST", path: str = PATH, **request: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **request)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"%PDF-1.7", "headers": RAW},
        {"content": png(part())[:90], "headers": RAW},
        {"files": [("a", ("a.txt", b"text")), ("b", ("b.png", png(part())[:90]))]},
        {"content": png(part()), "headers": RAW},
        {"content": png(part()), "headers": RAW, "params": {"keep": "true"}},  # which is refused
    ],
)
def test_what_was_sent_is_gone_once_it_is_answered(
    app: Watched,
    service: InspectionService,
    request_: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[weakref.ref[Upload]] = []

    pixels = service.pixels

    def watched(upload: Upload) -> NDArray[np.uint8]:
        seen.append(weakref.ref(upload))
        return pixels(upload)

    def full(*_: object) -> int:
        raise RefusalError(507, "history_full", "No room.")

    monkeypatch.setattr(service, "pixels", watched)
    monkeypatch.setattr(service.pictures, "keep", full)
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(3):
            ask(app, **request_)
        # The threads may still be letting go of the last one.
        assert [alive() for alive in seen[: len(seen) * 2 // 3]] == [None] * (len(seen) * 2 // 3)
    finally:
        if enabled:
            gc.enable()


def test_other_methods_and_paths(app: Watched) -> None:
    assert ask(app, "GET").status_code == 405
    assert ask(app, "OPTIONS").status_code == 405
    assert ask(app, path=PATH + "/").status_code == 404
    assert ask(app, "GET", "/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (RefusalError(409, "not_calibrated", "There are no limits."), 409, "not_calibrated"),
        (ConfigError("The score is nan."), 500, "model"),
        (ZeroDivisionError("secret"), 500, "bug"),
    ],
)
def test_errors_are_answered_in_the_common_form(
    app: Watched,
    service: InspectionService,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    word: str,
) -> None:
    def fail(order: Order) -> Order:
        raise error

    monkeypatch.setattr(service, "check_order", fail)
    answer = ask(app, content=png(part()), headers=RAW)
    assert (answer.status_code, answer.json()["error"]) == (status, word)
    assert "secret" not in answer.text
    counted = word != "model"  # the log has it
    assert (f'blemish_errors_total{{code="{word}"}} 1.0' in service.metrics.text()) == counted


def test_a_bug_is_raised_once_it_is_answered_so_that_the_log_has_it(
    app: Watched, service: InspectionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(order: Order) -> Order:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(service, "check_order", fail)
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {
        **{"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode()},
        **{"headers": [(b"host", b"localhost")], "query_string": b""},
    }
    with pytest.raises(ZeroDivisionError, match="here"):
        asyncio.run(app(scope, receive, send))
    assert sent == ["http.response.start", "http.response.body"]


class Branched(SpotNetwork):
    """Its only branch says what the whole says."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        output = super().__call__(pixels)
        return replace(output, branches={"logical": output.scores})


def test_a_request_is_judged_once_and_by_one_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = calibrate(CalibrationRecord("nut", s, s, {"logical": s}) for s in GOOD)
    with service_of(spot_model(network=Branched(), calibration=good), tmp_path) as service:
        finish = service._finish

        def changed_meanwhile(*order: Any, **more: Any) -> Any:
            other = good.at(false_alarm_rate=0.2)
            service.versions.put(other, source="rate", note="meanwhile")
            return finish(*order, **more)

        monkeypatch.setattr(service, "_finish", changed_meanwhile)
        app = create_app(service, Gate(token=None, loopback=True))
        files = [("image", (f"{n}.png", png(part(115)))) for n in range(3)]
        for version, verdict in ((1, "ok"), (4, "unsure")):
            answer = ask(app, files=files).json()
            assert service.versions.active.version == version + 3
            assert answer["calibration"] == version
            for result in answer["results"]:
                assert result["verdict"] == verdict
                assert result["branches"] == {
                    "logical": {
                        name: result[name]
                        for name in ("score", "p_value", "verdict", "times_limit")
                    }
                }


def test_a_defect_among_the_models_own_pictures_is_left_out(app: Watched) -> None:
    def keep(level: int) -> int:
        params = {"keep": "true", "name": "seen again.png"}
        answer = ask(app, content=png(part(level)), headers=RAW, params=params)
        return int(answer.json()["results"][0]["id"])

    def limits(how: str) -> dict[str, Any]:
        answer = ask(app, "GET", "/v1/recalibration", params={"how": how})
        return dict(answer.json()["after"][0])

    ask(app, "PUT", f"/v1/pictures/{keep(130)}/mark", json={"mark": "good"})
    assert (limits("join")["defect"], limits("join")["n"]) == (
        pytest.approx(129.945),
        100,
    )  # it counts once
    nothing = ask(app, "GET", "/v1/recalibration", params={"how": "exclude"})
    assert (nothing.status_code, nothing.json()["error"]) == (409, "cannot_recalibrate")
    for level in (130, 140):  # the second was never among them
        ask(app, "PUT", f"/v1/pictures/{keep(level)}/mark", json={"mark": "defect"})
    assert (limits("exclude")["defect"], limits("exclude")["n"]) == (124.5, 99)
    made = ask(app, path="/v1/recalibration", json={"how": "exclude", "expected": 1}).json()
    assert made["limits"][0]["defect"] == 124.5
    assert made["note"] == "1 marked picture left out of the model's, at 1 %"


def test_who_sets_the_limit_is_seen_and_left_out_for_good(tmp_path: Path) -> None:
    with service_of(spot_model(calibration=named_calibration()), tmp_path) as service:
        app = create_app(service, Gate(token=None, loopback=True))

        def setters() -> list[dict[str, Any]]:
            found = ask(app, "GET", "/v1/history").json()["judged_by"]["setters"]
            return [dict(one) for one in found]

        (found,) = setters()
        assert found["images"][0]["name"] == "scratch.png"
        assert (found["far"], found["images"][0]["id"]) == (True, None)
        assert found["times"] == pytest.approx((149.745 - 112.375) / (124.5 - 112.375))
        kept = ask(app, content=png(part(150)), headers=RAW, params={"keep": "true"}).json()
        (found,) = setters()
        assert found["images"][0]["id"] == kept["results"][0]["id"]  # it can be shown now
        gone = [found["images"][0]["image"]]
        both = {"how": "join", "leave_out": gone}
        assert ask(app, "GET", "/v1/recalibration", params=both).status_code == 422
        seen = ask(app, "GET", "/v1/recalibration", params={"leave_out": gone}).json()
        assert seen["before"][0]["defect"] == pytest.approx(149.745)
        assert seen["after"][0]["defect"] == 124.5
        made = ask(app, path="/v1/recalibration", json={"leave_out": gone, "expected": 1}).json()
        assert made["note"] == "scratch.png left out of the good pictures, at 1 %"
        assert (made["n"], made["source"], made["limits"][0]["defect"]) == (99, "marks", 124.5)
        assert setters()[0]["images"][0]["name"] == "98.png"
        again = ask(app, path="/v1/recalibration", json={"leave_out": gone})
        assert (again.status_code, again.json()["error"]) == (409, "cannot_recalibrate")

        # New limits from marks begin with the model's own pictures, and not with this one.
        other = ask(app, content=png(part(126)), headers=RAW, params={"keep": "true"}).json()
        picture = other["results"][0]["id"]
        ask(app, "PUT", f"/v1/pictures/{picture}/mark", json={"mark": "good"})
        joined = ask(app, path="/v1/recalibration", json={"how": "join"}).json()
        assert (joined["n"], joined["limits"][0]["defect"]) == (100, pytest.approx(125.985))
        # Taken back, it is as if nobody had said so.
        ask(app, path="/v1/calibrations/activate", json={"version": 1})
        joined = ask(app, path="/v1/recalibration", json={"how": "join"}).json()
        assert (joined["n"], joined["limits"][0]["defect"]) == (101, pytest.approx(149.52))


def test_a_model_without_limits_has_scores_and_says_what_to_do(tmp_path: Path) -> None:
    with service_of(spot_model(calibration=None), tmp_path) as service:
        app = create_app(service, Gate(token=None, loopback=True))
        (found,) = ask(app, content=png(part(130)), params={"keep": "true"}).json()["results"]
        assert (found["score"], found["verdict"], found["regions"]) == (130, None, [])
        detail = ask(app, "GET", f"/v1/pictures/{found['id']}").json()
        assert (detail["score"], detail["verdict"], detail["p_value"]) == (130, None, None)
        assert ask(app, "GET", "/v1/history").json()["judged_by"] is None
        version = ask(app, "GET", "/v1/model").json()["calibration"]
        assert (version["n"], version["false_alarm_rate"], version["limits"]) == (0, None, [])
        for answer in (
            ask(app, "GET", f"/v1/pictures/{found['id']}/heat"),
            ask(app, content=png(part()), params={"map": "heat"}),
            ask(app, path="/v1/recalibration", json={"false_alarm_rate": 0.1}),
        ):
            assert (answer.status_code, answer.json()["error"]) == (409, "not_calibrated")
        ask(app, "PUT", f"/v1/pictures/{found['id']}/mark", json={"mark": "good"})
        made = ask(app, path="/v1/recalibration", json={"how": "join"}).json()
        assert (made["n"], made["limits"][0]["defect"]) == (1, 130)


def test_on_a_full_disk_limits_are_not_written_and_the_model_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "m.blemish"
    teacher = TeacherEntry(name="efficientnet_lite0", sha256="sha256:0", pretrained=True)
    content = {"method": "rd", "config": {}, "teacher": teacher, "preprocessing": {"height": 64}}
    content |= {"products": ("nut",), "calibration": None, "training": {}, "versions": {}}
    manifest = Manifest(**content, created="2026-01-01T00:00:00+00:00")  # type: ignore[arg-type]
    write_bundle(file, manifest, {"weights.safetensors": b"weights"})
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("blemish._files.os.fsync", full)
    with service_of(spot_model(file=file, name="m.blemish"), tmp_path) as service:
        app = create_app(service, Gate(token=None, loopback=True))
        answer = ask(app, path="/v1/calibrations/write", params={"expected": 1})
    assert (answer.status_code, answer.json()["error"]) == (507, "disk_full")
    assert "m.blemish, which is as it was: No space left on device" in answer.json()["detail"]
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".m.blemish*"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507),
        (sqlite3.OperationalError("database or disk is full"), 507),
        (OSError(errno.EIO, "Input/output error"), 500),
        (sqlite3.OperationalError("no such table: x"), 500),
    ],
)
def test_a_full_disk_is_said_and_other_failures_are_bugs(
    app: Watched,
    service: InspectionService,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(service.pictures, "all", fails)
    answer = ask(app, "GET", "/v1/history")
    assert answer.status_code == status
    assert ("Make room" in answer.json()["detail"]) == (status == 507)
