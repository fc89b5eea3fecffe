"""``--send`` of predict: each verdict to its target, and the documented schema."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.delivery.message import Message

DOCS = Path(__file__).parents[2] / "docs"
Result = subprocess.CompletedProcess[str]


def test_the_documented_schema_is_that_of_the_messages() -> None:
    documented = json.loads((DOCS / "verdict.schema.json").read_text("utf-8"))
    assert documented == Message.model_json_schema()


def test_predict_sends_each_verdict_before_it_ends(
    tmp_path: Path, judging: dict[str, Path], blemish: Callable[..., Result]
) -> None:
    out = tmp_path / "out"
    words = ("predict", judging["model"], judging["ok"], judging["defect"])
    ended = blemish(*words, "--send", f"folder:{out}#overlay=1", "--csv", "rows.csv")
    assert ended.returncode == 1, ended.stderr
    messages = [Message.model_validate_json(f.read_text()) for f in sorted(out.rglob("*.json"))]
    rows = (tmp_path / "rows.csv").read_text("utf-8").splitlines()[1:]
    assert len(messages) == len(rows) == len(list(out.rglob("*.jpg")))
    assert {m.verdict for m in messages} >= {"ok", "defect"}
    assert all(m.model == judging["model"].name for m in messages)


@pytest.mark.parametrize(
    ("target", "said"),
    [("ftp://x", "is no target"), ("https://x/#verdict=bad", "verdict"), ("mqtt://x", "no topic")],
)
def test_a_target_that_is_none_is_refused_before_anything_is_judged(
    judging: dict[str, Path],
    blemish: Callable[..., Result],
    refused: Callable[[Result], str],
    target: str,
    said: str,
) -> None:
    ended = blemish("predict", judging["model"], judging["ok"], "--send", target)
    assert said in refused(ended)
    assert "Judging" not in ended.stderr
