"""What stands beside a benchmark figure, and what must not."""

from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy
import pytest

from blemish.benchmark import environment as module
from blemish.benchmark.environment import environment


def test_names_the_machine_and_the_versions() -> None:
    found = json.loads(json.dumps(environment()))  # ready for JSON
    assert found["packages"]["numpy"] == numpy.__version__
    assert found["python"] == platform.python_version()
    assert found["cores"] >= 1
    assert found["cpu_model"]
    assert datetime.fromisoformat(found["date_utc"]).utcoffset() is not None


def test_holds_no_host_name_user_or_path() -> None:
    text = json.dumps({k: v for k, v in environment().items() if k != "cpu_model"})
    assert str(Path.cwd()) not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    for secret in (platform.node(), getpass.getuser()):
        assert f'"{secret}"' not in text


def test_imports_nothing_heavy() -> None:
    code = (
        "import sys; from blemish.benchmark.environment import environment; environment();"
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_outside_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_git", lambda *_: None)
    found = environment()
    assert found["git_commit"] is None
    assert found["git_modified"] is None
