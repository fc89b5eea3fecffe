"""The demo line on disk: layout, ground truth, repeatability and what is never overwritten."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.demo_line import (
    DEFECTS,
    PRODUCTS,
    render,
    write_demo_line,
)
from blemish.demo_line import line as demo
from blemish.errors import ConfigError, DataError

SMALL: dict[str, Any] = {
    "size": 64,
    "train": 2,
    "validation": 1,
    "test_good": 1,
    "defects_per_kind": 2,
}


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "line"
    return write_demo_line(root, **{**SMALL, "defects_per_kind": 10})


def test_layout_is_that_of_mvtec_loco(line: Path) -> None:
    assert {p.name for p in line.iterdir()} == {*PRODUCTS, demo.RECORD}
    for product in PRODUCTS:
        folder = line / product
        groups = set(DEFECTS[product].values())
        kinds = {f"{group}_anomalies" for group in groups}
        assert {p.name for p in folder.iterdir()} == {
            "train", "validation", "test", "ground_truth", "defects_config.json",
        }  # fmt: skip
        assert [p.name for p in (folder / "train").iterdir()] == ["good"]
        assert sorted(p.name for p in (folder / "train" / "good").iterdir()) == [
            "000.png",
            "001.png",
        ]
        assert len(list((folder / "validation" / "good").iterdir())) == 1
        assert {p.name for p in (folder / "test").iterdir()} == {"good", *kinds}
        assert {p.name for p in (folder / "ground_truth").iterdir()} == kinds
    assert not (line / "metal" / "test" / "logical_anomalies").exists()


def test_every_bad_picture_has_ground_truth_with_configured_values(line: Path) -> None:
    for product in PRODUCTS:
        config = json.loads((line / product / "defects_config.json").read_text())
        by_value = {entry["pixel_value"]: entry for entry in config}
        assert len(by_value) == len(config) == len(DEFECTS[product])
        seen = set()
        for kind in (p.name for p in (line / product / "ground_truth").iterdir()):
            for picture in (line / product / "test" / kind).iterdir():
                truths = sorted((line / product / "ground_truth" / kind / picture.stem).iterdir())
                assert [t.name for t in truths] == [f"{i:03d}.png" for i in range(len(truths))]
                assert truths
                for truth in truths:
                    image = Image.open(truth)
                    assert image.mode == "L"
                    assert image.size == Image.open(picture).size == (64, 64)
                    values = set(np.unique(np.asarray(image)).tolist()) - {0}
                    assert len(values) == 1
                    entry = by_value[values.pop()]
                    seen.add(entry["defect_name"])
                    if not entry["relative_saturation"]:
                        area = int((np.asarray(image) > 0).sum())
                        assert 0 < entry["saturation_threshold"] < area
        assert seen == set(DEFECTS[product])  # ten of each kind show every defect


def test_same_seed_same_bytes_and_another_seed_other_pictures(tmp_path: Path) -> None:
    a, b, c = (
        write_demo_line(tmp_path / name, **SMALL, seed=seed)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert digests(a) == digests(b)
    first, other = digests(a), digests(c)
    pictures = [name for name in first if "/train/" in name or "/test/" in name]
    assert pictures
    assert all(first[name] != other[name] for name in pictures)
    assert len({first[name] for name in pictures}) == len(pictures)  # no picture comes twice


def test_a_larger_line_begins_with_the_pictures_of_a_smaller_one(tmp_path: Path) -> None:
    small = write_demo_line(tmp_path / "s", **SMALL, products=["tray"])
    grown_counts = {**SMALL, "train": 4, "validation": 2, "test_good": 3, "defects_per_kind": 3}
    large = write_demo_line(tmp_path / "l", **grown_counts, products=["metal", "tray"])
    few, many = digests(small), digests(large)
    few.pop(demo.RECORD)
    assert few.items() <= many.items()
    assert len(many) > len(few)


def test_a_complete_line_is_left_alone(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "render", lambda *a, **k: pytest.fail("rendered again"))
    before = digests(line)
    assert write_demo_line(line, **{**SMALL, "defects_per_kind": 10}) == line
    assert digests(line) == before


def test_another_line_or_other_files_are_not_overwritten(line: Path, tmp_path: Path) -> None:
    before = digests(line)
    with pytest.raises(DataError, match="seed 0 instead of 9"):
        write_demo_line(line, **{**SMALL, "defects_per_kind": 10}, seed=9)
    assert digests(line) == before
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="not a demo line"):
        write_demo_line(tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return render(*args, **kwargs)

    monkeypatch.setattr(demo, "render", interrupted)
    some = {**SMALL, "products": ["metal"]}
    with pytest.raises(KeyboardInterrupt):
        write_demo_line(tmp_path / "line", **some)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert (write_demo_line(tmp_path / "line", **some) / demo.RECORD).is_file()


def test_an_empty_folder_may_become_the_line(tmp_path: Path) -> None:
    write_demo_line(tmp_path, **SMALL, products=["metal"])
    record = json.loads((tmp_path / demo.RECORD).read_text())
    assert record["synthetic"] is True
    assert record["products"] == ["metal"]


def test_counts_and_products_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train is -1"):
        write_demo_line(tmp_path / "x", **{**SMALL, "train": -1})
    with pytest.raises(ConfigError, match="No product"):
        write_demo_line(tmp_path / "x", **SMALL, products=[])
    with pytest.raises(ConfigError, match="makes no product 'screw'"):
        write_demo_line(tmp_path / "x", **SMALL, products=["screw"])
    assert not (tmp_path / "x").exists()


def test_the_renderer_stands_apart() -> None:
    """Nothing of the product may come to rest on it, nor it on more than errors."""
    package = Path(demo.__file__).parents[1]
    used = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "blemish.demo_line" in path.read_text(encoding="utf-8")
    }
    assert {path for path in used if not path.startswith("demo_line/")} == {"cli/demo.py"}
    inside = "".join(p.read_text(encoding="utf-8") for p in (package / "demo_line").glob("*.py"))
    assert set(re.findall(r"from blemish\.(\w+)", inside)) == {"demo_line", "errors"}
