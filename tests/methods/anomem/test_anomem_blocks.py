"""AnoMem's blocks: memory, encoder, contrastive losses, and distances in deviations."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from blemish.methods.anomem.blocks import (
    LABELLED,
    DeviationScores,
    Kinds,
    PrototypeMemory,
    ResNet,
    nt_xent,
    used_prototypes,
    variance_penalty,
)


def memory(count: int = 5, channels: int = 8, beta: float = 8.0) -> PrototypeMemory:
    torch.manual_seed(0)
    found = PrototypeMemory(count, channels, beta=beta)
    with torch.no_grad():
        found.prototypes.mul_(torch.rand(count, 1) + 0.5)  # training changes the lengths
    return found


def test_the_read_out_is_the_softmax_over_all_prototypes() -> None:
    bank = memory()
    z = F.normalize(torch.randn(2, 3, 8), dim=-1)
    read = bank(z)
    for i in range(2):
        for j in range(3):
            patterns = [p / p.norm() for p in bank.prototypes.detach()]
            strengths = [math.exp(8.0 * float(z[i, j] @ p)) for p in patterns]
            expected = torch.zeros(8)
            for strength, pattern in zip(strengths, patterns, strict=True):
                expected += strength / sum(strengths) * pattern
            assert torch.allclose(read[i, j], expected, atol=1e-6)


def test_stored_patterns_are_fixed_points_and_others_are_drawn_to_them() -> None:
    bank = memory(count=6, channels=32, beta=60.0)
    stored = bank.patterns()
    assert torch.allclose(bank(stored), stored, atol=1e-3)
    disturbed = F.normalize(stored + 0.1 * torch.randn_like(stored), dim=1)
    once = bank(disturbed)
    assert ((once - stored).norm(dim=1) < 0.1 * (disturbed - stored).norm(dim=1)).all()


def test_a_read_out_never_leaves_the_hull_of_the_prototypes() -> None:
    bank = memory()
    weights = bank.weights(F.normalize(torch.randn(7, 8), dim=1))
    assert torch.allclose(weights.sum(1), torch.ones(7))
    assert (weights > 0).all()


def test_prototypes_in_use_are_those_that_win_a_read() -> None:
    bank = memory(count=4, channels=16)
    weights = bank.weights(bank.patterns()[[1, 1, 3]][None])  # (1, 3, K)
    assert used_prototypes(weights).tolist() == [False, True, False, True]


@pytest.mark.parametrize(("stem", "sides"), [(1, (16, 8, 4)), (2, (8, 4, 2)), (4, (4, 2, 1))])
def test_the_stem_decides_the_strides(stem: int, sides: tuple[int, ...]) -> None:
    network = ResNet(width=4, blocks=1, stem_stride=stem)
    maps = network(torch.zeros(2, 3, 32, 64))
    expected = [(2, 4 * 2**k, side, 2 * side) for k, side in zip((1, 2, 3), sides, strict=True)]
    assert [tuple(m.shape) for m in maps] == expected
    assert network.channels == (8, 16, 32)


def test_the_full_width_is_resnet_18() -> None:
    """11,689,512 parameters as published, less the classifier's 513,000."""
    assert sum(p.numel() for p in ResNet(stem_stride=4).parameters()) == 11_176_512


def test_a_block_adds_its_input() -> None:
    network = ResNet(width=4, blocks=2)
    block = network.stages[0][1]  # type: ignore[index]
    for parameter in block.body.parameters():
        parameter.data.zero_()
    x = torch.rand(1, 4, 5, 5)
    assert torch.equal(block.eval()(x), x)


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("extra", [0, 3])
def test_nt_xent_is_the_formula_written_out(extra: int) -> None:
    torch.manual_seed(1)
    anchors, targets, others = unit(4, 6), unit(4, 6), unit(extra, 6)
    tau, expected = 0.2, 0.0
    for i in range(4):
        total = sum(math.exp(float(anchors[i] @ targets[j]) / tau) for j in range(4))
        total += sum(math.exp(float(anchors[i] @ anchors[j]) / tau) for j in range(4) if j != i)
        total += sum(math.exp(float(anchors[i] @ other) / tau) for other in others)
        expected -= math.log(math.exp(float(anchors[i] @ targets[i]) / tau) / total) / 4
    found = nt_xent(anchors, targets, temperature=tau, others=others if extra else None)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_places_are_contrasted_each_with_its_own_kind() -> None:
    torch.manual_seed(2)
    anchors, targets = unit(3, 5, 6), unit(3, 5, 6)
    each = [nt_xent(a, t, temperature=0.5) for a, t in zip(anchors, targets, strict=True)]
    together = nt_xent(anchors, targets, temperature=0.5)
    assert float(together) == pytest.approx(float(torch.stack(each).mean()), abs=1e-12)


