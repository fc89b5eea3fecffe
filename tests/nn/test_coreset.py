"""Coreset: the greedy rule against a slow loop, and a stream against all points at once."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.nn.coreset import StreamedCoreset, greedy_k_centre, stand_ins


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def radius(points: Tensor, centres: Tensor) -> float:
    """The largest distance of a point to its nearest centre."""
    return float(torch.cdist(points.double(), centres.double()).amin(1).max())


def test_every_next_point_is_the_farthest_from_all_taken() -> None:
    points = torch.randn(200, 5, generator=seeded())
    taken = greedy_k_centre(points, 20, generator=seeded(3)).tolist()
    assert len(set(taken)) == 20
    for count in range(1, 20):
        nearest = torch.cdist(points, points[taken[:count]]).amin(1)
        assert taken[count] == int(nearest.argmax())


def test_what_stands_in_for_a_fold_is_chosen_as_k_centre_goes_on_without_it() -> None:
    points = torch.randn(200, 5, generator=seeded())
    fold = torch.randint(3, (200,), generator=seeded(1))
    taken = greedy_k_centre(points, 30, generator=seeded(3))
    for k, own in enumerate(stand_ins(points, taken, fold, generator=seeded())):
        stay = taken[fold[taken] != k].tolist()
        assert len(own) == 30 - len(stay) > 0
        assert (fold[own] != k).all()
        left = torch.nonzero(fold != k)[:, 0]
        for next_one in own.tolist():
            nearest = torch.cdist(points[left], points[stay]).amin(1)
            assert next_one == int(left[nearest.argmax()])
            stay.append(next_one)


def test_nothing_stands_in_where_others_gave_all_or_copies() -> None:
    points, fold = torch.randn(9, 5, generator=seeded()), torch.arange(9) % 3
    everything = torch.arange(9)
    assert [len(own) for own in stand_ins(points, everything, fold, generator=seeded())] == [0] * 3
    copies = points[:3].repeat(3, 1)  # every point three times, once in each fold
    taken, fold = torch.tensor([0, 1, 2]), torch.arange(9) // 3
    first, *rest = stand_ins(copies, taken, fold, generator=seeded())
    assert sorted((first % 3).tolist()) == [0, 1, 2]
    assert [len(own) for own in rest] == [0, 0]


def test_a_projection_changes_the_order_and_covers_nearly_as_well() -> None:
    points = torch.randn(3000, 300, generator=seeded())
    own, projected, drawn = (
        radius(points, points[rows])
        for rows in (
            greedy_k_centre(points, 500, generator=seeded(), dimensions=300),
            greedy_k_centre(points, 500, generator=seeded(), dimensions=64),
            torch.randperm(3000, generator=seeded())[:500],
        )
    )
    assert own <= projected < drawn


def test_copies_are_taken_once_and_few_points_all() -> None:
    few = torch.randn(4, 3, generator=seeded())
    copies = few.repeat(50, 1)
    taken = greedy_k_centre(copies, 100, generator=seeded())
    assert sorted((taken % 4).tolist()) == [0, 1, 2, 3]
    assert greedy_k_centre(few, 9, generator=seeded()).tolist() == [0, 1, 2, 3]


def test_a_stream_is_covered_within_a_bounded_memory() -> None:
    points = torch.randn(4000, 8, generator=seeded())
    stream = StreamedCoreset(100, bound=500, generator=seeded())
    largest = 0
    for part in points.split(90):
        stream.add(part)
        largest = max(largest, len(stream))
    found = stream.points()
    assert largest <= 500
    assert len(found) == 100
    assert all(bool((points == row).all(1).any()) for row in found)
    at_once = points[greedy_k_centre(points, 100, generator=seeded())]
    assert radius(points, found) < 1.3 * radius(points, at_once)
    again = StreamedCoreset(100, bound=500, generator=seeded())
    for part in points.split(90):
        again.add(part)
    assert torch.equal(again.points(), found)


def test_what_is_rare_stays_through_every_thinning() -> None:
    """A patch of a good picture that is unlike all others must not be forgotten."""
    points = torch.randn(2000, 4, generator=seeded())
    rare = torch.full((1, 4), 40.0)
    stream = StreamedCoreset(10, bound=40, generator=seeded())
    for part in torch.cat([rare, points]).split(25):
        stream.add(part)
    assert bool((stream.points() == rare).all(1).any())
