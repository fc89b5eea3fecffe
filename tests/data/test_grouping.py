"""Groups from names, folders and tables: what is guessed, and above all what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish.data.grouping import count_groups, grouped, with_groups
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample, draw_parts, hold_out
from blemish.errors import ConfigError, DataError

REAL = Path(__file__).parents[3] / "shared"


def samples(names: list[str], product: str = "ring") -> list[Sample]:
    return [Sample(Path(f"{product}/train/good/{name}"), product, "train", 0) for name in names]


KOS = [f"kos{item:02}_Part{view}.jpg" for item in range(1, 34) for view in range(8)]


@pytest.mark.parametrize(
    ("names", "label", "groups"),
    [
        (KOS, "kosNN", 33),
        ([n for at, n in enumerate(KOS) if at % 9], "kosNN", 33),  # some of a strip are missing
        ([f"strip{s:02}_{8 * s + k:04}.png" for s in range(12) for k in range(8)], "stripNN", 12),
        ([f"{part:04}_{view}.png" for part in range(9) for view in ("top", "side")], "NNNN", 9),
        ([f"lot{lot:02}/{k:03}.png" for lot in range(9) for k in range(5)], "lotNN", 9),
        ([f"lot{lot}_part{p}_1.png" for lot in range(9) for p in range(5)], "lotN", 9),
    ],
)
def test_names_that_clearly_form_groups(names: list[str], label: str, groups: int) -> None:
    found = grouped(samples(names))
    assert found.said == [
        f"ring: grouped by {label}: {groups} groups of {len(names)} images; --group none treats "
        "each alone."
    ]
    assert count_groups(found.samples) == groups
    again = grouped(samples(names), found.rules["ring"])  # the rule says the same by itself
    assert [s.group for s in again.samples] == [s.group for s in found.samples]


@pytest.mark.parametrize(
    "names",
    [
        [f"{k:03}.jpg" for k in range(209)],
        [f"cell{k:04}.png" for k in range(300)],
        [f"cam1_{k:05}.png" for k in range(100)],  # one group of all
        [f"cam{c}_{k:05}.png" for c in range(3) for k in range(100)],  # cameras, not parts
        [f"SN{k:05}_1.png" for k in range(90)],  # every one alone
        [f"{colour}/{k}.png" for colour in ("red", "blue", "tan", "jet", "sky") for k in range(4)],
        [f"Part{view}_kos{item:02}.jpg" for item in range(33) for view in range(8)],
        [f"IMG_20240501_{h:02}{m:02}{31 * m % 60:02}.jpg" for h in range(8, 18) for m in range(60)],
        [f"img_{k * 104729 % 1000003:06x}.png" for k in range(200)],
        ["a.png", "b.png"],
        ["a1_0.png"],
    ],
)
def test_names_of_which_nothing_is_guessed(names: list[str]) -> None:
    found = grouped(samples(names))
    assert found.said == []
    assert found.rules == {}
    assert all(s.group is None for s in found.samples)


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared with the real products")
def test_of_the_real_products_commutator_alone_has_groups() -> None:
    said = [
        p
        for f in ("data/mvtec", "data/lookout", "full")
        for p in with_groups(read_data_set(REAL / f)).problems
        if "grouped" in p
    ]
    assert said == [
        "commutator: grouped by kosNN: 38 groups of 264 images; --group none treats each alone."
    ]


def test_products_never_share_a_group_and_each_has_its_own_guess() -> None:
    both = [*samples(KOS), *samples(KOS, "cap"), *samples([f"{k:03}.jpg" for k in range(9)], "nut")]
    found = grouped(both)
    assert list(found.rules) == ["ring", "cap"]
    assert len(found.said) == 2
    assert count_groups(found.samples) == 33 + 33 + 9
    held = draw_parts(found.samples, 0.2, np.random.default_rng(0))
    sides = {(s.product, s.group) for at, s in enumerate(found.samples) if at in held and s.group}
    assert all(at in held for at, s in enumerate(found.samples) if (s.product, s.group) in sides)


def test_an_expression_names_groups_by_its_first_capture_or_all_of_it() -> None:
    for by in ("kos[0-9]+", "(kos[0-9]+)_Part", "^kos[0-9]+"):
        found = grouped(samples(KOS), by)
        assert found.samples[8].group == "kos02"
        assert count_groups(found.samples) == 33
        assert found.said == [f"ring: grouped by '{by}': 33 groups of 264 images."]
    some = grouped(samples(["lot1_a.png", "lot1_b.png", "x.png"]), "lot[0-9]")
    assert some.said == [
        "ring: grouped by 'lot[0-9]': 2 groups of 3 images, 1 of which it does not name, each "
        "alone."
    ]
    paths = [Path(f"/lot9/ring/good/lot{k}/1.png") for k in (0, 1)]
    deep = [Sample(path, "ring", "train", 0) for path in paths]
    assert [s.group for s in grouped(deep, "lot[0-9]").samples] == ["lot0", "lot1"]


def test_an_expression_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--group kos\( is no regular expression"):
        grouped(samples(KOS), "kos(")
    with pytest.raises(ConfigError, match="names none of the 264 images, such as kos01_Part0"):
        grouped(samples(KOS), "lot[0-9]+")


def test_what_the_data_set_says_stands_unless_each_is_to_be_alone() -> None:
    views = [Sample(Path(f"{k}.png"), "nut", "train", 0, part=f"S{k // 2}") for k in range(8)]
    assert grouped(views).samples == views
    alone = grouped(views, "none").samples
    assert count_groups(views) == 4
    assert count_groups(alone) == 8
    kept, held = hold_out(alone, 0.25, 0)
    assert {s.part for s in kept} & {s.part for s in held}  # of one part on both sides
    kept, held = hold_out(views, 0.25, 0)
    assert not {s.part for s in kept} & {s.part for s in held}


def test_a_table_names_groups_by_path_or_by_name(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("Image;x,Lot\nignored,\n")
    with pytest.raises(DataError, match="has the columns image;x, lot"):
        grouped(samples(KOS), str(table))
    table.write_text("file,lot,operator\na/1.png,A,x\nb/1.png,B,x\n2.png,A,y\n3.png,,y\n")
    names = ["a/1.png", "b/1.png", "c/1.png", "a/2.png", "b/3.png"]
    own = [Sample(tmp_path / name, "nut", "train", 0) for name in names]
    found = grouped(own, str(table))
    assert [s.group for s in found.samples] == ["A", "B", None, "A", None]
    assert found.rules == {}
    with pytest.raises(DataError, match="Cannot read the table of groups"):
        grouped(own, str(tmp_path / "absent.csv"))


def test_a_data_set_tells_of_its_groups_once() -> None:
    data_set = DataSet("folder", Path("ring"), tuple(samples(KOS)))
    once = with_groups(data_set)
    assert len(once.problems) == 1
    assert with_groups(once).problems == once.problems
