from __future__ import annotations

from pathlib import Path

import pytest
from stand_in import BrightSpots, limits_at, write_product

from blemish.report.data import Report, Verdicts
from blemish.report.report import make_report
from blemish.report.summary import Card, summary_cards

# Limits at 99 good scores from 0 to 3: defect above 3, unsure above 2.88.
OK, UNSURE, DEFECT = 20, 29, 80


def report(root: Path, products: dict[str, tuple[list[int], dict[str, list[int]]]]) -> Report:
    for name, (good, kinds) in products.items():
        write_product(root, good, kinds, product=name)
    return make_report(BrightSpots(limits_at(3.0, products=list(products))), root, pictures=1)


def cards(made: Report) -> dict[str, Card]:
    return {card.title: card for card in summary_cards(made)}


def test_what_is_stopped_and_missed_and_weakest(tmp_path: Path) -> None:
    kinds = {"dent": [DEFECT] * 5 + [OK] * 3, "rust": [DEFECT] * 4 + [UNSURE], "hole": [DEFECT] * 4}
    told = cards(report(tmp_path, {"nut": ([OK] * 17 + [UNSURE] * 2 + [DEFECT], kinds)}))
    good, bad = told["Good parts"], told["Defects"]
    assert (good.figure, good.meaning.split(" (")[0]) == ("1 of 20", "good parts would be stopped")
    assert "2 more would be set aside as unsure." in good.lines
    assert any("Only 20 images" in line for line in good.lines)
    assert any("does not contradict" in line for line in good.lines)
    assert good.tone == "unsure"
    assert (bad.figure, bad.tone) == ("3 of 17", "defect")
    assert "In 13 of 13 found ones with a ground truth" in bad.sentence
    weak = told["Weakest defect kinds"]
    assert weak.meaning == "1 of 3 kinds with misses"
    assert weak.items == (("dent", "3 of 8 missed."), ("rust", "0 of 5 missed, 1 unsure."))
    assert "Weakest products" not in told


def test_more_alarms_than_promised_are_named(tmp_path: Path) -> None:
    made = report(tmp_path, {"nut": ([OK] * 15 + [DEFECT] * 5, {"dent": [DEFECT]})})
    good = cards(made)["Good parts"]
    assert good.tone == "defect"
    assert "More than the calibration promised: nut 5 of 20 stopped" in good.sentence


def test_unsure_ones_break_a_promise_too(tmp_path: Path) -> None:
    made = report(tmp_path, {"nut": ([OK] * 12 + [UNSURE] * 8, {"dent": [DEFECT]})})
    assert "nut 8 of 20 not ok (at most 5" in cards(made)["Good parts"].sentence


def test_nothing_wrong_says_what_comes_nearest(tmp_path: Path) -> None:
    made = report(tmp_path, {"nut": ([OK] * 40, {"dent": [90, 99], "rust": [70, 75]})})
    told = cards(made)
    assert told["Good parts"].figure == "0 of 40"
    assert told["Good parts"].tone == told["Defects"].tone == "ok"
    assert "rust, lowest score 7, limit 3." in told["Weakest defect kinds"].sentence


def test_products_are_ranked_by_what_they_miss(tmp_path: Path) -> None:
    made = report(
        tmp_path,
        {
            "bolt": ([OK] * 5, {"dent": [DEFECT] * 5}),
            "nut": ([OK] * 5, {"dent": [OK] * 5}),
        },
    )
    told = cards(made)
    assert [name for name, _ in told["Weakest products"].items] == ["nut", "bolt"]
    assert told["Weakest defect kinds"].items[0] == ("nut / dent", "5 of 5 missed.")
    assert told["Defects"].worst_product == "nut"


def test_decisions_are_counted_by_product_and_of_all(tmp_path: Path) -> None:
    one, other, every = report(
        tmp_path,
        {
            "bolt": ([OK] * 3 + [DEFECT], {"dent": [DEFECT] * 5 + [UNSURE]}),
            "nut": ([], {"dent": [OK] * 2, "rust": [DEFECT]}),
        },
    ).decisions
    assert (one.name, one.good, one.defective) == ("bolt", Verdicts(3, 0, 1), Verdicts(0, 1, 5))
    assert one.located == (5, 5)
    assert (other.good, other.defective) == (Verdicts(), Verdicts(2, 0, 1))
    assert (every.name, every.good.total, every.defective) == ("all", 4, Verdicts(2, 1, 6))
    assert every.located == (6, 6)


def test_many_misses_outweigh_one_of_two(tmp_path: Path) -> None:
    kinds = {"rare": [OK, DEFECT], "often": [OK] * 15 + [DEFECT] * 25}
    weak = cards(report(tmp_path, {"nut": ([OK] * 5, kinds)}))["Weakest defect kinds"]
    assert [name for name, _ in weak.items] == ["often", "rare"]


@pytest.mark.parametrize(
    ("good", "kinds", "title", "said"),
    [
        ([], {"dent": [DEFECT]}, "Good parts", "false alarms are unknown"),
        ([OK], {}, "Defects", "misses are unknown"),
        ([OK], {}, "Weakest defect kinds", "there are no defective test images"),
    ],
)
def test_one_class_only(
    tmp_path: Path, good: list[int], kinds: dict[str, list[int]], title: str, said: str
) -> None:
    assert said in cards(report(tmp_path, {"nut": (good, kinds)}))[title].sentence


def test_without_calibration_the_scores_are_told(tmp_path: Path) -> None:
    write_product(tmp_path, [OK] * 5, {"dent": [DEFECT] * 5, "rust": [OK] * 5})
    told = cards(make_report(BrightSpots(None), tmp_path, pictures=1))
    assert set(told) == {"No verdicts", "Weakest defect kinds"}
    assert "blemish calibrate MODEL GOOD_DIR" in told["No verdicts"].sentence
    assert told["Weakest defect kinds"].items == (
        ("rust", "AUROC 0.500."),
        ("dent", "AUROC 1.000."),
    )


def test_a_count_above_the_promise_that_breaks_none_is_explained(tmp_path: Path) -> None:
    write_product(tmp_path, [OK] * 14 + [DEFECT] * 4, {"dent": [DEFECT]}, product="nut")
    few = limits_at(3.0, n=20, products=["nut"])
    good = cards(make_report(BrightSpots(few), tmp_path, pictures=1))["Good parts"]
    assert good.figure == "4 of 18"
    said = good.sentence.replace("\u00a0", " ")
    assert "the true share is likely 6.4 % to 48 %" in said
    assert "Promised: at most 4.8 % on average. The count is above that and yet does not" in said
    assert "with only 20 good images behind the limits and 18 good images tested, up to 4" in said
    two = limits_at(3.0, n=20, products=["cap", "nut"])
    for name in ("cap", "nut"):
        write_product(tmp_path / "2", [OK] * 14 + [DEFECT] * 4, {"dent": [80]}, product=name)
    both = cards(make_report(BrightSpots(two), tmp_path / "2", pictures=1))["Good parts"]
    assert "within what is usual for each product" in both.sentence
