"""Studios in processes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from running_server import RunningServer


@pytest.fixture
def start_studio(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """``start_studio(*options)``: a studio of ``tmp_path/line``."""
    running: list[RunningServer] = []

    def begin(*options: object) -> RunningServer:
        words = [sys.executable, "-m", "blemish.cli.app", "studio", str(tmp_path / "line")]
        words += ["--port", "0", *map(str, options)]
        running.append(RunningServer(words, tmp_path / "studio.log", {}))
        return running[-1]

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.kill()
