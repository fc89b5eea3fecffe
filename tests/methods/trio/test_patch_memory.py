"""Patch memory: odd is what is odd by itself and with what is around it."""

from __future__ import annotations

import pytest
import torch

from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.memory import PatchMemory, kinder, patches_of
from blemish.methods.trio.model import Trio
from blemish.teachers.teacher import build_teacher

WIDTH, SIZE = 3, (4, 5)


def good(count: int, seed: int, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.randn(count, 2 * WIDTH, *size, generator=torch.Generator().manual_seed(seed))


def fitted(size: tuple[int, int] = SIZE) -> tuple[PatchMemory, torch.Tensor]:
    memory, kept = PatchMemory([WIDTH, WIDTH], size), good(30, 0, size)
    part = torch.arange(30)
    [own], _ = memory.fit([kept], [part], [part % 5], torch.Generator(), rows=200, pool=600)
    return memory, own.odd


def test_a_patch_is_odd_only_where_both_descriptions_are() -> None:
    memory, _ = fitted((4, 4))  # of which all places are asked about
    new, group = good(1, 1, (4, 4)), torch.zeros(1, dtype=torch.long)
    usual = memory(new, group).odd
    for kind in range(2):
        one = new.clone()
        one[:, kind * WIDTH : (kind + 1) * WIDTH, 2, 3] = 9.0
        assert float(memory(one, group).odd[0, 11]) < float(usual.max()) + 1
    both = new.clone()
    both[:, :, 2, 3] = 9.0
    found = memory(both, group).odd
    assert found.shape == (1, 16)
    assert int(found.argmax()) == 11
    assert float(found.max()) > float(usual.max()) + 10
    assert torch.equal(found[0, :11], usual[0, :11])


def test_the_memory_of_surroundings_is_asked_about_the_oddest_alone() -> None:
    memory, _ = fitted()
    new, group = good(8, 1), torch.zeros(8, dtype=torch.long)
    apart, shapes = [], []
    for bank, usual, features in zip(memory.banks, memory.usual, new.split(WIDTH, 1), strict=True):
        distances, known = bank.nearest(patches_of(features), usual.of_rows(), group)
        apart.append(usual(distances, known, group))
        usual.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    assert torch.allclose(memory(new, group).odd, kinder(apart), atol=1e-5)
    assert shapes == [(8, 20), (8, 16)]  # patches alone come first


def test_what_only_the_last_memory_finds_odd_stays_among_the_oddest() -> None:
    last = torch.arange(80.0).flip(0)[None]  # 79 … 0: from 60 on it is asked about
    before = torch.full((1, 80), 100.0)
    before[0, [0, 1, 30]] = torch.tensor([70.0, -5.0, -5.0])
    expected = last.clone()
    expected[0, [0, 1]] = torch.tensor([70.0, 60.0])
    assert torch.equal(kinder([before, last]), expected)
    assert kinder([last]) is last


def test_of_a_small_grid_all_patches_are_asked_about() -> None:
    last, before = torch.tensor([[2.0, 5.0, 1.0, 0.0]]), torch.tensor([[-3.0, 4.0, 9.0, -1.0]])
    assert kinder([before, last]).tolist() == [[-3.0, 4.0, 1.0, -1.0]]


def test_what_is_equally_odd_may_be_asked_about_or_not() -> None:
    last = torch.arange(80.0)[None].repeat(2, 1).clamp_max(60)  # the last twenty are the same
    last[0, 50:60], last[1, 50:60] = 60.0, 60.0 - 1e-6
    found = kinder([torch.full((2, 80), -3.0), last])
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_good_pictures_are_measured_by_the_others() -> None:
    memory, own = fitted()
    seen = memory(good(30, 0), torch.zeros(30, dtype=torch.long)).odd
    unseen = memory(good(60, 2), torch.zeros(60, dtype=torch.long)).odd
    assert own.shape == (30, 20)
    assert abs(float(own.mean() - unseen.mean())) < 0.3  # nearly as new ones are
    assert float(seen.mean()) < float(own.mean()) - 0.5  # its own rows are near


@pytest.mark.parametrize(("count", "folds", "rows"), [(30, 5, 10**4), (2, 2, 10**4), (30, 5, 200)])
def test_a_fold_is_measured_by_what_the_others_would_have_given(
    count: int, folds: int, rows: int
) -> None:
    kept, part = good(count, 0)[:, :WIDTH], torch.arange(count)
    fold, group = part % folds, torch.zeros(count, dtype=torch.long)

    def fit(own: torch.Tensor) -> tuple[PatchMemory, torch.Tensor]:
        memory = PatchMemory([WIDTH], SIZE)
        folds = [fold[own]]
        found = memory.fit(
            [kept[own]], [part[own]], folds, torch.Generator(), rows=rows, pool=10**4
        )
        return memory, found[1][0].odd

    _, unseen = fit(part)
    for k in range(folds):
        own = fold == k
        apart = (unseen[own] - fit(~own)[0](kept[own], group[own]).odd).abs()
        # Of all patches there is one choice; of some of them others cover the same ground.
        assert float(apart.max()) < 1e-3 if rows > 600 else float(apart.mean()) < 0.4


def test_plain_distances_are_in_deviations_of_all_good_patches() -> None:
    memory, kept, part = PatchMemory([WIDTH, WIDTH], SIZE), good(30, 0), torch.arange(30)
    kept[:, WIDTH:, :2] *= 3  # half of the places are harder to foresee
    [alone], [unseen] = memory.fit(
        [kept], [part], [part % 5], torch.Generator(), rows=200, pool=600
    )
    new = good(60, 2)
    new[:, WIDTH:, :2] *= 3
    of_new = memory(new, torch.zeros(60, dtype=torch.long))
    for own in (alone, unseen, of_new):
        assert abs(float(own.plain.mean())) < 0.3
        assert abs(float(own.plain.std()) - 1) < 0.3
        # They say so, and what decides does not.
        harder, rest = (own.plain.view(-1, *SIZE)[:, rows].mean() for rows in ([0, 1], [2, 3]))
        assert float(harder - rest) > 0.5
        harder, rest = (own.odd.view(-1, *SIZE)[:, rows].mean() for rows in ([0, 1], [2, 3]))
        assert abs(float(harder - rest)) < 0.4
    distances = memory.banks[1].nearest(
        patches_of(new[:, WIDTH:]), memory.usual[1].of_rows(), torch.zeros(60, dtype=torch.long)
    )[0]
    order = distances.flatten().argsort()
    assert (of_new.plain.flatten()[order].diff() >= 0).all()  # the distances as they are


def test_copies_of_one_picture_are_measured_by_each_other() -> None:
    memory, kept, part = PatchMemory([WIDTH], SIZE), good(1, 0)[:, :WIDTH], torch.arange(6)
    copies = kept.expand(6, -1, -1, -1)
    [alone], [unseen] = memory.fit(
        [copies], [part], [part % 3], torch.Generator(), rows=50, pool=500
    )
    assert all(some.isfinite().all() for some in (*alone, *unseen))


def test_without_a_neighbourhood_there_is_one_description() -> None:
    teacher = build_teacher(weights="random")
    for side, kinds in ((3, 2), (1, 1)):
        method = Trio(TrioConfig(neighbourhood=side), teacher, (64, 64)).eval()  # type: ignore[arg-type]
        images = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8)
        features = method.features(teacher(images))
        assert features.shape == (6, kinds * method.width, 4, 4)
        assert len(method.memory.banks) == kinds
        assert torch.equal(features[:, -method.width :], method.alone(teacher(images)))
        assert torch.allclose(method.codes(features), method.patches(teacher(images)).mean((2, 3)))
