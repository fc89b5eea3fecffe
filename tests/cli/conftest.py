"""Running ``blemish`` as users do: in a process, with its output and its exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector
from forked import Forked, ForkServer, environment

Result = subprocess.CompletedProcess[str]
RunBlemish = Callable[..., Result]


@pytest.fixture
def blemish(forks: ForkServer, tmp_path: Path) -> RunBlemish:
    """``blemish("fit", folder, …)`` in ``tmp_path``; ``before`` is Python run in front of it."""
    return partial(forks.run, cwd=tmp_path)


@pytest.fixture
def start_blemish(forks: ForkServer, tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    """Starts it and lets it run; none outlives its test."""
    started: list[Forked] = []

    def start(*words: object, before: str = "") -> Forked:
        started.append(forks.start(*words, cwd=tmp_path, before=before))
        return started[-1]

    yield start
    for process in started:
        process.end()


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
