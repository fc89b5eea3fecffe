"""Every method's page ends with a whole example that runs as it stands."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from blemish.methods.registry import _OWN, method_class
from blemish.methods.settings import parse_settings

_PAGES = Path(__file__).parents[2] / "docs" / "methods"
_NAMES = sorted(_OWN)


def example(name: str) -> str:
    page = (_PAGES / f"{name}.md").read_text(encoding="utf-8")
    section = page.partition("\n## A whole example\n")[2]  # figures may be generated behind it
    return section.partition("```python\n")[2].partition("\n```\n")[0]


@pytest.mark.parametrize("name", _NAMES)
def test_there_is_one_of_that_method_and_names_what_is_there(name: str) -> None:
    code = example(name)
    assert 15 <= len(code.splitlines()) <= 25
    assert f'Detector("{name}"' in code
    imports = [line for line in code.splitlines() if line.startswith(("from ", "import "))]
    exec("\n".join(imports), {})
    stated = re.search(r"settings ?= ?(\{.*?\})", code, re.DOTALL)
    if stated:
        parse_settings(method_class(name).config_class, ast.literal_eval(stated[1]))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", _NAMES)
def test_the_example_runs_as_it_stands(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example(name), f"{name}.md", "exec"), {"__name__": "example"})
    said = capsys.readouterr().out
    assert len(re.findall(r"\b(ok|unsure|defect)\b", said)) >= 4  # what is judged, and printed
    assert os.listdir(tmp_path) == []  # noqa: PTH208  an example leaves nothing behind
