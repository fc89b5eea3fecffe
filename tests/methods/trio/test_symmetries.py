"""Symmetries: copies of good pictures are made as they may lie, and in no other way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_teachers import small_teacher
from torch import Tensor

from blemish import Detector, TrainingOptions
from blemish.methods.base import Batch
from blemish.methods.trio.collected import Collected
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.methods.trio.pictures import COPY
from blemish.methods.trio.symmetries import TURNS, copies, symmetries

MIRRORED = ["mirrored left to right"]
ROUND = ["turned half round", "turned left", "turned right"]


def found(
    features: Tensor, part: Tensor | None = None, given: dict[str, Tensor] | None = None
) -> list[str]:
    """Symmetries of features that turn as their pictures do, or have been turned (``given``)."""
    given = given or {turn: TURNS[turn](features) for turn in TURNS}
    return symmetries(
        features,
        torch.arange(len(features)) if part is None else part,
        lambda turn, rows: given[turn][list(rows)],
        square=features.shape[2] == features.shape[3],
        generator=torch.Generator().manual_seed(0),
    )


def noise(count: int, size: tuple[int, int] = (8, 8)) -> Tensor:
    return torch.randn(count, 12, *size, generator=torch.Generator().manual_seed(1))


def test_the_turns_are_those_of_a_square() -> None:
    picture = torch.arange(9).view(3, 3)
    seen = {tuple(turn(picture).flatten().tolist()) for turn in TURNS.values()}
    assert len(seen) == 7
    assert tuple(picture.flatten().tolist()) not in seen
    assert TURNS["turned left"](picture)[0].tolist() == [2, 5, 8]
    assert TURNS["turned right"](picture)[0].tolist() == [6, 3, 0]


def test_a_texture_looks_as_good_any_way_round() -> None:
    assert found(noise(20)) == list(TURNS)
    assert found(noise(20, (6, 8))) == list(TURNS)[:3]  # what keeps the shape


@pytest.mark.parametrize("count", [8, 12, 40])
def test_what_lies_alike_is_left_alone(count: int) -> None:
    upright = noise(count)
    upright[:, :4] += torch.linspace(-3, 3, 8)[:, None]  # another above than below
    assert found(upright) == MIRRORED
    upright[:, 4:8] += torch.linspace(-3, 3, 8)
    assert found(upright) == []


def test_parts_that_lie_as_they_fell_may_be_turned_and_not_mirrored() -> None:
    features = noise(24)
    features[:, 0] += 4  # says which way something winds
    given = {turn: TURNS[turn](features).clone() for turn in TURNS}
    for turn, own in given.items():
        if "mirrored" in turn:
            own[:, 0] *= -1
    assert found(features, given=given) == ROUND


def test_of_few_parts_nothing_is_told() -> None:
    assert found(noise(7)) == []
    assert found(noise(20), torch.arange(20) % 7) == []  # views of seven parts


def test_every_picture_is_copied_once_before_one_is_copied_twice() -> None:
    made = copies(5, ROUND, 100)
    assert len(made) == len(set(made)) == 15
    assert sorted(row for row, _ in made[:5]) == [0, 1, 2, 3, 4]
    assert {turn for _, turn in made[:5]} == set(ROUND)
    assert len(copies(5, ROUND, 12)) == 7
    assert copies(5, ROUND, 5) == copies(5, [], 100) == []


def lying(count: int, seed: int, ways: Sequence[int] = (0, 1, 2, 3)) -> list[NDArray[np.uint8]]:
    """A wedge with a bright end, its own mirror image, turned by as many quarters as ``ways``."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(100, 117, (count, 64, 64, 3))
    for length in range(28):
        half = 2 + length // 5
        pictures[:, 18 + length, 32 - half : 32 + half] += 60 + 2 * length
    turned = [np.rot90(p, ways[k % len(ways)]) for k, p in enumerate(pictures)]
    return [np.ascontiguousarray(p, np.uint8) for p in turned]


def fit(pictures: list[NDArray[np.uint8]], budget: float = 8.0, **settings: int) -> Detector:
    detector = Detector("trio", image_size=64, settings={"groups": 1, **settings})
    return detector.fit(np.stack(pictures), training=TrainingOptions(cache_budget_gib=budget))


def test_copies_are_learned_and_have_no_say_in_the_limits() -> None:
    few = lying(12, 0, (0, 0, 0, 0, 1, 2, 2, 3))
    with_copies, without = fit(few), fit(few, turned=0)
    notes = with_copies.fit_report.notes
    assert any("such copies of them are learned as well" in note for note in notes)
    assert not any("copies" in note for note in without.fit_report.notes)
    assert with_copies.calibration.n == without.calibration.n == 12
    # Ways that good pictures hardly lie in; with copies of the others a defect stands out more.
    rare = np.stack(lying(8, 5, (1, 3)))
    broken = rare.copy()
    broken[:, 29:35, 29:35] = 60
    margins = [
        min(p.times_limit for p in d.predict(broken)) - max(p.times_limit for p in d.predict(rare))
        for d in (with_copies, without)
    ]
    assert margins[0] > margins[1]


def test_a_product_that_lies_alike_is_learned_as_it_is() -> None:
    alike = lying(12, 0, (0,))
    detector = fit(alike)
    assert not any("turned half" in note for note in detector.fit_report.notes)
    upside_down = detector.predict(np.stack(lying(4, 5, (2,))))
    assert all(p.verdict == "defect" for p in upside_down)


def test_a_fit_with_and_without_a_cache_makes_the_same_copies() -> None:
    pictures = lying(12, 0)
    kept, read = (fit(pictures, budget) for budget in (8.0, 0.0))
    new = np.stack(lying(4, 5))
    both = ([p.score for p in d.predict(new)] for d in (kept, read))
    assert next(both) == pytest.approx(next(both), abs=0.02)  # features are kept as float16
    assert kept.fit_report.notes == read.fit_report.notes


def test_at_most_so_many_pictures_and_copies_are_learned() -> None:
    images = torch.from_numpy(np.stack(lying(16, 0))).permute(0, 3, 1, 2)
    for most, pictures in ((0, 16), (16, 16), (30, 30), (250, 128)):
        method = Trio(TrioConfig(turned=most), small_teacher("tiny-three"), (64, 64)).eval()
        with torch.inference_mode():
            method.fit_statistics([Batch(images=images, pixels=images.__getitem__)])
        codes, parts = method.product.known()
        assert sum(map(len, codes)) == pictures, most
        assert len(torch.cat(parts).unique()) <= 16


def test_a_kind_of_copies_alone_is_none() -> None:
    method = Trio(TrioConfig(), small_teacher("tiny-three"), (64, 64)).eval()
    images = torch.from_numpy(np.stack(lying(16, 0, (0,)))).permute(0, 3, 1, 2)
    with torch.inference_mode():
        seen = Collected(method, 0)
        seen.add(Batch(images=images))
        [own] = seen.groups()
        bright = own.features + 5 * own.features.std()
        together = own._replace(
            features=torch.cat([own.features, bright]),
            image=torch.cat([own.image, torch.full_like(own.image, COPY)]),
            part=own.part.repeat(2),
        )
        assert len(method._kinds(together)) == 1
        pictures = together._replace(image=torch.arange(32))
        assert len(method._kinds(pictures)) == 2


def test_tiles_are_learned_as_they_are() -> None:
    pictures = np.stack([np.pad(p, ((0, 64), (0, 64), (0, 0)), "wrap") for p in lying(10, 0)])
    detector = Detector("trio", tile=64, settings={"groups": 1})
    detector.fit(pictures)
    assert not any("copies" in note for note in detector.fit_report.notes)
