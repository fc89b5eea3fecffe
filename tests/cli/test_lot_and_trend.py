"""``blemish lot`` and ``blemish trend``, on what `predict` wrote."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Result = subprocess.CompletedProcess[str]
HEAD = "path,product,verdict,score,p_value\n"
ONE = HEAD + "a.png,,ok,1,0.5\n"
COLUMNS = ["path", "product", "verdict", "score", "p_value", "error"]


def write(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def test_views_of_a_part_are_judged_together_and_a_lot_as_a_whole(
    tmp_path: Path, blemish: Callable[..., Result]
) -> None:
    good = [
        [f"x/part{n}_{view}.png", "nut", "ok", 0, 0.4 + 0.01 * view, ""]
        for n in range(8)
        for view in (1, 2)
    ]
    bad = [
        ["x/part8_1.png", "nut", "defect", 9, 0.001, ""],
        ["x/part8_2.png", "nut", "ok", 1, 0.8, ""],
    ]
    failed = [["x/part9_1.png", "", "", "", "", "cut short"]]
    rows = write(tmp_path / "rows.csv", [*good, *bad, *failed])
    ended = blemish("lot", rows, "--part-id", "(part[0-9]+)_", "--csv", "parts.csv")
    assert ended.returncode == 1, ended.stderr
    assert "part8: p = 0.002, 2 view(s)" in ended.stdout
    assert "9 parts of 18 pictures: 1 called defective" in ended.stdout
    table = (tmp_path / "parts.csv").read_text().splitlines()
    assert table[0] == "part,views,p_value,verdict"
    assert table[-1] == "part8,2,0.002,defect"
    assert len(table) == 10


def test_a_lot_too_large_for_its_p_values_is_told_so(
    tmp_path: Path, blemish: Callable[..., Result]
) -> None:
    rows = [[f"{n}.png", "", "ok", 0, 0.05, ""] for n in range(3)]
    rows += [[f"g{n}.png", "", "ok", 0, 0.9, ""] for n in range(200)]
    ended = blemish("lot", write(tmp_path / "rows.csv", rows))
    assert ended.returncode == 0
    assert "0 called defective" in ended.stdout
    assert "more good" in ended.stdout


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("a,b\n1,2\n", (), "nothing that `blemish predict` wrote"),
        ('{"path": 1\n', (), "nothing that `blemish predict` wrote"),
        (HEAD + "a.png,,ok,1,\n", (), "has no p-value"),
        (ONE, ("--part-id", "("), "no regular"),
        (ONE, ("--part-id", "q"), "finds no part"),
        (ONE, ("--fdr", "0"), "is no rate"),
        (HEAD, (), "holds no picture"),
    ],
)
def test_what_is_no_lot_is_refused_in_a_sentence(
    tmp_path: Path,
    blemish: Callable[..., Result],
    refused: Callable[[Result], str],
    content: str,
    options: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    assert said in refused(blemish("lot", "rows.csv", *options))
    assert "Cannot read" in refused(blemish("lot", "nowhere.csv"))


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
    from blemish.outputs.rows import read_rows

    name = "a\u2028b\x0b.png"
    table = write(tmp_path / "rows.csv", [[name, "nut", "ok", 1, 0.5, ""]])
    assert [row.path for row in read_rows(table)] == [name]
    cells = {"path": name, "product": None, "verdict": "ok", "score": 1.0, "p_value": 0.5}
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(cells, ensure_ascii=False) + "\n", "utf-8")
    assert [row.path for row in read_rows(lines)] == [name]
