"""Running ``blemish`` as users do: in a process, with its output and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector

Result = subprocess.CompletedProcess[str]
RunBlemish = Callable[..., Result]


def environment() -> dict[str, str]:
    # A terminal's width from outside would break the tables elsewhere.
    unset = ("COLUMNS", "FORCE_COLOR", "TERM")
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "COLUMNS": "200", "PYTHONUTF8": "1"}


@pytest.fixture(scope="session")
def fork_server() -> Iterator[subprocess.Popen[str]]:
    program = Path(__file__).with_name("fork_server.py")
    with subprocess.Popen(
        [sys.executable, program],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield server
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture
def blemish(
    fork_server: subprocess.Popen[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> RunBlemish:
    """``blemish("fit", folder, …)`` in ``tmp_path``; ``before`` is Python run in front of it.

    Each run is a process of its own, forked from one that has imported everything already.
    """
    outputs = tmp_path_factory.mktemp("output")

    def run(*words: object, before: str = "") -> Result:
        out, err = outputs / "out", outputs / "err"
        job = {"words": [*map(str, words)], "cwd": str(tmp_path), "before": before}
        assert fork_server.stdin is not None
        assert fork_server.stdout is not None
        fork_server.stdin.write(json.dumps({**job, "out": str(out), "err": str(err)}) + "\n")
        fork_server.stdin.flush()
        code = int(fork_server.stdout.readline())
        texts = (path.read_text("utf-8", "surrogateescape") for path in (out, err))
        return subprocess.CompletedProcess(["blemish", *job["words"]], code, *texts)

    return run


@pytest.fixture
def fresh_blemish(tmp_path: Path) -> RunBlemish:
    """The same in a fresh interpreter, for what depends on what is imported and when."""

    def run(*words: object, before: str = "", **options: Any) -> Result:
        program = f"{before}\nfrom blemish.cli.app import main\nmain()"
        variables = options.pop("variables", {})
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, words)],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
            cwd=tmp_path,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def start_blemish(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts it and lets it run, for tests that send it signals; none outlives its test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object, before: str = "") -> subprocess.Popen[str]:
        # A suite started in the background inherits "ignore"; the user at a terminal does not.
        heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        program = f"{heard}\n{before}\nfrom blemish.cli.app import main\nmain()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, words)],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def refused() -> Callable[[Result], str]:
    """Checks that a run was refused as users must see it, and gives the message."""

    def check(result: Result) -> str:
        assert result.returncode == 2, result
        assert "Traceback" not in result.stderr
        assert "bug" not in result.stderr
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, result.stderr
        return result.stderr[result.stderr.index("Error: ") :]

    return check


@pytest.fixture(scope="session")
def judging(
    tmp_path_factory: pytest.TempPathFactory, model_file: Path, good_parts: NDArray[np.uint8]
) -> dict[str, Path]:
    """A model and images of each verdict: ``model``, ``ok`` and ``defect``.

    The model is calibrated with those half of the pictures that it finds least odd, at a rate at
    which their largest score is the limit: the oddest of the others is then a defect.
    """
    folder = tmp_path_factory.mktemp("judging")
    detector = Detector.load(model_file)
    odd = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    images = np.concatenate([good_parts, odd])
    order = np.argsort([p.score for p in detector.predict(images)])
    detector.calibrate(images[order[:8]], false_alarm_rate=0.12, unsure_rate=0.12)
    paths = {"model": folder / "m.blemish"}
    detector.save(paths["model"])
    for name, row in (("ok", order[0]), ("defect", order[-1])):
        paths[name] = folder / f"{name}.png"
        Image.fromarray(images[row]).save(paths[name])
    return paths
