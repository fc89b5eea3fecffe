"""``rows.jsonl`` after kills, power cuts and careless hands, and without the machine's folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blemish.benchmark.rows import ResultFile, read_lines, without_paths
from blemish.errors import ConfigError, DataError


def filled(folder: Path, *runs: str) -> Path:
    with ResultFile.open(folder) as file:
        for run in runs:
            file.append({"run": run, "status": "done", "rows": [{"category": "nut"}]})
    return folder / "rows.jsonl"


def names(folder: Path) -> list[str]:
    return [line["run"] for line in read_lines(folder)]


def test_every_cut_of_the_last_line_is_mended(tmp_path: Path) -> None:
    path = filled(tmp_path, "a", "b")
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert names(tmp_path) == ["a"]  # reading alone passes over it
        with ResultFile.open(tmp_path) as file:
            assert file["b"] is None
            file.append({"run": "c", "status": "done", "rows": []})
        assert names(tmp_path) == ["a", "c"]


def test_a_last_line_of_zeros_is_mended(tmp_path: Path) -> None:
    # What some file systems leave after a power cut.
    path = filled(tmp_path, "a")
    with path.open("ab") as file:
        file.write(b"\0" * 40)
    filled(tmp_path, "b")
    assert names(tmp_path) == ["a", "b"]


def test_a_damaged_line_before_the_last_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = filled(tmp_path, "a", "b")
    path.write_bytes(b'{"run": "a", \n' + path.read_bytes())
    with pytest.raises(DataError, match=r"line 1 is damaged.*Delete that line"):
        read_lines(tmp_path)


def test_a_run_has_one_line(tmp_path: Path) -> None:
    path = filled(tmp_path, "a", "b")
    with ResultFile.open(tmp_path) as file:
        file.append({"run": "a", "status": "failed", "rows": []})
    assert [(line["run"], line["status"]) for line in read_lines(tmp_path)] == [
        ("b", "done"),
        ("a", "failed"),
    ]
    assert path.read_bytes().count(b"\n") == 2


def test_any_text_stays_on_one_line(tmp_path: Path) -> None:
    odd = "two\nlines\r, \u2028 and a lone \udc80"
    with ResultFile.open(tmp_path) as file:
        file.append({"run": "a", "error": odd})
    assert read_lines(tmp_path)[0]["error"] == odd
    assert len((tmp_path / "rows.jsonl").read_bytes().splitlines()) == 1


def test_two_benchmarks_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with (
        ResultFile.open(tmp_path),
        pytest.raises(ConfigError, match="Another benchmark is writing"),
        ResultFile.open(tmp_path),
    ):
        pass
    with ResultFile.open(tmp_path):  # and the folder is free again
        pass


def test_lines_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"run": "a", "schema": 99}) + "\n")
    with pytest.raises(DataError, match="newer blemish"):
        read_lines(tmp_path)


def test_a_folder_without_rows_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected the folder given as --out"):
        read_lines(tmp_path)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("Cannot read /mnt/set/a/1.png.", "Cannot read nuts/a/1.png."),
        ("in /mnt/set: no images", "in nuts: no images"),
        ("/mnt/set2/a.png", "a.png"),
        ("found '/opt/x/y/lib.so' (expected /opt/z/q)", "found 'lib.so' (expected q)"),
        ("~/models/w.pth is missing", "w.pth is missing"),
        (r"C:\Users\me\w.pth is missing", "w.pth is missing"),
        ("good/ or ok/, 3/4 of 1e-3 and a/b/c.png", "good/ or ok/, 3/4 of 1e-3 and a/b/c.png"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
    ],
)
def test_folders_of_the_machine_are_left_out(text: str, public: str) -> None:
    assert without_paths(text, root=Path("/mnt/set"), name="nuts") == public


def test_an_ordinary_word_is_no_root() -> None:
    assert without_paths("No data in data.", root=Path("data"), name="nuts") == "No data in data."
