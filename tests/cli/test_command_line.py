"""How the command line ends, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from blemish import __version__
from blemish.cli.app import app

VERBS = ("demo", "fit", "predict", "evaluate", "calibrate", "info", "doctor", "data")


def test_help_names_every_verb(fresh_blemish: Any) -> None:
    result = fresh_blemish("--help")
    assert result.returncode == 0
    assert all(f" {verb} " in result.stdout for verb in VERBS)


@pytest.mark.parametrize("words", [("--help",), ("fit", "--help"), ("--version",), ("data",)])
def test_help_and_version_import_nothing_heavy(words: tuple[str, ...], fresh_blemish: Any) -> None:
    assert _imported(fresh_blemish, *words) <= {"rich"}


def test_the_version_is_the_packages(fresh_blemish: Any) -> None:
    assert fresh_blemish("--version").stdout == f"blemish {__version__}\n"


def test_info_and_describe_need_no_torch(fresh_blemish: Any, model_file: Path, part: Path) -> None:
    for words in (("info", model_file), ("info", model_file, "--json"), ("data", "describe", part)):
        assert not _imported(fresh_blemish, *words) & {"torch", "lightning", "scipy", "sklearn"}


def test_judging_does_not_wait_for_lightning(fresh_blemish: Any, judging: dict[str, Path]) -> None:
    loaded = _imported(fresh_blemish, "predict", judging["model"], judging["ok"])
    assert "torch" in loaded
    assert "lightning" not in loaded


def _imported(fresh_blemish: Any, *words: object) -> set[str]:
    watch = (
        "import atexit, sys\n"
        "heavy = ('torch', 'lightning', 'scipy', 'sklearn', 'onnxruntime', 'rich')\n"
        "atexit.register(lambda: print('LOADED', *(m for m in heavy if m in sys.modules)))\n"
    )
    result = fresh_blemish(*words, before=watch)
    assert result.returncode in (0, 2), result.stderr  # help without a verb is an error to Typer
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


def test_the_installed_command_is_this_one() -> None:
    (script,) = entry_points(group="console_scripts", name="blemish")
    assert script.value == "blemish.cli.app:main"


@pytest.mark.parametrize(
    "words", [("fitt",), ("fit",), ("fit", "x", "--seed", "many"), ("--verbose",)]
)
def test_a_wrong_command_line_is_an_error(words: tuple[str, ...], blemish: Any) -> None:
    result = blemish(*words)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_a_bug_is_no_defect(fresh_blemish: Any, model_file: Path) -> None:
    """Python's own exit code for an unexpected error would read as "a defect was found"."""
    broken = "import blemish.model_file.bundle\nblemish.model_file.bundle.read_manifest = None\n"
    result = fresh_blemish("info", model_file, before=broken)
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "This is a bug in blemish" in result.stderr


def test_without_the_training_packages_the_extra_is_named(
    fresh_blemish: Any, refused: Any, judging: dict[str, Path]
) -> None:
    without = 'import sys\nsys.modules["torch"] = None\n'
    trained = ("predict", judging["model"], judging["ok"])
    for words in (("fit", "x"), trained, ("evaluate", "x", "y"), ("demo",)):
        assert 'pip install "blemish[train]"' in refused(fresh_blemish(*words, before=without))


@pytest.mark.parametrize("verb", ["info", "predict"])
def test_a_reader_that_goes_away_is_no_defect(
    verb: str, fresh_blemish: Any, judging: dict[str, Path]
) -> None:
    """As in ``blemish … | head -1``, where Typer and Rich would end with 1 and Python with 120."""
    read, write = os.pipe()
    os.close(read)
    words = (verb, judging["model"], *([judging["ok"]] if verb == "predict" else []))
    with open(write, "wb") as closed:  # noqa: PTH123  a descriptor, not a path
        result = fresh_blemish(*words, stdout=closed)
    assert result.returncode == 141
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_a_fresh_process_ends_with_the_verdict(
    fresh_blemish: Any, judging: dict[str, Path]
) -> None:
    """Others are forked and end without all that Python does at its end."""
    assert fresh_blemish("predict", judging["model"], judging["defect"]).returncode == 1


def test_every_verb_and_option_is_explained() -> None:
    import typer.main

    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        for verb in getattr(command, "commands", {name: command}).values():
            assert verb.help, name
            for parameter in verb.params:
                assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    "words",
    [
        ("predict", "M", "P", "--csv", "/proc/o.csv"),
        ("predict", "M", "P", "--heatmaps", "/proc/maps"),
        ("fit", "D", "--out", "/proc/m.blemish"),
        ("fit", "D", "--out", "/proc/models", "--per-product"),
        ("export", "M", "--out", "/proc/m.onnx"),
        ("report", "M", "D", "--out", "/proc/r.html"),
        ("evaluate", "M", "D", "--json", "/proc/e.json"),
        ("calibrate", "M", "--false-alarm-rate", "0.2", "--out", "/proc/m.blemish"),
    ],
    ids=" ".join,
)
def test_places_where_the_system_keeps_no_files_are_named(
    blemish: Any, refused: Any, judging: dict[str, Path], part: Path, words: tuple[str, ...]
) -> None:
    known = {"M": judging["model"], "P": judging["ok"], "D": part}
    message = refused(blemish(*(known.get(word, word) for word in words)))
    assert "Cannot write /proc/" in message
    assert "Errno" not in message


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "blemish", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(__version__)
