"""What stands beside a benchmark figure, and digests that change with what decides it alone."""

from __future__ import annotations

import getpass
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy
import pytest

from blemish.benchmark import environment as module
from blemish.benchmark.environment import (
    _NEUTRAL,
    code_fingerprint,
    data_fingerprints,
    environment,
)
from blemish.data.layouts import read_data_set


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


def test_the_same_images_elsewhere_have_the_same_digest(line: Path, tmp_path: Path) -> None:
    before = data_fingerprints(read_data_set(line))
    moved = shutil.copytree(line, tmp_path / "elsewhere" / "line")
    assert data_fingerprints(read_data_set(moved)) == before
    assert list(before) == ["bolt", "nut"]


def test_a_changed_byte_changes_its_category_alone(line: Path) -> None:
    before = data_fingerprints(read_data_set(line))
    for changed in ("train/good/003.png", "ground_truth/scratch/001_mask.png"):
        path = line / "nut" / changed
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1  # same size, same name
        path.write_bytes(content)
        after = data_fingerprints(read_data_set(line))
        assert after["nut"] != before["nut"]
        assert after["bolt"] == before["bolt"]
        before = after


def test_moving_an_image_between_kinds_changes_the_digest(line: Path) -> None:
    before = data_fingerprints(read_data_set(line))
    (line / "nut/test/scratch/002.png").rename(line / "nut/test/good/009.png")
    assert data_fingerprints(read_data_set(line))["nut"] != before["nut"]


def test_code_counts_comments_do_not(tmp_path: Path) -> None:
    package = tmp_path / "blemish"
    (package / "methods").mkdir(parents=True)
    (package / "nn").mkdir()
    (package / "methods" / "__init__.py").write_text("from blemish.methods import other\n")
    method = package / "methods" / "rd.py"
    block = package / "nn" / "block.py"
    other = package / "methods" / "other.py"
    method.write_text('"""Doc."""\nfrom blemish.nn import block\nX = block.Y\n')
    block.write_text("Y = 1\n")
    other.write_text("Z = 1\n")

    def digest() -> str:
        return code_fingerprint("blemish.methods.rd", package=package)

    before = digest()
    method.write_text('"""Other doc."""\n# why\nfrom blemish.nn import block\n\n\nX = (block.Y)\n')
    other.write_text("Z = 2\n")  # another method, which this one does not use
    assert digest() == before
    block.write_text("Y = 22\n")  # what it imports
    assert digest() != before


def test_a_method_from_outside_counts_with_what_it_imports_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "line_methods"
    package.mkdir()
    texts = {"__init__": "", "model": "from line_methods import block", "block": ""}
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("line_methods.model")
    before = code_fingerprint("line_methods.model")
    assert before != code_fingerprint("blemish.methods.rd.model")
    (package / "block.py").write_text("Y = 1\n")
    assert code_fingerprint("line_methods.model") != before


def test_what_counts_for_nothing_exists() -> None:
    for name in _NEUTRAL:
        assert importlib.util.find_spec(name), name


def test_what_calls_a_trained_method_counts(tmp_path: Path) -> None:
    package = tmp_path / "blemish"
    shutil.copytree(Path(module.__file__).parents[1], package)
    before = code_fingerprint("blemish.methods.rd.model", package=package)
    called = package / "training" / "method_network.py"
    called.write_text(called.read_text().replace(".double()", ".float()"))
    assert code_fingerprint("blemish.methods.rd.model", package=package) != before


def test_the_real_sources_of_a_method_are_followed() -> None:
    rd = code_fingerprint("blemish.methods.rd.model")
    assert rd == code_fingerprint("blemish.methods.rd.model")
    assert rd != code_fingerprint("blemish.methods.hfr.model")
