"""The way through the house: imports only go down, and what needs no torch imports none."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"

ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"


def floors() -> dict[str, int]:
    """Floor of every room and of every file beside them, from the page that holds the table."""
    rows = re.findall(r"^\| (\d) \| ((?:`\w+` ?)+)\|", ARCHITECTURE.read_text("utf-8"), re.M)
    return {name: int(floor) for floor, names in rows for name in re.findall(r"\w+", names)}


FLOORS = floors()
#: Rooms and files that may need torch. All others work on a line PC with the base installation.
WITH_TORCH = {
    *("teachers", "nn", "methods", "training", "detector", "benchmark", "export"),
    *("evaluation.diagnosis", "evaluation.diagnostic_measures"),
}
#: The one that goes up, inside a method: a prediction shows itself where somebody asks it to.
UPWARD = {("blemish.results", "blemish.outputs.overlay")}
#: Those that ask inside a function, and say why there.
ASKING_LATE = {
    "blemish.cli.doctor",  # which looks what is installed
    "blemish.cli.latency",  # sets the threads of a trained model
    "blemish.data.planted_parts",  # labels the parts of a picture, for benchmarks
    "blemish.evaluation.timing",  # builds the teacher alone
    "blemish.metrics.intervals",  # quantiles of the Beta distribution
    "blemish.metrics.overlap",  # labels the components of a mask
    "blemish.report.promise",  # the beta-binomial distribution
}
HEAVY = {"torch", "lightning", "sklearn", "scipy", "safetensors", "timm", "onnx"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((SOURCE / "blemish").rglob("*.py")):
        parts = list(path.relative_to(SOURCE).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def may_need_torch(module: str) -> bool:
    return room(module) in WITH_TORCH or module.removeprefix("blemish.") in WITH_TORCH


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imports(path: Path, *, at_start_only: bool = False) -> set[str]:
    """Modules imported anywhere in a file, those for type checking only left out."""
    found = set()
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found.add(str(node.module))
            # A name may itself be a module, as in: from blemish.demo_line import board
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not (at_start_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def test_every_room_has_a_floor() -> None:
    unknown = {room(name) for name, _ in modules() if room(name)} - FLOORS.keys()
    assert not unknown, f"on which floor are they? Add them to FLOORS: {sorted(unknown)}"


def test_imports_only_go_down() -> None:
    upward = [
        f"{module} (floor {FLOORS[room(module)]}) imports {name} (floor {FLOORS[room(name)]})"
        for module, path in modules()
        if room(module)  # the front door opens onto every floor
        for name in imports(path)
        if not any(module == m and name.startswith(above) for m, above in UPWARD)
        if name.startswith("blemish.") and room(name) in FLOORS
        if FLOORS[room(name)] > FLOORS[room(module)]
    ]
    assert not upward


def test_what_goes_up_is_asked_for_late() -> None:
    for module, above in UPWARD:
        path = dict(modules())[module]
        assert above in imports(path)
        assert above not in imports(path, at_start_only=True)


def test_no_two_files_need_one_another() -> None:
    known = dict(modules())
    graph = {
        name: {used for used in imports(path, at_start_only=True) if used in known and used != name}
        for name, path in known.items()
    }
    for name, used in graph.items():  # an import of a package's part runs the package first
        graph[name] = {u for u in used if not name.startswith(f"{u}.")}
    assert len(list(TopologicalSorter(graph).static_order())) == len(known)


def test_what_needs_no_torch_never_asks_for_it() -> None:
    asking = {
        module
        for module, path in modules()
        if not may_need_torch(module) and {name.split(".")[0] for name in imports(path)} & HEAVY
    }
    assert asking == ASKING_LATE


def test_it_can_be_imported_on_a_line_pc() -> None:
    # Reports, which need no torch but templates, are made where models are trained.
    names = [n for n, _ in modules() if not may_need_torch(n) and room(n) != "report"]
    assert len(names) > 60
    absent = sorted(HEAVY | {"jinja2", "markupsafe"})
    program = f"import sys, importlib\nfor name in {absent}: sys.modules[name] = None\n"
    program += "for name in sys.argv[1:]: importlib.import_module(name)\nprint('all')"
    result = subprocess.run(
        [sys.executable, "-c", program, *names],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "all\n", result.stderr


def test_files_stay_readable() -> None:
    long = {
        path.name: n for _, path in modules() if (n := len(path.read_text().splitlines())) > 400
    }
    assert not long, f"which two things live in them? {long}"


def test_the_root_holds_eight_modules() -> None:
    root = {path.stem for path in (SOURCE / "blemish").glob("*.py")}
    assert root == {
        *("__init__", "detector", "inspector", "results", "errors"),
        *("_files", "_names", "_progress"),
        "__main__",  # for python -m blemish, three lines
    }


def test_no_package_does_work_when_it_is_opened() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)
    working = {
        f"{path.parent.name}: {ast.unparse(node)[:60]}"
        for _, path in modules()
        if path.name == "__init__.py" and path.parent.name != "blemish"
        for node in parsed(path).body
        if not isinstance(node, allowed)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) != "__all__")
    }
    assert not working


def test_the_demo_line_is_apart() -> None:
    users = {
        module
        for module, path in modules()
        if room(module) != "demo_line"
        and any(name.startswith("blemish.demo_line") for name in imports(path))
    }
    assert users == {"blemish.cli.demo"}


def test_names_of_test_files_are_unique() -> None:
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for module, path in modules():
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(module)
    assert not {name: where for name, where in found.items() if len(where) > 1}
