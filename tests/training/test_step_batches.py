from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from blemish.data.sample import Sample
from blemish.methods.base import Stage
from blemish.training.batches import StepBatches, TrainingBatches


def batches(
    count: int, steps: int, size: int, *, seed: tuple[int, int] = (0, 0), first: int = 0
) -> list[list[int]]:
    return list(StepBatches(range(count), Stage("s", (), steps, size), seed, first))


@pytest.mark.parametrize(("count", "size"), [(10, 4), (3, 8), (16, 16), (2, 1)])
def test_every_image_is_seen_equally_often(count: int, size: int) -> None:
    rows = batches(count, 25, size)
    assert [len(batch) for batch in rows] == [size] * 25
    seen = Counter(row for batch in rows for row in batch)
    assert set(seen) == set(range(count))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_one_pass_repeats_nothing() -> None:
    rows = batches(12, 3, 4)
    assert sorted(row for batch in rows for row in batch) == list(range(12))


def test_the_order_follows_from_the_seed() -> None:
    assert batches(12, 6, 4) == batches(12, 6, 4)
    assert batches(12, 6, 4) != batches(12, 6, 4, seed=(1, 0))
    assert batches(12, 6, 4) != batches(12, 6, 4, seed=(0, 1))


def test_resuming_goes_on_where_it_stopped() -> None:
    assert batches(10, 9, 4, first=5) == batches(10, 9, 4)[5:]
    assert len(StepBatches(range(10), Stage("s", (), 9, 4), (0, 0), 5)) == 9


def test_only_the_given_rows_are_drawn() -> None:
    drawn = StepBatches([3, 5, 8], Stage("s", (), 6, 2), (0, 0), 0)
    assert {row for batch in drawn for row in batch} == {3, 5, 8}


def rows_of(labels: list[int], views: int = 0) -> TrainingBatches:
    return TrainingBatches(
        [
            Sample(Path(f"{i}.png"), "p", "train", label, part=f"{i // views}" if views else None)
            for i, label in enumerate(labels)
        ]
    )


def test_what_is_set_aside_is_good_and_does_not_train() -> None:
    labels = [0] * 40 + [1] * 10
    train, held = rows_of(labels).set_aside(0.2, seed=0)
    assert len(held) == 8
    assert not set(train) & set(held)
    assert sorted(train + held) == list(range(50))
    assert all(labels[row] == 0 for row in held)
    assert rows_of(labels).set_aside(0.2, seed=0)[1] == held
    assert rows_of(labels).set_aside(0.2, seed=1)[1] != held


def test_views_of_a_part_are_set_aside_together() -> None:
    for seed in range(5):
        train, held = rows_of([0] * 60, views=5).set_aside(0.2, seed)
        assert len(held) == 10
        assert not {row // 5 for row in train} & {row // 5 for row in held}


def test_a_part_with_a_labelled_anomaly_trains_whole() -> None:
    labels = [int(row % 5 == 0 and row < 40) for row in range(60)]
    for seed in range(5):
        train, held = rows_of(labels, views=5).set_aside(0.2, seed)
        assert len(held) == 10
        assert min(held) >= 40
        assert not {row // 5 for row in train} & {row // 5 for row in held}


def test_the_rows_set_aside_without_parts_are_those_of_every_version() -> None:
    assert rows_of([0, 1] * 20).set_aside(0.2, seed=3)[1] == [6, 8, 24, 26]


@pytest.mark.parametrize(("good", "share", "held"), [(40, 0.0, 0), (2, 0.5, 0), (3, 0.01, 1)])
def test_two_good_images_always_train(good: int, share: float, held: int) -> None:
    assert len(rows_of([0] * good).set_aside(share, seed=0)[1]) == held


@pytest.mark.parametrize(
    ("share", "size", "labelled"), [(0.25, 8, 2), (0.01, 8, 1), (0.99, 4, 4), (0.5, 1, 1)]
)
def test_labelled_anomalies_join_every_batch_in_fixed_number(
    share: float, size: int, labelled: int
) -> None:
    stage = Stage("s", (), 12, size, anomaly_share=share)
    drawn = list(StepBatches(range(20), stage, (0, 0), 0, anomalies=(4, 7, 19)))
    assert [len(batch) for batch in drawn] == [size + labelled] * 12
    good = [[row for row in batch if row not in (4, 7, 19)] for batch in drawn]
    alone = [row for row in range(20) if row not in (4, 7, 19)]
    assert good == list(StepBatches(alone, Stage("s", (), 12, size), (0, 0), 0))  # as without them
    counts = Counter(row for batch in drawn for row in batch)
    assert [sum(row in (4, 7, 19) for row in batch) for batch in drawn] == [labelled] * 12
    assert max(counts[row] for row in (4, 7, 19)) - min(counts[row] for row in (4, 7, 19)) <= 1
    resumed = StepBatches(range(20), stage, (0, 0), 7, anomalies=(4, 7, 19))
    assert list(resumed) == drawn[7:]


def test_without_a_share_or_without_anomalies_all_rows_are_drawn_alike() -> None:
    asked = Stage("s", (), 5, 4, anomaly_share=0.5)
    plain = batches(20, 5, 4)
    assert list(StepBatches(range(20), asked, (0, 0), 0)) == plain
    unasked = StepBatches(range(20), Stage("s", (), 5, 4), (0, 0), 0, anomalies=(4, 7))
    assert list(unasked) == plain
