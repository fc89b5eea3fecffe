"""Pages of the documentation: commands exist, Python runs, the site has no broken link."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from blemish import Detector, demo_line
from blemish.cli.app import app
from brief_detector import CPU, QUIET

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
#: Need a server, or parts with an outline: they run in `test_serving_docs.py` and in
#: `test_aligned_detector.py`, and the examples of the methods' pages in `test_page_examples.py`.
_ELSEWHERE = {"serving.md", "alignment.md"}
_OTHERS = [page for page in PAGES if page.parent.name != "methods" and page.name not in _ELSEWHERE]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[str]:
    text = page.read_text("utf-8")
    return [code for language, code in _BLOCK.findall(text) if language in languages]


def commands(page: Path) -> list[list[str]]:
    """Command lines of ``blemish`` in a page, split as a shell splits them."""
    found = []
    for block in blocks(page, "console", "bash", "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.removeprefix("$ ")
            if not line.startswith("blemish "):  # output may have an apostrophe
                continue
            words = shlex.split(line, comments=True)
            ends = [at for at, word in enumerate(words) if word in ("|", "&&", ">", "2>", "&")]
            found.append(words[1 : min(ends, default=len(words))])
    return found


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_commands_of_the_pages_exist_with_their_options(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for words in commands(page):
        if words == ["…"] or "--help" in words:
            continue
        command, rest = root, words
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        assert command is not root or rest == ["--version"], f"{page.name}: {' '.join(words)}"
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known | {"-h", "--help"}, f"{page.name}: blemish {' '.join(words)}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, draw_part: Callable[..., Any]) -> Path:
    """The folders and files that pages speak of, small."""
    root = tmp_path_factory.mktemp("pages")
    for folder in ("good_parts", "new_parts", "pictures", "good", "brackets/good", "parts/good"):
        (root / folder).mkdir(parents=True)
        for seed in range(6):
            Image.fromarray(draw_part(seed)).save(root / folder / f"{seed}.png")
    for folder in ("trays", "data/pill"):
        shutil.copytree(root / "parts", root / folder)
    for folder in ("brackets", "data/pill"):
        (root / folder / "test" / "dent").mkdir(parents=True)
        (root / folder / "test" / "good").mkdir()
        for kind in ("good", "dent"):
            spot = draw_part(90)
            spot[20:40, 20:40] = 255 if kind == "dent" else spot[20:40, 20:40]
            Image.fromarray(spot).save(root / folder / "test" / kind / "0.png")
        (root / folder / "train").mkdir()
        (root / folder / "good").rename(root / folder / "train" / "good")
    shutil.copytree(root / "brackets", root / "data" / "mvtec" / "bracket")
    shutil.copytree(root / "good_parts", root / "photos")
    shutil.copytree(root / "good_parts", root / "line" / "lid" / "fine")
    shutil.copytree(root / "brackets" / "test" / "dent", root / "line" / "lid" / "stained")
    shutil.copytree(root / "line" / "lid" / "stained", root / "drawn" / "lid")
    for name in ("a.png", "b.png", "part.png"):
        shutil.copy(root / "good_parts" / "0.png", root / name)
    Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), (0, 56))).save(root / "date.png")
    (root / "roi.json").write_text(
        '{"width": 64, "height": 64, "look": [{"rectangle": [4, 4, 60, 60]}]}'
    )
    model = Detector(image_size=64).fit(root / "good_parts", training=CPU, progress=QUIET)
    for name in ("parts", "brackets", "part-onnx", "pill", "line3"):
        model.save(root / f"{name}.blemish")
    (root / "results").mkdir()
    if find_spec("pyarrow") is not None:
        import pyarrow as pa
        from pyarrow import parquet

        rows = pa.table({"path": ["a.png"], "verdict": ["ok"], "score": [0.5]})
        parquet.write_table(rows, root / "results" / "part-000000.parquet")
    return root


@pytest.mark.parametrize(
    "page",
    [page for page in [ROOT / "README.md", *_OTHERS] if blocks(page, "python")],
    ids=lambda page: page.stem,
)
def test_python_of_the_pages_runs(
    page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.name == "scale.md":  # shows how results are read
        pytest.importorskip("pyarrow")
    here = tmp_path / "here"
    shutil.copytree(world, here)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    few = dict.fromkeys(("train", "validation", "test_good", "defects_per_kind"), 1)
    monkeypatch.setattr(demo_line, "write_demo_line", partial(demo_line.write_demo_line, **few))
    rng = np.random.default_rng(0)
    names: dict[str, Any] = {
        "Path": Path,
        "detector": Detector(image_size=64),
        "frame": np.zeros((64, 64, 3), np.uint8),
        "scores": [0.1, 0.2, 0.9, 0.3],
        "labels": [0, 0, 1, 1],
        "maps": rng.random((2, 8, 8), np.float32),
        "masks": rng.random((2, 8, 8)) > 0.7,
    }
    for code in blocks(page, "python"):
        if not code.lstrip().startswith(">>>"):  # those are doctests, which run as such
            exec(compile(code.replace('"/drawn', f'"{here}/drawn'), str(page), "exec"), names)


def test_python_that_is_not_run_has_no_syntax_error() -> None:
    for page in PAGES:
        for code in blocks(page, "python"):
            if not code.lstrip().startswith(">>>"):
                compile(code, str(page), "exec")


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the site needs the extra docs")
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    pages = {p.relative_to(tmp_path / "site").as_posix() for p in tmp_path.rglob("*.html")}
    assert {"index.html", "choosing.html", "api/detector.html", "methods/trio.html"} <= pages
    detector = (tmp_path / "site" / "api" / "detector.html").read_text("utf-8")
    assert "predict" in detector
    for page in tmp_path.rglob("*.html"):  # no request leaves the reader's machine
        loads = r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?https?:"
        assert not re.search(loads, page.read_text("utf-8")), page.name
    assert (tmp_path / "site" / "javascripts" / "iframe-worker.js").is_file()
