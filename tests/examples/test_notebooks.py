"""Notebooks run from the first cell to the last, hold no output, and say what they promise."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from forked import ForkServer

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is not None
_NEEDS = {
    "mqtt": (_BROKER and find_spec("paho") is not None, "the broker mosquitto and paho-mqtt"),
    "ray": (find_spec("ray") is not None, "Ray"),
}


def _run(path: Path) -> tuple[Any, dict[str, Any]]:
    """Run all cells as IPython does, drawing what they show; the last value and all names."""
    shell_module = pytest.importorskip("IPython.core.interactiveshell")
    config = pytest.importorskip("traitlets.config").Config()
    config.HistoryManager.enabled = False
    config.DisplayFormatter.active_types = ["text/plain", "image/png", "image/svg+xml"]
    shell = shell_module.InteractiveShell(config=config)
    last = None
    try:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                done = shell.run_cell("".join(cell["source"]), store_history=False)
                done.raise_error()
                last = done.result
        return last, dict(shell.user_ns)
    finally:
        shell.restore_sys_module_state()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: ForkServer
) -> None:
    there, what = _NEEDS.get(path.stem, (True, ""))
    if not there:
        pytest.skip(f"needs {what}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    if path.stem == "ray":  # its command needs no start of Python here
        command = [sys.executable, "-m", "blemish.cli.app"]

        def run(words: list[object]) -> subprocess.CompletedProcess[str]:
            assert words[:3] == command
            return forks.run(*words[3:], cwd=tmp_path)

        monkeypatch.setattr(subprocess, "run", run)
    last, names = _run(path)
    if path.stem == "fit_and_inspect":
        assert last["image_auroc"] > 0.5
    if path.stem in ("one_for_all", "export_without_torch"):  # the last cell compares
        assert last is True
    if path.stem == "calibrate":
        assert names["detector"].calibration.n == 80
    if path.stem == "logical":
        assert all(set(found.branches) == {"structural", "logical"} for found in names["found"])
    if path.stem == "mqtt":
        assert names["heard"]
    if path.stem == "ray":
        assert len(last) == 5


def test_notebooks_are_valid_and_hold_no_output() -> None:
    nbformat = pytest.importorskip("nbformat")
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name


def test_the_loop_without_torch_is_twenty_lines() -> None:
    cells = json.loads((FOLDER / "export_without_torch.ipynb").read_text("utf-8"))["cells"]
    (loop,) = [cell["source"] for cell in cells if "onnxruntime" in "".join(cell["source"][:6])]
    assert 15 < len([line for line in loop if line.strip()]) <= 25


def test_the_page_lists_every_notebook() -> None:
    page = (FOLDER.parent / "docs" / "examples.md").read_text("utf-8")
    assert [path.name for path in NOTEBOOKS if path.name not in page] == []
