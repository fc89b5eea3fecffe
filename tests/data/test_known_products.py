"""Products that keep their names, whichever folders appear beside theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from blemish.data.known_products import as_learned, product_folders
from blemish.data.layouts import read_data_set

Category = Callable[..., Path]


def test_a_product_keeps_its_name_when_one_of_its_name_appears(
    tmp_path: Path, mvtec_category: Category
) -> None:
    mvtec_category(tmp_path / "mvtec" / "pill")
    mvtec_category(tmp_path / "mvtec" / "bottle")
    learned = read_data_set(tmp_path)
    folders = product_folders(learned.samples)
    assert learned.products == ("bottle", "pill")
    assert folders == {"bottle": "mvtec/bottle", "pill": "mvtec/pill"}
    mvtec_category(tmp_path / "full" / "pill")
    data_set = read_data_set(tmp_path)
    assert data_set.products == ("bottle", "full-pill", "mvtec-pill")
    named, notes = as_learned(data_set, learned.products, folders)
    assert named.products == ("bottle", "full-pill", "pill")
    assert all("mvtec" in s.path.parts for s in named.samples if s.product == "pill")
    assert notes == [f"mvtec-pill in {tmp_path} is what was learned as pill."]
    assert as_learned(named, learned.products, folders) == (named, [])


def test_a_longer_name_is_found_in_its_own_folder(tmp_path: Path, mvtec_category: Category) -> None:
    mvtec_category(tmp_path / "one" / "lid")
    mvtec_category(tmp_path / "two" / "lid")
    learned = read_data_set(tmp_path)
    folders = product_folders(learned.samples)
    named, _ = as_learned(read_data_set(tmp_path / "two"), learned.products, folders)
    assert named.products == ("two-lid",)


def test_without_a_record_one_of_the_name_is_taken_and_two_are_not(
    tmp_path: Path, mvtec_category: Category
) -> None:
    mvtec_category(tmp_path / "one" / "lid")
    mvtec_category(tmp_path / "two" / "lid")
    data_set = read_data_set(tmp_path)
    same, notes = as_learned(data_set, ["lid"], {})
    assert same == data_set
    assert "one-lid and two-lid" in notes[0]
    assert "neither is taken for it" in notes[0]
    one = data_set.of_products(["one-lid"])
    assert as_learned(one, ["lid"], {})[0].products == ("lid",)
    assert as_learned(one, ["cap"], {}) == (one, [])
