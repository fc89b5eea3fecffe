from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from judged import prediction

from blemish.errors import ConfigError, ImageError
from blemish.outputs.csv_jsonl import CsvSink, JsonLinesSink
from blemish.outputs.lines import LineSink
from blemish.results import Branch, Prediction


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def json_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# CSV


def test_csv_holds_everything_in_full_precision(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", branches=("structural", "logical")) as sink:
        sink.write(prediction('odd, "name"\n.png'))
    (row,) = csv_rows(tmp_path / "out.csv")
    assert row == {
        "path": 'odd, "name"\n.png', "product": "nut", "verdict": "defect",
        "score": "0.30000000000000004", "p_value": "0.01", "times_limit": "1.25",
        "branch_structural": "0.5", "branch_structural_verdict": "ok",
        "branch_structural_times_limit": "0.25",
        "branch_logical": "99.5", "branch_logical_verdict": "defect",
        "branch_logical_times_limit": "3.5",
        "look_left": "2", "look_top": "0", "look_right": "4", "look_bottom": "2",
        "n_regions": "2",
        "region_left": "1", "region_top": "2", "region_right": "3", "region_bottom": "4",
        "region_area": "4", "region_peak": "1.5", "region_times_limit": "2.5",
        "error": "",
    }  # fmt: skip


def test_csv_leaves_the_unknown_empty(tmp_path: Path) -> None:
    bare = Prediction(None, None, 1.0, np.zeros((2, 2), np.float32))
    with CsvSink(tmp_path / "out.csv") as sink:
        sink.write(bare)
    (row,) = csv_rows(tmp_path / "out.csv")
    assert {k for k, v in row.items() if v} == {"score", "n_regions"}


def test_csv_refuses_a_branch_without_a_column(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "out.csv", branches=("structural",))
    with sink, pytest.raises(ConfigError, match=r"\['logical'\].*branches=\['logical', 'struct"):
        sink.write(prediction())
    assert csv_rows(tmp_path / "out.csv") == []


# JSON lines


def test_json_holds_all_regions_and_branches(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "out.jsonl") as sink:
        sink.write(prediction())
    assert json_rows(tmp_path / "out.jsonl") == [
        {
            "path": str(Path("a/1.png")), "product": "nut", "verdict": "defect",
            "score": 0.1 + 0.2, "p_value": 0.01, "times_limit": 1.25,
            "branches": {
                "structural": {
                    "score": 0.5, "p_value": 0.5, "verdict": "ok", "times_limit": 0.25,
                },
                "logical": {
                    "score": 99.5, "p_value": 0.01, "verdict": "defect", "times_limit": 3.5,
                },
            },
            "regions": [
                {"box": [1, 2, 3, 4], "area": 4, "peak": 1.5, "times_limit": 2.5},
                {"box": [0, 0, 1, 1], "area": 1, "peak": 0.5, "times_limit": None},
            ],
            "explanation": {"branch": "logical", "box": [2, 0, 4, 2], "sentence": "Look there."},
        }
    ]  # fmt: skip


def test_json_says_by_which_limits_it_was_judged(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "out.jsonl") as sink:
        sink.write(prediction(calibration="0a9cfab44001"))
    assert json_rows(tmp_path / "out.jsonl")[0]["calibration"] == "0a9cfab44001"


def test_json_without_calibration_has_branch_scores_only(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "out.jsonl") as sink:
        sink.write(prediction(branches={"logical": Branch(np.float32(0.5))}))
    assert json_rows(tmp_path / "out.jsonl")[0]["branches"] == {"logical": {"score": 0.5}}


def test_a_score_that_is_no_number_is_an_error_and_still_valid_json(tmp_path: Path) -> None:
    broken = prediction(score=math.nan, verdict=None, branches={"logical": Branch(math.inf)})
    with (
        JsonLinesSink(tmp_path / "o.jsonl") as lines,
        CsvSink(tmp_path / "o.csv", branches=["logical"]) as table,
    ):
        lines.write(broken)
        table.write(broken)
    (row,) = json_rows(tmp_path / "o.jsonl")
    assert (row["score"], row["error"]) == (None, "the score is nan")
    assert row["branches"] == {"logical": {"score": None}}
    assert csv_rows(tmp_path / "o.csv")[0]["error"] == "the score is nan"


# What both do


@pytest.fixture(params=["csv", "jsonl"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> LineSink:
    if request.param == "csv":
        return CsvSink(tmp_path / "out.csv", branches=("structural", "logical"))
    return JsonLinesSink(tmp_path / "out.jsonl")


def rows(sink: LineSink) -> list[dict]:
    return (csv_rows if isinstance(sink, CsvSink) else json_rows)(sink.path)


def test_every_line_is_whole_in_the_file_at_once(sink: LineSink) -> None:
    with sink:
        for count in range(1, 4):
            sink.write(prediction(f"{count}.png"))
            assert sink.path.read_bytes().endswith(b"\n")
            assert [row["path"] for row in rows(sink)] == [f"{i + 1}.png" for i in range(count)]


def test_failures_are_rows_too(sink: LineSink) -> None:
    with sink:
        sink.fail(Path("bad.png"), ImageError("bad.png is cut\nshort"))
        sink.write(prediction("good.png"))
        sink.fail(Path("odd.png"), ValueError())
    bad, good, odd = rows(sink)
    assert (bad["path"], bad["error"]) == ("bad.png", "bad.png is cut short")
    assert not good.get("error")
    assert odd["error"] == "ValueError"


def test_what_was_written_survives_an_error(sink: LineSink) -> None:
    def run() -> None:
        with sink:
            sink.write(prediction("1.png"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [row["path"] for row in rows(sink)] == ["1.png"]


class FullDisk(io.FileIO):
    """Takes five bytes of each write, and nothing beyond a given size."""

    room = 10_000

    def write(self, data) -> int:
        if self.tell() + 5 > self.room:
            raise OSError(28, "No space left on device")
        return super().write(bytes(data)[:5])


def test_a_line_cut_short_is_taken_back(sink: LineSink) -> None:
    with sink:
        sink._file = FullDisk(sink.path, "r+")
        sink._file.seek(0, 2)
        sink.write(prediction("1.png"))  # in pieces of five bytes
        whole = sink.path.read_bytes()
        sink._file.room = len(whole) + 12
        with pytest.raises(OSError, match="No space"):
            sink.write(prediction("2.png"))
        assert sink.path.read_bytes() == whole
        sink._file.room = 10_000
        sink.write(prediction("3.png"))
    assert [row["path"] for row in rows(sink)] == ["1.png", "3.png"]


def test_a_name_that_is_no_utf8_keeps_its_row(sink: LineSink) -> None:
    with sink:
        sink.write(prediction("stra\udcdfe/ü.png"))
    (row,) = rows(sink)
    assert row["path"].endswith("ü.png")
    if isinstance(sink, JsonLinesSink):
        assert row["path"] == "stra\udcdfe/ü.png"  # reads back as the same file name


@pytest.mark.parametrize("kind", [CsvSink, JsonLinesSink])
def test_a_missing_folder_is_refused_with_the_remedy(kind: type, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing does not exist\. Create it"), \
            kind(tmp_path / "missing" / "out"):  # fmt: skip
        pytest.fail("the body must not run")
    with pytest.raises(ConfigError, match="Cannot write"), kind(tmp_path):
        pytest.fail("the body must not run")
    assert list(tmp_path.iterdir()) == []


def test_constructors_touch_nothing_and_writing_needs_with(sink: LineSink) -> None:
    assert not sink.path.exists()
    with pytest.raises(RuntimeError, match="with statement"):
        sink.write(prediction())
