"""Memory bank against distances of every pair, and through a model file."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import blemish.nn.memory_bank as memory_bank
from blemish.nn.memory_bank import MemoryBank


def filled(*sizes: int, dimensions: int = 6) -> tuple[MemoryBank, list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn(size, dimensions, generator=generator) for size in sizes]
    bank = MemoryBank(dimensions)
    bank.fill(blocks)
    return bank, blocks


def queries(n: int = 3, p: int = 10, dimensions: int = 6) -> Tensor:
    return torch.randn(n, p, dimensions, generator=torch.Generator().manual_seed(1))


def test_distances_are_those_of_the_nearest_row_of_the_own_group() -> None:
    bank, blocks = filled(40, 25)
    given, group = queries(), torch.tensor([1, 0, 1])
    found = bank(given, group)
    for own, g, distances in zip(given, group.tolist(), found, strict=True):
        assert torch.allclose(distances, torch.cdist(own, blocks[g]).amin(1), atol=1e-5)
    assert torch.equal(bank(given), bank(given, torch.zeros(3, dtype=torch.int64)))


def test_large_queries_come_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank, _ = filled(40)
    values = torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(5))
    whole, near = bank(queries()), bank.nearest(queries(), values)
    monkeypatch.setattr(memory_bank, "_CHUNK", 80)
    assert torch.allclose(bank(queries()), whole, atol=1e-6)
    # Some processors round a product of other shape otherwise, which the rows' shares enlarge.
    for one, other in zip(bank.nearest(queries(), values), near, strict=True):
        assert torch.allclose(one, other, atol=2e-5)


def test_what_is_known_of_the_nearest_row_comes_with_its_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_bank, "_NEARLY", 1e-6)  # none but the nearest
    bank, blocks = filled(40, 25)
    group = torch.tensor([1, 0, 1])
    values = torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(5))
    distances, known = bank.nearest(queries(), values, group)
    assert torch.equal(distances, bank(queries(), group))
    for n, g in enumerate(group.tolist()):
        place = torch.cdist(queries()[n], blocks[g]).argmin(1)
        assert torch.allclose(known[n], values[g, place], atol=1e-6)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)  # all pictures at once
    for one, other in zip(bank.nearest(queries(), values, group), (distances, known), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_between_two_rows_rounding_decides_nothing() -> None:
    bank = memory_bank.MemoryBank(1)
    bank.fill([torch.tensor([[-1.0], [1.0]])])
    values = torch.tensor([[[0.0], [10.0]]])
    along = torch.linspace(-0.02, 0.02, 401)[None, :, None]
    known = bank.nearest(along, values)[1].flatten()
    assert known[200] == pytest.approx(5.0, abs=1e-3)
    assert known[[0, -1]].tolist() == [0.0, 10.0]
    assert known.diff().min() > -1e-4
    assert known.diff().max() < 0.2


def test_the_weight_of_a_score_is_the_papers() -> None:
    bank, blocks = filled(40, 3)
    group = torch.tensor([0, 1, 0])
    oddest = 3 * queries()[:, 0]  # (N, D)
    found = bank.reweighted(oddest, 5, group)
    for query, g, score in zip(oddest, group.tolist(), found, strict=True):
        rows = blocks[g].double()
        apart = (rows - query.double()).norm(dim=1)
        nearest = int(apart.argmin())
        around = (rows - rows[nearest]).norm(dim=1).argsort()[:5]
        weight = 1 - apart[nearest].exp() / apart[around].exp().sum()
        assert float(score) == pytest.approx(float(weight * apart[nearest]), rel=1e-4)
    assert torch.allclose(bank.reweighted(oddest, 1, group), bank(oddest[:, None], group)[:, 0])


def test_the_size_of_the_bank_is_restored_with_its_rows() -> None:
    bank, _ = filled(40, 25)
    other = MemoryBank(6)
    other.load_state_dict(bank.state_dict())
    group = torch.tensor([1, 0, 1])
    assert torch.equal(other(queries(), group), bank(queries(), group))
    with pytest.raises(RuntimeError, match="size mismatch"):
        MemoryBank(7).load_state_dict(bank.state_dict())


def test_a_row_of_the_bank_is_as_near_as_rounding_can_tell() -> None:
    """What rounding decides must not differ between a model and its export."""
    bank, (rows,) = filled(40, dimensions=176)
    rows = rows + 20.0
    bank.fill([rows])
    assert torch.allclose(bank(rows[None])[0], rows.norm(dim=1) / 100, rtol=1e-4)
