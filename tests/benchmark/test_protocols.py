"""Who trains, who calibrates, who tests: and that nothing of the test part gets anywhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish.benchmark.protocols import (
    Unit,
    anomaly_count,
    labelled_anomalies,
    plan_units,
    split_parts,
)
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample, Split, hold_out
from blemish.errors import ConfigError, DataError

CLASSES = ("cat", "dog", "7")


def classes(train: int = 30, test: int = 5, names: tuple[str, ...] = CLASSES) -> DataSet:
    splits: tuple[tuple[Split, int], ...] = (("train", train), ("test", test))
    samples = [
        Sample(Path(f"{split}.idx#{name}{i}"), name, split, 0, image=np.zeros((8, 8), np.uint8))
        for name in names
        for split, count in splits
        for i in range(count)
    ]
    return DataSet("cifar10", Path("set"), tuple(samples))


def inspection() -> DataSet:
    rows: list[tuple[Split, int | None]] = [
        ("train", 0),
        ("validation", 0),
        ("test", 0),
        ("test", 1),
        ("test", None),
    ]
    samples = [
        Sample(Path(product, split, f"{label}.png"), product, split, label)
        for product in ("nut", "bolt")
        for split, label in rows
    ]
    return DataSet("mvtec_loco", Path("line"), tuple(samples))


def test_one_for_all_is_one_model_and_per_category_one_each() -> None:
    assert [u.categories for u in plan_units(inspection(), "one_for_all")] == [("nut", "bolt")]
    units = plan_units(inspection(), "per_category")
    assert [u.categories for u in units] == [("nut",), ("bolt",)]


@pytest.mark.parametrize("protocol", ["one_for_all", "per_category"])
def test_the_parts_share_no_sample_and_no_split(protocol: str) -> None:
    for unit in plan_units(inspection(), protocol):
        parts = split_parts(inspection(), unit, seed=0, hold_out_share=0.2)
        assert {s.split for s in parts.training.samples} == {"train", "validation"}
        assert {s.split for s in parts.test.samples} == {"test"}
        assert {s.label for s in parts.test.samples} == {0, 1}  # nothing unlabelled is tested
        assert set(parts.training.products) == set(parts.test.products) == set(unit.categories)


def test_one_class_trains_on_one_and_tests_on_all() -> None:
    data_set = classes()
    (unit,) = plan_units(data_set, "one_class", classes=["dog"])
    parts = split_parts(data_set, unit, seed=0, hold_out_share=0.2)
    assert parts.training.samples == data_set.of_products(["dog"]).split("train").samples
    assert len(parts.test.samples) == 15
    assert {s.product for s in parts.test.samples} == {"dog"}
    good = [s.path.name for s in parts.test.samples if s.is_good]
    assert good == [f"test.idx#dog{i}" for i in range(5)]
    defective = [s for s in parts.test.samples if s.label == 1]
    assert {s.defect_kind for s in defective} == {"cat", "7"}
    assert all(s.image is not None for s in defective)


def test_one_class_takes_each_class_in_turn_or_a_list_by_name_or_number() -> None:
    every = plan_units(classes(), "one_class")
    assert [u.categories[0] for u in every] == ["cat", "dog", "7"]
    some = plan_units(classes(), "one_class", classes=["1", "cat", "7"])
    assert [u.categories[0] for u in some] == ["dog", "cat", "7"]
    with pytest.raises(ConfigError, match=r"Unknown class '3'.*0 \(cat\)"):
        plan_units(classes(), "one_class", classes=["3"])


def test_one_class_refuses_inspection_images_and_a_single_class() -> None:
    with pytest.raises(DataError, match="2 defective images; one_class needs a classification"):
        plan_units(inspection(), "one_class")
    with pytest.raises(DataError, match=r"1 class \(cat\)"):
        plan_units(classes(names=("cat",)), "one_class")


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.05, 0.1, 0.2])
def test_unbalanced_reaches_the_ratio_among_the_images_that_train(
    ratio: float, share: float
) -> None:
    data_set = classes(train=400)
    (unit,) = plan_units(data_set, "unbalanced", classes=["cat"], known=["dog"], ratios=[ratio])
    parts = split_parts(data_set, unit, seed=3, hold_out_share=share)
    kept, _ = hold_out([s for s in parts.training.samples if s.is_good], share, 3)
    anomalies = labelled_anomalies(parts)
    assert len(anomalies) == anomaly_count(len(kept), ratio)
    assert len(anomalies) / (len(kept) + len(anomalies)) == pytest.approx(ratio, abs=0.002)
    assert {s.defect_kind for s in anomalies} <= {"dog"}
    assert {(s.split, s.product) for s in anomalies} <= {("train", "cat")}
    assert sum(s.is_good for s in parts.training.samples) == 400


def test_unbalanced_tests_on_everything_and_on_what_it_never_saw() -> None:
    data_set = classes(train=30)
    unit = Unit("unbalanced", ("cat",), ("dog",), 0.1)
    parts = split_parts(data_set, unit, seed=0, hold_out_share=0.0)
    assert len(parts.test.samples) == 15
    assert parts.unseen is not None
    assert {s.defect_kind for s in parts.unseen.samples} == {None, "7"}
    assert [s for s in parts.unseen.samples if s.is_good] == [
        s for s in parts.test.samples if s.is_good
    ]
    assert {s.split for s in parts.training.samples} == {"train"}


def test_unbalanced_draws_by_seed_evenly_and_without_repeating() -> None:
    data_set = classes(train=40)
    unit = Unit("unbalanced", ("cat",), ("dog", "7"), 0.2)

    def drawn(seed: int) -> list[Path]:
        parts = split_parts(data_set, unit, seed=seed, hold_out_share=0.0)
        return [s.path for s in labelled_anomalies(parts)]

    assert drawn(0) == drawn(0) != drawn(1)
    assert len(set(drawn(0))) == len(drawn(0)) == 10
    assert sum("dog" in path.name for path in drawn(0)) == 5


def test_the_normal_class_is_never_its_own_anomaly() -> None:
    units = plan_units(
        classes(), "unbalanced", classes=["cat", "dog"], known=["dog", "7"], ratios=[0.1]
    )
    parts = split_parts(classes(), units[1], seed=0, hold_out_share=0.0)
    anomalies = labelled_anomalies(parts)
    assert {s.defect_kind for s in anomalies} == {"7"}
    assert len(anomalies) == anomaly_count(30, 0.1) == 3
    assert len({s.path for s in parts.training.samples}) == len(parts.training.samples) == 33
    with pytest.raises(ConfigError, match="only known anomaly class, dog, is also a normal class"):
        plan_units(classes(), "unbalanced", known=["dog"], ratios=[0.1])


def test_unbalanced_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="give --known 1,2 and --ratios"):
        plan_units(classes(), "unbalanced", known=["dog"])
    with pytest.raises(ConfigError, match="--ratios 1: expected a share"):
        plan_units(classes(), "unbalanced", classes=["cat"], known=["dog"], ratios=[1.0])
    unit = Unit("unbalanced", ("cat",), ("dog",), 0.6)
    with pytest.raises(DataError, match="needs 45 labelled anomalies of class dog, which has 30"):
        split_parts(classes(), unit, seed=0, hold_out_share=0.0)


def test_options_of_other_protocols_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'per_category'"):
        plan_units(inspection(), "per_categorie")
    with pytest.raises(ConfigError, match="--classes belongs to"):
        plan_units(inspection(), "one_for_all", classes=["nut"])
    with pytest.raises(ConfigError, match="--known and --ratios belong to unbalanced"):
        plan_units(classes(), "one_class", known=["dog"])


def test_works_on_files_in_their_published_form(digits: Path) -> None:
    data_set = read_data_set(digits, layout="mnist")
    units = plan_units(data_set, "one_class", classes=["2"])
    parts = split_parts(data_set, units[0], seed=0, hold_out_share=0.0)
    assert (len(parts.training.samples), len(parts.test.samples)) == (10, 20)
