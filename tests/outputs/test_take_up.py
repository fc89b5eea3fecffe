"""What an earlier run wrote is read back, whatever state it was left in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish.data.sample import Sample
from blemish.errors import ConfigError
from blemish.outputs.csv_jsonl import CsvSink, JsonLinesSink
from blemish.outputs.lines import LineSink
from blemish.outputs.resume import take_up
from blemish.outputs.tally import Tally
from blemish.results import Branch, Prediction, Region


def prediction(name: str, score: float = 0.1 + 0.2) -> Prediction:
    return Prediction(
        Path(name), "nut", score, np.zeros((4, 4), np.float32), 0.01, "defect",
        {"logical": Branch(99.5, verdict="ok")}, None,
        (Region((1, 2, 3, 4), 4, 1.5), Region((0, 0, 1, 1), 1, 0.5)),
    )  # fmt: skip


def sinks(folder: Path, model: str = "ab" * 32) -> list[LineSink]:
    return [
        CsvSink(folder / "o.csv", branches=("logical",), model=model, append=True),
        JsonLinesSink(folder / "o.jsonl", model=model, append=True),
    ]


def write(sink: LineSink, *names: str) -> None:
    with sink:
        for name in names:
            sink.write(prediction(name))


ODD = ("a,b.png", 'quo"te.png', "line\nbreak.png", "stra\udcdfe.png", "cr\r.png", "ü.png")


@pytest.mark.parametrize("which", [0, 1])
def test_every_name_is_found_again(which: int, tmp_path: Path) -> None:
    write(sinks(tmp_path)[which], *ODD)
    before = sinks(tmp_path)[which].path.read_bytes()
    tally = Tally()
    done = take_up([sinks(tmp_path)[which]], tally)
    assert all(done.take(Path(name)) for name in ODD)
    assert not any(done.take(Path(name)) for name in ODD)
    assert sinks(tmp_path)[which].path.read_bytes() == before
    first = tally.worst()[0]
    assert (first.verdict, first.p_value, first.score, first.areas) == (
        "defect",
        0.01,
        0.1 + 0.2,
        2,
    )
    assert (first.product, first.branches) == ("nut", {"logical": Branch(99.5, verdict="ok")})


@pytest.mark.parametrize("which", [0, 1])
def test_cut_anywhere_the_file_is_whole_again(which: int, tmp_path: Path) -> None:
    names = ["1.png", "line\nbreak.png", "3.png"]
    sink = sinks(tmp_path)[which]
    write(sink, *names)
    whole = sink.path.read_bytes()
    for length in range(0, len(whole), 3):
        sink.path.write_bytes(whole[:length])
        again = sinks(tmp_path)[which]
        done = take_up([again], Tally())
        write(again, *(name for name in names if not done.take(Path(name))))
        assert sink.path.read_bytes() == whole, length
    sink.path.write_bytes(whole[:-5] + b"\0" * 40)  # as some file systems fill the end
    again = sinks(tmp_path)[which]
    done = take_up([again], Tally())
    assert [done.take(Path(name)) for name in names] == [True, True, False]


def test_an_image_is_done_when_both_files_have_it(tmp_path: Path) -> None:
    csv, json = sinks(tmp_path)
    write(csv, "1.png", "2.png", "3.png")
    with json:
        json.write(prediction("1.png"))
        json.fail(Path("2.png"), "the disk was away")
    both = sinks(tmp_path)
    done = take_up(both, tally := Tally())
    samples = [Sample(Path(f"{i}.png"), "", "test", None) for i in (1, 2, 3)]
    finished, left = done.split(samples)
    assert ([s.path.name for s in finished], tally.verdicts["defect"]) == (["1.png"], 1)
    for sink in both:
        write(sink, *(s.path.name for s in left))
        assert [line.judged.path.name for line in sink.read() if line.judged] == [
            "1.png", "2.png", "3.png",
        ]  # fmt: skip


def test_a_name_given_twice_needs_two_rows(tmp_path: Path) -> None:
    csv, _ = sinks(tmp_path)
    write(csv, "1.png")
    twice = [Sample(Path("1.png"), "", "test", None)] * 2
    finished, left = take_up([sinks(tmp_path)[0]], Tally()).split(twice)
    assert (len(finished), len(left)) == (1, 1)


@pytest.mark.parametrize("which", [0, 1])
def test_what_another_model_wrote_is_refused_and_kept(which: int, tmp_path: Path) -> None:
    write(sinks(tmp_path)[which], "1.png")
    before = sinks(tmp_path)[which].path.read_bytes()
    with pytest.raises(ConfigError, match=r"another model or other limits \(abababababab\)"):
        take_up([sinks(tmp_path, "cd" * 32)[which]], Tally())
    assert sinks(tmp_path)[which].path.read_bytes() == before


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("row", ["1.png,nut\n2.png,nut\n", '{"path": 3}\n', "x\n", "{}\n"])
def test_foreign_rows_are_refused_and_kept(which: int, row: str, tmp_path: Path) -> None:
    sink = sinks(tmp_path)[which]
    write(sink, "1.png")
    with sink.path.open("a") as file:
        file.write(row + "\n" + row)
    before = sink.path.read_bytes()
    with pytest.raises(ConfigError, match="Cannot go on with"):
        take_up([sink], Tally())
    assert sink.path.read_bytes() == before


def test_a_device_is_no_file_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no regular file"):
        take_up([JsonLinesSink("/dev/null", append=True)], Tally())
