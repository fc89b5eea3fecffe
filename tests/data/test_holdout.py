from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.sample import DataSet, Sample, hold_out
from blemish.data.sources import good_training_samples
from blemish.errors import ConfigError, DataError


def good(product: str, count: int) -> list[Sample]:
    return [Sample(Path(f"{product}/{i}.png"), product, "train", 0) for i in range(count)]


@pytest.mark.parametrize(
    ("count", "share", "held"),
    [
        (10, 0.2, 2),
        (100, 0.2, 20),
        (4, 0.2, 1),
        (4, 0.9, 2),
        (3, 0.2, 0),
        (2, 0.5, 0),
        (10, 0, 0),
        (5, 0.999, 3),
        (50, 0.001, 1),
        (0, 0.2, 0),
    ],
)
def test_the_share_is_kept_within_what_training_needs(count: int, share: float, held: int) -> None:
    samples = good("nut", count)
    kept, out = hold_out(samples, share, seed=0)
    assert (len(kept), len(out)) == (count - held, held)
    assert sorted([*kept, *out], key=samples.index) == samples
    assert kept == sorted(kept, key=samples.index)
    assert out == sorted(out, key=samples.index)


def test_every_product_gives_its_share() -> None:
    kept, out = hold_out([*good("nut", 50), *good("bolt", 10), *good("pin", 3)], 0.2, seed=0)
    assert {p: sum(s.product == p for s in out) for p in ("nut", "bolt", "pin")} == {
        "nut": 10,
        "bolt": 2,
        "pin": 0,
    }
    assert len(kept) + len(out) == 63


def test_a_products_draw_does_not_depend_on_the_others() -> None:
    alone = hold_out(good("nut", 30), 0.2, seed=4)[1]
    nut, bolt = good("nut", 30), good("bolt", 30)
    mixed = [sample for pair in zip(bolt, nut, strict=True) for sample in pair]
    together = hold_out(mixed, 0.2, seed=4)[1]
    assert [s for s in together if s.product == "nut"] == alone


def test_the_seed_and_the_name_decide() -> None:
    first, again, other = (hold_out(good("nut", 30), 0.2, seed=s)[1] for s in (0, 0, 1))
    assert first == again
    assert first != other
    rows = [[int(s.path.stem) for s in hold_out(good(p, 30), 0.2, seed=0)[1]] for p in "ab"]
    assert rows[0] != rows[1]


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="held out"):
        hold_out(good("nut", 10), share, seed=0)


def views(product: str, parts: int, each: int = 5) -> list[Sample]:
    """Real-IAD's good training images: several views of every part."""
    return [
        Sample(Path(f"{part}_C{view}.png"), product, "train", 0, part=f"{product}/OK/S{part:04d}")
        for part in range(parts)
        for view in range(each)
    ]


@pytest.mark.parametrize(
    ("parts", "each", "share", "held"),
    [(40, 5, 0.2, 40), (10, 5, 0.05, 5), (7, 3, 0.25, 6), (2, 5, 0.9, 5), (1, 9, 0.2, 0)],
)
def test_views_of_a_part_stay_together(parts: int, each: int, share: float, held: int) -> None:
    for seed in range(5):
        kept, out = hold_out(views("usb", parts, each), share, seed)
        assert len(out) == held
        assert not {s.part for s in kept} & {s.part for s in out}
    draws = {tuple(s.part for s in hold_out(views("usb", 40), 0.2, seed)[1]) for seed in range(5)}
    assert len(draws) == 5


def test_parts_of_many_sizes_come_as_near_to_the_share_as_whole_parts_do() -> None:
    mixed = [s for part in range(60) for s in views("usb", part + 1, 1 + part % 5)[-1 - part % 5 :]]
    for seed in range(10):
        kept, out = hold_out(mixed, 0.25, seed)
        assert abs(len(out) - 0.25 * len(mixed)) <= 3
        assert not {s.part for s in kept} & {s.part for s in out}


def test_a_part_with_a_labelled_defect_trains_whole() -> None:
    good = views("usb", 10)
    defects = [Sample(Path("x.png"), "usb", "train", 1, "dent", part="usb/OK/S0003")]
    for seed in range(20):
        _, out = hold_out(good, 0.4, seed, training=defects)
        assert "usb/OK/S0003" not in {s.part for s in out}


def test_the_images_held_out_without_parts_are_those_of_every_version() -> None:
    rows = [int(s.path.stem) for s in hold_out(good("nut", 30), 0.2, seed=4)[1]]
    assert rows == [5, 7, 20, 26, 28, 29]


def test_only_good_training_images_with_a_whole_header_train(tmp_path: Path) -> None:
    def write(name: str, size: tuple[int, int] = (6, 4)) -> Path:
        Image.new("RGB", size).save(tmp_path / name)
        return tmp_path / name

    (tmp_path / "text.png").write_text("no image")
    samples = (
        Sample(write("a.png"), "nut", "train", 0),
        Sample(tmp_path / "text.png", "nut", "train", 0),
        Sample(write("bad.png"), "nut", "train", 1, "dent"),
        Sample(write("unknown.png"), "nut", "train", None),
        Sample(write("test.png"), "nut", "test", 0),
        Sample(write("b.png", (5, 9)), "nut", "train", 0),
        Sample(Path("m#0"), "nut", "train", 0, image=np.zeros((7, 8), np.uint8)),
    )
    failures: list[tuple[Path, str]] = []
    found, sizes = good_training_samples(DataSet("folder", tmp_path, samples), failures)
    assert [s.path.name for s in found] == ["a.png", "b.png", "m#0"]
    assert sizes == [(4, 6), (9, 5), (7, 8)]
    assert [path.name for path, _ in failures] == ["text.png"]
    assert "text.png" in failures[0][1]


def test_fewer_than_two_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    samples = (Sample(tmp_path / "text.png", "nut", "train", 0),)
    with pytest.raises(DataError, match=r"0 readable good images.*folder named good") as caught:
        good_training_samples(DataSet("folder", tmp_path, samples), [])
    assert "text.png" in str(caught.value)
    with pytest.raises(DataError, match=r"0 readable.* 2 more cannot be read:\n.*text") as caught:
        good_training_samples(DataSet("folder", tmp_path, samples * 2), [])
    assert "--good" not in str(caught.value)  # they lie where they belong
