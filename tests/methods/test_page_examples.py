"""Every method's page ends with a whole example that runs as it stands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

_PAGES = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(path.stem for path in _PAGES.glob("*.md")))
def test_the_example_runs_as_it_stands(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (_PAGES / f"{name}.md").read_text(encoding="utf-8")
    section = page.partition("\n## A whole example\n")[2]  # figures may be generated behind it
    code = section.partition("```python\n")[2].partition("\n```\n")[0]
    assert 15 <= len(code.splitlines()) <= 25
    assert f'Detector("{name}"' in code
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"{name}.md", "exec"), {"__name__": "example"})
    said = capsys.readouterr().out
    assert len(re.findall(r"\b(ok|unsure|defect)\b", said)) >= 4  # what is judged, and printed
    assert os.listdir(tmp_path) == []  # noqa: PTH208  an example leaves nothing behind
