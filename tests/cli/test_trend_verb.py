"""``blemish trend``, on what `predict` wrote."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from blemish.errors import ConfigError
from blemish.outputs.rows import read_rows

Result = subprocess.CompletedProcess[str]
COLUMNS = ["path", "product", "verdict", "score", "p_value", "error"]


def write(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def test_trend_rings_when_scores_move_and_not_before(
    tmp_path: Path, judging: dict[str, Path], blemish: Callable[..., Result]
) -> None:
    from blemish import open_model

    calibration = open_model(judging["model"]).calibration
    assert calibration is not None
    product = calibration.groups[0].product
    limit = calibration.limits(product)
    rng = np.random.default_rng(0)
    usual = limit.defect - 5 + rng.normal(size=900) * 0.1

    def rows(scores: np.ndarray, name: str) -> Path:
        return write(
            tmp_path / name,
            [[f"{n:04}.png", "", "ok", s, 0.5, ""] for n, s in enumerate(scores)],
        )

    quiet = blemish("trend", judging["model"], rows(usual, "a.csv"))
    assert quiet.returncode == 0, quiet.stderr
    assert "no sign of a change" in quiet.stdout
    moved = usual.copy()
    moved[500:] += 0.1
    rung = blemish("trend", judging["model"], rows(moved, "b.csv"), "--every", "300")
    assert rung.returncode == 1
    assert "has changed" in rung.stdout
    at = int(rung.stdout.split("at picture ")[1].split(",")[0])
    assert 500 < at < 700
    few = blemish("trend", judging["model"], rows(usual[:50], "c.csv"))
    assert "too few to tell a change by" in few.stdout


def test_a_name_that_holds_another_end_of_line_stays_one_row(tmp_path: Path) -> None:
    name = "a\u2028b\x0b.png"
    table = write(tmp_path / "rows.csv", [[name, "nut", "ok", 1, 0.5, ""]])
    assert [row.path for row in read_rows(table)] == [name]
    cells = {"path": name, "product": None, "verdict": "ok", "score": 1.0, "p_value": 0.5}
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(cells, ensure_ascii=False) + "\n", "utf-8")
    assert [row.path for row in read_rows(lines)] == [name]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", '{"path": 1\n'])
def test_rows_that_predict_did_not_write_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(ConfigError, match="nothing that `blemish predict` wrote"):
        read_rows(tmp_path / "rows.csv")
    with pytest.raises(ConfigError, match="Cannot read"):
        read_rows(tmp_path / "nowhere.csv")
