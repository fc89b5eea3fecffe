"""The folder of results: each picture once, whatever is killed and given again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_runs import assert_same
from PIL import Image

from blemish.distributed.columns import COLUMNS, failed_row
from blemish.distributed.result_folder import Plan, ResultFolder
from blemish.errors import ConfigError, DataError
from forked import ForkServer

dataset = pytest.importorskip("pyarrow.dataset", reason="pyarrow, of blemish[ray], is absent")


def table(folder: Path) -> list[dict[str, Any]]:
    """As a user reads it: the folder as one table."""
    rows: list[dict[str, Any]] = dataset.dataset(folder, format="parquet").to_table().to_pylist()
    return rows


def test_parquet_says_what_csv_says(
    forks: ForkServer, tmp_path: Path, pictures: Path, judging_file: Path, plain_rows: Any
) -> None:
    words = ("predict", judging_file, pictures, "--out", "results", "--maps", "--batch-size", 1)
    result = forks.run(*words, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "2 could not be judged" in result.stdout
    assert "0017.png" in result.stderr
    results = tmp_path / "results"
    parts = sorted(path.name for path in results.glob("*.parquet"))
    assert parts == [f"part-{number:06d}.parquet" for number in range(8)]
    rows = table(results)
    assert_same(rows, plain_rows)
    assert {row["verdict"] for row in rows} >= {"ok", "defect"}
    # A map is of the picture's size, on the scale that stands in it.
    worst = max((row for row in rows if not row["error"]), key=lambda row: row["score"])
    with Image.open(results / worst["map"]) as image:
        low, high = map(float, image.text["blemish"].split())
        values = np.asarray(image)
    assert values.shape == np.asarray(Image.open(worst["path"])).shape[:2]
    peak = worst["regions"][0]["peak"]
    assert values.max() == round(255 * min(1, (peak - low) / (high - low)))

    # The same command again judges nothing; without one of its files it judges that block.
    before = {path.name: path.stat().st_mtime_ns for path in results.iterdir()}
    (results / parts[2]).unlink()
    again = forks.run(*words, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, result.stdout)
    after = {path.name: path.stat().st_mtime_ns for path in results.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {parts[2]}
    assert_same(table(results), plain_rows)


def plan(paths: list[str], **changes: Any) -> Plan:
    return Plan.of(paths, **{"model": "m", "batch_size": 1, **changes})


def test_blocks_hold_each_path_once() -> None:
    paths = [f"{number}.png" for number in range(70)]
    found = list(plan(paths).blocks(paths))
    assert [len(block.paths) for block in found] == [32, 32, 6]
    assert [path for block in found for path in block.paths] == paths
    assert [block.number for block in plan(paths).blocks(paths, done=[1])] == [0, 2]
    assert list(plan([]).blocks([])) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "n"}, "another model or other limits"),
        ({"batch_size": 2}, "--batch-size 1"),
        ({"product": "lid"}, "--product None"),
        ({"maps": True}, "no --maps"),
        ({"paths": ["b.png"]}, "other pictures"),
        ({"paths": ["a.png", "b.png"]}, "1 pictures and not 2"),
    ],
)
def test_another_run_is_not_gone_on_with(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    results = ResultFolder(tmp_path / "out")
    assert results.begin(plan(["a.png"])) == []
    results.write(0, [failed_row(Path("a.png"), ValueError("torn"), "m")])
    assert results.begin(plan(["a.png"])) == [0]
    with pytest.raises(ConfigError, match=said):
        results.begin(plan(changes.pop("paths", ["a.png"]), **changes))


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=r"holds thesis\.txt"):
        ResultFolder(tmp_path / "out").begin(plan(["a.png"]))
    with pytest.raises(ConfigError, match="does not exist"):
        ResultFolder(tmp_path / "no" / "out").begin(plan(["a.png"]))
    with pytest.raises(ConfigError, match="is a file"):
        ResultFolder(tmp_path / "out" / "thesis.txt").begin(plan(["a.png"]))
    (tmp_path / "out" / "_run.json").write_text("[]")
    with pytest.raises(ConfigError, match="not the plan"):
        ResultFolder(tmp_path / "out").begin(plan(["a.png"]))


def test_files_have_one_type_and_the_same_bytes(tmp_path: Path) -> None:
    results = ResultFolder(tmp_path)
    results.begin(plan(["a.png"]))
    rows = [failed_row(Path("a.png"), ValueError("torn\nfile"), "m")]
    for number in (0, 1):
        results.write(number, rows)
    first, second = (tmp_path / results.name(number) for number in (0, 1))
    assert first.read_bytes() == second.read_bytes()
    [row] = results.read(0)
    assert tuple(row) == COLUMNS
    assert (row["error"], row["score"]) == ("torn file", None)
    assert not any("null" in str(field.type) for field in dataset.dataset(first).schema)
    first.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="Remove it"):
        results.read(0)
    assert json.loads((tmp_path / "_run.json").read_text())["pictures"] == 1


def test_options_that_do_not_go_together_are_said(
    forks: ForkServer, tmp_path: Path, judging_file: Path
) -> None:
    def refused(*words: object) -> str:
        result = forks.run("predict", judging_file, tmp_path, *words, cwd=tmp_path)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        return result.stderr

    assert "--out DIR" in refused("--engine", "ray")
    assert "without --csv" in refused("--out", "r", "--csv", "v.csv")
    assert "Did you mean 'ray'?" in refused("--out", "r", "--engine", "rya")
