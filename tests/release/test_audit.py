"""The dependency audit finds what an advisory names, and nothing beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "audit.py"


def advisory(name: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    package = {"ecosystem": more.pop("ecosystem", "PyPI"), "name": name}
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    entry = {"package": package, "ranges": ranges, "versions": more.pop("versions", [])}
    return {"id": "X-1", "summary": "a hole", "affected": [entry], **more}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (advisory("Some_Package", {"introduced": "0"}, {"fixed": "2.0"}), 1),
        (advisory("some.package", {"introduced": "0"}, {"fixed": "1.5"}), 0),
        (advisory("some-package", {"introduced": "1.6"}), 0),
        (advisory("some-package", {"introduced": "0"}, {"last_affected": "1.5"}), 1),
        (advisory("some-package", {"introduced": "0"}, {"fixed": "1"}, {"introduced": "1.2"}), 1),
        (advisory("some-package", versions=["1.5"]), 1),
        (advisory("other", {"introduced": "0"}), 0),
        (advisory("some-package", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"), 2),
        (advisory("some-package", {"introduced": "0"}, ecosystem="npm"), 2),
    ],
)
def test_an_advisory_is_read_as_osv_means_it(
    said: dict[str, Any], code: int, tmp_path: Path
) -> None:
    listed = {"components": [{"name": "some-package", "version": "1.5"}]}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "advisories").mkdir()
    (tmp_path / "advisories" / "X-1.json").write_text(json.dumps(said))
    words = [sys.executable, PROGRAM, tmp_path / "list.json", tmp_path / "advisories"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended
    assert ("some-package 1.5: X-1: a hole" in ended.stdout) == (code == 1)
