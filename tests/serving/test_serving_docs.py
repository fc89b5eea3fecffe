"""What docs/serving.md names is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from running_server import RunningServer
from typer.main import get_command

from blemish.cli.app import app

DOCS = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")


def test_its_options_are_those_of_the_command() -> None:
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCS)) - {"--data-binary"}
    assert named <= known
    assert {"--token-file", "--allow-host", "--queue", "--keep", "--state"} <= named


def test_its_paths_and_statuses_are_those_of_the_interface(server: RunningServer) -> None:
    described = server.client.get("/openapi.json").json()["paths"]
    known = {re.sub(r"\{\w+\}", "N", path) for path in described}
    named = set(re.findall(r"(/v1/[a-zA-Z./]+|/healthz|/readyz|/metrics)", DOCS))
    # The first as the client's example builds it, the second where there are several models.
    assert named - known <= {"/v1/calibrations/", "/v1/models"}
    assert known - named <= {"/v1/session", "/v1/history/remove", "/v1/pictures/N"} | {
        f"/v1/pictures/N/{part}" for part in ("source", "thumbnail", "heat")
    }


def test_its_python_runs(
    start: Callable[..., RunningServer],
    model_file: Path,
    part: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start(model=model_file)
    shutil.copy(model_file, tmp_path / "parts.blemish")
    shutil.copy(part / "test" / "good" / "00.png", tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        here = block.replace("http://127.0.0.1:8000", server.url)
        assert here != block
        exec(compile(here, "docs/serving.md", "exec"), {})
    assert capsys.readouterr().out.strip() in ("ok", "unsure", "defect")
