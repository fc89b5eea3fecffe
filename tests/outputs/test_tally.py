"""What the terminal says of a run's verdicts."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged import prediction
from rich.console import Console
from rich.table import Table

from blemish.outputs.tally import Tally
from blemish.results import Prediction


def table_of(predictions: Iterable[Prediction], *, limit: int = 20, failures: int = 0) -> Table:
    tally = Tally(limit=limit)
    for judged in predictions:
        tally.add(judged)
    tally.failures = failures
    return tally.table()


def shown(table: object, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_the_worst_come_first_and_the_summary_counts_all() -> None:
    predictions = [
        prediction("fine.png", "ok", p_value=0.7, times_limit=0.2),
        prediction("bad.png", "defect", p_value=0.01, score=3.0, times_limit=2.0),
        prediction("maybe.png", "unsure", p_value=0.03, times_limit=0.8),
        # Far beyond the limit of a product with few good images, whose p-values end early.
        prediction("worse.png", "defect", p_value=0.05, score=2.0, times_limit=3.0),
        # Of unknown distance: last among the defects.
        prediction("few.png", "defect", p_value=0.05, times_limit=None),
        prediction("worst.png", "defect", p_value=0.01, score=1.0, times_limit=41.0),
    ]
    table = table_of(predictions, limit=5, failures=2)
    text = shown(table)
    order = [text.index(name) for name in ("worst", "worse", "bad", "few", "maybe")]
    assert order == sorted(order)
    assert "fine.png" not in text
    assert table.caption == (
        "6 images: 4 defect, 1 unsure, 1 ok; the 5 worst are shown; 2 could not be judged"
    )
    assert [str(c._cells[0].style) for c in table.columns[:1]] == ["bold red"]


def test_columns_follow_what_is_known() -> None:
    plain = prediction(product=None, branches={}, verdict=None, p_value=None, times_limit=None)
    assert [c.header for c in table_of([plain]).columns] == [
        "verdict", "image", "p-value", "score", "areas",
    ]  # fmt: skip
    assert [c.header for c in table_of([plain, prediction()]).columns] == [
        "verdict", "image", "product", "p-value", "score", "areas", "by",
    ]  # fmt: skip
    assert [c.header for c in table_of([prediction()]).columns][4] == "× limit"
    assert "1 without verdict" in shown(table_of([plain]))
    assert table_of([]).caption == "0 images"


@pytest.mark.parametrize(
    ("times", "said"), [(2.414, "2.41"), (1.0, "1"), (1.0004, "1.0004"), (0.9996, "0.9996")]
)
def test_rounding_keeps_the_side_of_the_limit(times: float, said: str) -> None:
    assert f" {said} " in shown(table_of([prediction(times_limit=times, p_value=0.5)]))


def test_a_product_that_is_one_of_the_folders_is_named_once() -> None:
    names = ("bolt/good/1.png", "nut/good/1.png")
    nested = [replace(prediction(name), product=name.partition("/")[0]) for name in names]
    assert "product" not in [column.header for column in table_of(nested).columns]
    flat = [replace(nested[0], path=Path("1.png")), nested[1]]
    assert "product" in [column.header for column in table_of(flat).columns]


def test_branches_that_object_are_named_and_leave_room_for_the_image() -> None:
    names = [f"{product}/test/{'odd_' * 4}/000.png" for product in ("board", "tray")]
    text = shown(table_of(prediction(name) for name in names), width=80)
    assert text.count("logical") == len(names)
    assert "structural" not in text  # it does not object
    assert text.count("000.png") == len(names)  # not a letter a line


def test_file_names_are_text_and_not_markup() -> None:
    text = shown(table_of([prediction("[red]x[bold]\x1b.png")]))
    assert "[red]x[bold]�.png" in text


def test_paths_are_shown_below_the_folder_they_share() -> None:
    text = shown(table_of([prediction("line/good/1.png"), prediction("line/bent/2.png")]))
    assert "good/1.png" in text
    assert "line/good/1.png" not in text
    assert "line" in text.splitlines()[0]


def test_the_tally_keeps_the_worst_and_counts_all() -> None:
    tally = Tally(limit=5)
    order = np.random.default_rng(0).permutation(3_000)
    kept = 0
    for i in order:
        tally.add(prediction(f"line/{i % 7}/{i}.png", score=float(i)))
        kept = max(kept, len(tally._kept))
    assert [judged.score for judged in tally.worst()] == [2999.0, 2998.0, 2997.0, 2996.0, 2995.0]
    assert (kept <= 26, tally.verdicts.total(), tally.exit_code) == (True, 3_000, 1)
    assert tally.root == Path("line").absolute()
    assert tally.table().caption == "3000 images: 3000 defect; the 5 worst are shown"
