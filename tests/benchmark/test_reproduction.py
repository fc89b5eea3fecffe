"""Papers measured end to end on tiny trees in their exact layouts, with a random teacher."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from published_trees import TINY, published_tree

from blemish.benchmark import published_sets, runner
from blemish.benchmark.papers import PAPERS
from blemish.benchmark.plan import RunSpec
from blemish.benchmark.rows import read_lines
from blemish.benchmark.run import failed_line, run_line
from blemish.cli.app import main

Verb = Callable[..., int]
TRYING = ["--teacher", "efficientnet_lite0", "--teacher-weights", "random", "--device", "cpu"]
#: What makes each system small enough to be tried, beside teacher and size.
SMALL = {
    "borad": ("epochs=0.5", "batch_size=4"),
    "hfr": ("steps=2", "batch_size=4"),
    "radar": ("steps=2", "network=small", "patch=32", "timestep=150", "trees=5"),
    "anomem": ("steps=2", "width=16", "blocks=1", "batch_size=4"),
    "logicrd": ("steps=2", "batch_size=4"),
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The published sets are those of the tiny trees, and runs are done in this process."""
    content = copy.deepcopy(dict(published_sets.published()))
    for key, (categories, counts) in TINY.items():
        content["data_sets"][key]["categories"] = {name: list(counts) for name in categories}
    total = [2 * count for count in TINY["real_iad"][1]]
    content["data_sets"]["real_iad"] |= {"categories": {"mint": None, "usb": None}, "totals": total}
    monkeypatch.setattr(published_sets, "published", lambda: content)
    published_sets.published_set.cache_clear()

    def here(run: RunSpec, workplace: dict[str, Any], folder: Path) -> dict[str, Any]:
        return run_line(run, **workplace)

    monkeypatch.setattr(runner, "in_own_process", here)
    yield
    published_sets.published_set.cache_clear()


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Verb:
    def run(name: str, root: Path, *more: str) -> int:
        small = [word for text in SMALL[PAPERS[name].method] for word in ("--set", text)]
        words = ["blemish", "reproduce", name, str(root), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", [*words, *TRYING, "--size", "64", *small, *more])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def result(tmp_path: Path) -> tuple[dict[str, Any], str]:
    content = json.loads((tmp_path / "out" / "reproduction.json").read_text(encoding="utf-8"))
    return content, (tmp_path / "out" / "reproduction.md").read_text(encoding="utf-8")


#: One of each protocol; the layouts of the others are read in tests/data/layouts.
_ALWAYS = ("borad-mvtec", "hfr-mnist", "radar-tile")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in _ALWAYS else pytest.mark.slow) for n in PAPERS]
)
def test_each_paper_end_to_end(
    name: str, verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = PAPERS[name]
    root = published_tree(paper.data_set, tmp_path / "data")
    classes = TINY[paper.data_set][0][:2] if paper.protocol == "one_class" else ()
    some = ["--categories", ",".join(classes)] if classes else []
    assert verb(name, root, *some) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "The data are whole." in said
    assert "Estimated, not measured: one step was counted here" in said
    content, page = result(tmp_path)
    assert content["data"] == []
    assert not content["is_the_papers"]
    assert "**Not the paper's experiment**" in page
    if paper.method != "radar":
        assert "teacher weights random in place of pretrained" in page
    assert any("steps" in text or "epochs" in text for text in content["departures"])
    ours = [row for row in content["rows"] if row["measured"] is not None]
    assert {row["metric"] for row in ours} >= {next(iter(paper.metrics.values()))}
    for row in ours:
        own = row["published"]
        expected = None if own is None else pytest.approx(row["measured"] - float(own))
        assert row["difference"] == expected
    categories = paper.categories or classes or TINY[paper.data_set][0]
    assert set(content["by_category"]) == set(categories)
    assert all(row["categories"] == (len(classes) or None) for row in ours if row["spread"] is None)
    assert ("(of 2 only)" in page) == bool(classes)
    assert str(tmp_path) not in page + json.dumps(content)
    assert f"| {ours[0]['metric']} |" in said


def test_an_interrupted_one_goes_on(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = published_tree("mvtec_loco", tmp_path / "data")
    done: list[str] = []
    whole = runner.in_own_process

    def interrupted(run: RunSpec, *rest: Any) -> dict[str, Any]:
        if done:
            raise KeyboardInterrupt
        done.append(run.title)
        return whole(run, *rest)

    monkeypatch.setattr(runner, "in_own_process", interrupted)
    assert verb("logicrd-loco", root) == 130
    assert len(read_lines(tmp_path / "out")) == 1
    assert not (tmp_path / "out" / "reproduction.json").exists()
    monkeypatch.setattr(runner, "in_own_process", whole)
    capsys.readouterr()
    assert verb("logicrd-loco", root) == 0
    said = capsys.readouterr().out
    assert "1 of 2 runs are there already." in said
    content, page = result(tmp_path)
    assert list(content["by_category"]) == ["pushpins", "screw_bag"]
    (row,) = (row for row in content["rows"] if row["published"] and row["measured"] is not None)
    assert (row["metric"], row["published"]) == ("image AUROC", "83.8")
    assert row["difference"] == pytest.approx(row["measured"] - 83.8)
    assert "| EfficientAD-S | image AUROC | 90.0 | – | – |" in page


@pytest.mark.parametrize("failing", [("screw_bag",), ("pushpins", "screw_bag")])
def test_runs_without_figures_are_said(
    failing: tuple[str, ...],
    verb: Verb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = runner.in_own_process

    def some_fail(run: RunSpec, *rest: Any) -> dict[str, Any]:
        if run.unit.categories[0] in failing:
            return failed_line(run, "No memory was left.")
        return whole(run, *rest)

    monkeypatch.setattr(runner, "in_own_process", some_fail)
    assert verb("logicrd-loco", published_tree("mvtec_loco", tmp_path / "data")) == 2
    error = capsys.readouterr().err
    assert "screw_bag · seed 0: No memory was left." in error
    if len(failing) == 2:
        assert "No run gave figures" in error
        assert not (tmp_path / "out" / "reproduction.json").exists()
        return
    content, page = result(tmp_path)
    assert list(content["by_category"]) == ["pushpins"]
    assert "- No figures for logicrd · mvtec_loco · per_category · screw_bag" in page


def test_data_that_are_not_whole_are_refused_and_named(
    verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = published_tree("mvtec_ad", tmp_path / "data")
    shutil.rmtree(root / "tile")
    (root / "bottle" / "train" / "good" / "000.png").unlink()
    (root / "bottle" / "ground_truth" / "crack" / "001_mask.png").unlink()
    shutil.copytree(root / "bottle", root / "jar")
    assert verb("borad-mvtec", root) == 2
    error = capsys.readouterr().err
    for text in (
        "These data are not the published MVTec AD:",
        "1 of 2 categories are missing: tile.",
        "bottle: 11 good training images, published are 12: 1 missing.",
        "bottle: 1 of 2 defective images lack a mask.",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad",
        "give --partial",
    ):
        assert text in error
    assert not (tmp_path / "out").exists()

    assert verb("borad-mvtec", root, "--partial") == 0
    said = capsys.readouterr().out
    assert "Takes no part: jar." in said
    content, page = result(tmp_path)
    assert list(content["by_category"]) == ["bottle"]
    assert content["departures"][0] == "1 of 2 categories: bottle"
    assert "- Not the published data: 1 of 2 categories are missing: tile." in page


def test_the_list_missing_images_of_real_iad_are_counted(
    verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = published_tree("real_iad", tmp_path / "data")
    next((root / "realiad_1024" / "mint" / "OK").rglob("*.jpg")).unlink()
    assert verb("borad-realiad", root, "--check") == 2
    error = capsys.readouterr().err
    assert "All together: 7 good training images, published are 8: 1 missing." in error
    assert "mint: 1 images named in mint.json are not below" in error


def test_a_check_measures_nothing(
    verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = published_tree("mvtec_ad", tmp_path / "data")
    assert verb("radar-tile", root, "--check") == 0
    said = capsys.readouterr().out
    assert "To expect: " in said
    assert "GiB of GPU memory" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "key", "more", "message"),
    [
        ("borad-visa", "mvtec_ad", [], "holds none of VisA's categories candle, pcb1"),
        ("hfr-mnist", "mvtec_ad", [], "is of the layout mvtec_ad, and MNIST is in mnist"),
        ("hfr-mnist", "mnist", ["--categories", "11"], "Unknown category '11'"),
    ],
)
def test_wrong_data_and_wrong_names(
    name: str,
    key: str,
    more: list[str],
    message: str,
    verb: Verb,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verb(name, published_tree(key, tmp_path / "data"), *more) == 2
    assert message in capsys.readouterr().err
