"""Every example of the documentation runs."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
from pathlib import Path

import pytest

import blemish

MODULES = [
    "blemish",
    *(
        module.name
        for module in pkgutil.walk_packages(blemish.__path__, "blemish.")
        if not module.name.endswith("__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert os.listdir(tmp_path) == []  # noqa: PTH208  an example leaves nothing behind


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(found) > 90  # the finder finds them; internal functions need none


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "docs").rglob("*.md")), ids=lambda p: p.name
)
def test_examples_of_the_pages(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert result.failed == 0