def test_a_single_pair_has_nothing_to_be_told_from() -> None:
    a = unit(1, 4)
    assert float(nt_xent(a, a, temperature=0.2)) == pytest.approx(0.0, abs=1e-12)


def test_the_variance_term_is_the_hinge_written_out() -> None:
    torch.manual_seed(3)
    readouts = 0.3 * torch.randn(9, 4, dtype=torch.float64)
    readouts[:, 0] *= 5  # beyond the hinge: costs nothing
    expected = 0.0
    for d in range(4):
        mean = sum(float(r[d]) for r in readouts) / 9
        variance = sum((float(r[d]) - mean) ** 2 for r in readouts) / 9
        expected += max(0.0, 1 - math.sqrt(variance + 1e-4) * 2) / 4
    assert float(variance_penalty(readouts)) == pytest.approx(expected, abs=1e-12)
    assert float(variance_penalty(readouts[:, :1])) == 0.0


def test_identical_read_outs_cost_most_and_can_still_part() -> None:
    alike = torch.ones(6, 16).requires_grad_()
    loss = variance_penalty(alike + 1e-3 * torch.arange(6.0)[:, None])
    loss.backward()
    assert float(loss.detach()) > 0.9
    assert alike.grad is not None
    assert alike.grad.isfinite().all()
    assert alike.grad.abs().sum() > 0


def flat(*values: float) -> torch.Tensor:
    """One map of a single position per image: ``(N, 1, 1, 1)``."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def fitted(**weights: float) -> DeviationScores:
    given = {"plain_weight": 0.0, "labelled_weight": 2.0, **weights}
    scores = DeviationScores([1.0], top_share=1.0, **given)
    good: Kinds = (flat(1.0, 3.0), flat(10.0, 30.0), flat(4.0, 6.0))  # deviations 1, 10 and 1
    scores.fit([scores.moments([good])])
    return scores


def test_every_kind_counts_in_deviations_over_good_images() -> None:
    score, (amap,) = fitted(plain_weight=0.5)([(flat(7.0), flat(50.0), flat(99.0))])
    assert score.item() == pytest.approx(7.0 + 0.5 * 5.0)
    assert amap.item() == pytest.approx((7.0 - 2.0) + 0.5 * (5.0 - 2.0))


def test_the_labelled_distance_counts_once_there_were_labels_and_above_good_images() -> None:
    scores = fitted()
    images: list[Kinds] = [(flat(0.0, 0.0, 0.0), flat(0.0, 0.0, 0.0), flat(5.9, 6.5, 9.0))]
    assert scores(images)[0].tolist() == [0.0, 0.0, 0.0]
    scores.has_labels()
    score, (amap,) = scores(images)
    assert score.tolist() == pytest.approx([0.0, 2 * 0.5, 2 * 3.0])  # the mean is 5, a deviation 1
    assert (amap.flatten() + 2.0).tolist() == pytest.approx([0.0, 2 * 0.5, 2 * 3.0])


def test_that_labels_were_seen_is_kept_with_the_model() -> None:
    scores = fitted()
    scores.has_labels()
    other = DeviationScores([1.0], plain_weight=0.0, labelled_weight=2.0, top_share=1.0)
    other.load_state_dict(scores.state_dict())
    images: list[Kinds] = [(flat(0.0), flat(0.0), flat(9.0))]
    assert torch.equal(other(images)[0], scores(images)[0])
    assert len(images[0]) - 1 == LABELLED
