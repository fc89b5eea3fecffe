"""Who may do what: engineers everything, operators inspect and mark, all others nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from running_server import RunningServer
from studio_steps import give, picture

from blemish.serving.http.security import Gate
from blemish.serving.limits import RefusalError
from blemish.studio.audit import acting
from blemish.studio.http.gate import StudioGate

ENGINEER, OPERATOR = "e" * 20, "o" * 20


@pytest.fixture
def gate() -> StudioGate:
    return StudioGate(Gate(token=ENGINEER, loopback=True), Gate(token=OPERATOR, loopback=True))


def asks(gate: StudioGate, method: str, path: str, token: str = "", **headers: str) -> int:
    if token:
        headers["authorization"] = f"Bearer {token}"
    try:
        gate.check(method, path, {"host": "localhost", **headers})
    except RefusalError as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("method", "path", "operator"),
    [
        ("GET", "/v1/studio/pictures", 200),
        ("GET", "/inspect/a/v1/history", 200),
        ("POST", "/inspect/a/v1/predict", 200),
        ("PUT", "/inspect/a/v1/pictures/7/mark", 200),
        ("PUT", "/inspect/a/v1/pictures/7/remark", 200),
        ("PUT", "/inspect/a/v1/pictures/7/product", 200),
        ("PUT", "/v1/studio/marks", 200),
        ("POST", "/inspect/a/v1/trigger", 200),
        ("POST", "/inspect/a/v1/live/zero", 200),
        ("PUT", "/v1/studio/lines/a", 403),
        ("DELETE", "/v1/studio/lines/a", 403),
        ("POST", "/v1/studio/pictures", 403),
        ("POST", "/v1/studio/train", 403),
        ("POST", "/v1/studio/jobs/1/cancel", 403),
        ("POST", "/inspect/a/v1/calibrations/write", 403),
        ("POST", "/inspect/a/v1/recalibration", 403),
        ("POST", "/inspect/a/v1/calibrations/activate", 403),
        ("POST", "/inspect/a/v1/history/remove", 403),
        ("PUT", "/v1/studio/regions/nut", 403),
        ("DELETE", "/v1/studio/pictures", 403),
        ("POST", "/v1/studio/pictures/remove", 403),
    ],
)
def test_what_operators_may_do(gate: StudioGate, method: str, path: str, operator: int) -> None:
    assert asks(gate, method, path, OPERATOR) == operator
    assert asks(gate, method, path, ENGINEER) == 200
    assert asks(gate, method, path, "x" * 20) == 401
    assert asks(gate, method, path) == 401


def test_pages_are_public_and_nothing_else(gate: StudioGate) -> None:
    for path in ("/", "/static/studio.js", "/healthz", "/inspect/a/", "/inspect/a/trend"):
        assert asks(gate, "GET", path) == 200
    assert asks(gate, "GET", "/static/main.js") == 200
    for path in ("/v1/studio/jobs", "/inspect/a/v1/model", "/inspect", "/inspect/a/metrics"):
        assert asks(gate, "GET", path) == 401


def test_a_page_elsewhere_changes_nothing(gate: StudioGate) -> None:
    elsewhere = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    assert asks(gate, "POST", "/v1/studio/train", ENGINEER, **elsewhere) == 403


def test_who_acts_is_known_by_role_and_name(gate: StudioGate) -> None:
    asks(gate, "GET", "/v1/studio/jobs", OPERATOR, cookie="blemish_name=Ada%20L.%0A")
    assert str(acting.get()) == "Ada L. (operator)"


def test_sessions_and_files_over_http(
    start_studio: Callable[..., RunningServer], tmp_path: Path
) -> None:
    for name, token in (("engineer", ENGINEER), ("operator", OPERATOR)):
        (tmp_path / name).write_text(token)
    tokens = ["--token-file", tmp_path / "engineer", "--operator-token-file", tmp_path / "operator"]
    server = start_studio(*tokens)
    assert server.client.get("/v1/studio/pictures").status_code == 401
    operator = httpx.Client(base_url=server.url)
    said = operator.post("/v1/session", json={"token": OPERATOR}).json()
    assert said == {"known": True, "role": "operator"}
    assert operator.get("/v1/session").json()["role"] == "operator"
    assert give(operator, "a/good/1.png", picture(1)).json()["error"] == "engineer_needed"
    engineer = httpx.Client(base_url=server.url)
    engineer.post("/v1/session", json={"token": ENGINEER})
    assert give(engineer, "a/good/1.png", picture(1)).status_code == 200
    marked = operator.put("/v1/studio/marks", json={"paths": ["a/good/1.png"], "mark": "defect"})
    assert marked.json() == {"paths": ["a/defect/1.png"]}
    leave = {"paths": ["a/defect/1.png"], "mark": "leave_out"}
    assert operator.put("/v1/studio/marks", json=leave).json()["error"] == "engineer_needed"
    assert engineer.put("/v1/studio/marks", json=leave).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "../line/project.sqlite",
        "a/good/../../../project.sqlite",
        "a/good/..%2f1.png",
        "/etc/passwd",
        "a/good/.hidden.png",
        "a/secret/1.png",
        "a/good/1.png\0",
        "a\\good\\1.png",
    ],
)
def test_no_path_of_a_client_leaves_the_pictures(tmp_path: Path, path: str) -> None:
    from blemish.studio.pictures import ProjectPictures

    (tmp_path / "pictures/a/good").mkdir(parents=True)
    (tmp_path / "pictures/a/good/1.png").write_bytes(b"")
    pictures = ProjectPictures(tmp_path)
    assert pictures.file("a/good/1.png").is_file()
    with pytest.raises(RefusalError) as refused:
        pictures.file(path)
    assert refused.value.status == 404
    with pytest.raises(RefusalError):
        pictures.mark([path], "good")
