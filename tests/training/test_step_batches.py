from __future__ import annotations

from collections import Counter

import pytest

from blemish.methods.base import Stage
from blemish.training.batches import StepBatches


def batches(
    count: int, steps: int, size: int, *, seed: tuple[int, int] = (0, 0), first: int = 0
) -> list[list[int]]:
    return list(StepBatches(count, Stage("s", (), steps, size), seed, first))


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
    assert len(StepBatches(10, Stage("s", (), 9, 4), (0, 0), 5)) == 9
