"""Codes, gates and the pathway: bounds, and that what is off is not there."""

from __future__ import annotations

import torch

from blemish.methods.logicrd.blocks import CompensationPathway, GuidedDecoder, Modulation
from blemish.methods.logicrd.pseudo_anomalies import corrupt_patches
from blemish.methods.logicrd.semantics import GlobalSemantics, join_levels, token_grid
from blemish.nn.reverse_distillation import StudentPlan

CHANNELS = (8, 12, 16)
PLAN = StudentPlan(widths=(6, 6, 8), blocks=(1, 1, 1), fused=8, bottleneck=10)


def decoder(*, compensate: bool, gated: bool) -> GuidedDecoder:
    torch.manual_seed(0)
    built = GuidedDecoder(
        CHANNELS,
        (4, 8, 16),
        (4, 6),
        plan=PLAN,
        code=5,
        compensate=compensate,
        gated=gated,
    )
    return built.eval()


def levels(n: int = 2, *, seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((16, 24), (8, 12), (4, 6))
    return [
        torch.randn(n, c, *shape, generator=generator)
        for c, shape in zip(CHANNELS, shapes, strict=True)
    ]


def test_without_the_pathway_nothing_of_the_teacher_reaches_the_student() -> None:
    student, squeezed = decoder(compensate=False, gated=True), torch.randn(2, 10, 2, 3)
    codes = [torch.randn(2, 5)] * 3
    first, gates = student.guided(squeezed, levels(seed=1), codes)
    second, _ = student.guided(squeezed, levels(seed=2), codes)
    assert gates == []
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not [name for name, _ in student.named_parameters() if "pathways" in name]


def test_with_the_pathway_the_teacher_reaches_every_level() -> None:
    student, squeezed = decoder(compensate=True, gated=False), torch.randn(2, 10, 2, 3)
    codes = [torch.randn(2, 5)] * 3
    first, gates = student.guided(squeezed, levels(seed=1), codes)
    second, _ = student.guided(squeezed, levels(seed=2), codes)
    assert gates == []
    assert all(not torch.allclose(a, b) for a, b in zip(first, second, strict=True))


def test_a_closed_gate_lets_nothing_through_and_an_open_one_everything() -> None:
    torch.manual_seed(0)
    gated = CompensationPathway(16, 8, code=5, gated=True).eval()
    level, code = torch.randn(2, 16, 4, 6), torch.randn(2, 5)
    added, logits = gated(level, code)
    assert logits is not None
    passed = torch.sigmoid(logits)
    assert bool(((passed > 0) & (passed < 1)).all())
    whole = gated.widen(gated.squeeze(level))
    slow = torch.stack(
        [gated.widen(gated.squeeze(level)[n : n + 1] * passed[n])[0] for n in (0, 1)]
    )
    assert torch.allclose(added, slow, atol=1e-6)
    torch.nn.init.zeros_(gated.gate.out.weight)  # type: ignore[union-attr]
    torch.nn.init.constant_(gated.gate.out.bias, -60.0)  # type: ignore[union-attr,arg-type]
    assert gated(level, code)[0].abs().max() < 1e-12
    torch.nn.init.constant_(gated.gate.out.bias, 60.0)  # type: ignore[union-attr,arg-type]
    assert torch.allclose(gated(level, code)[0], whole)


def test_modulation_scales_and_shifts_and_starts_as_nothing() -> None:
    torch.manual_seed(0)
    modulate, x, code = Modulation(5, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    assert torch.equal(modulate(x, code), x)
    torch.nn.init.normal_(modulate.project.weight)
    out, numbers = modulate(x, code), modulate.project(code)
    for n in range(2):
        for c in range(3):
            expected = x[n, c] * (1 + numbers[n, c]) + numbers[n, 3 + c]
            assert torch.allclose(out[n, c], expected, atol=1e-6)


def test_the_codes_see_relations_between_places() -> None:
    torch.manual_seed(0)
    semantics = GlobalSemantics(4, (4, 6), levels=3, width=8, heads=2).eval()
    joined = torch.randn(1, 4, 4, 6)
    swapped = joined.clone()
    swapped[..., 0, 0], swapped[..., 3, 5] = joined[..., 3, 5], joined[..., 0, 0]
    # An average over places would be the same.
    assert torch.allclose(joined.mean((2, 3)), swapped.mean((2, 3)), atol=1e-6)
    before, after = semantics(joined), semantics(swapped)
    whole = [semantics.guides(codes) for codes in (before, after)]
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(*whole, strict=True))
    slow = semantics.levels[1](before.flatten(2).sum(2) / 24)
    assert torch.allclose(whole[0][1], slow, atol=1e-6)


def test_tokens_follow_the_input() -> None:
    assert token_grid((16, 16)) == (16, 16)
    assert token_grid((12, 22)) == (12, 22)
    assert token_grid((64, 64)) == (16, 16)
    large = GlobalSemantics(4, (32, 48), levels=1, width=8, heads=2)
    assert large.position.shape == (1, 16 * 24, 8)
    assert large(torch.randn(2, 4, 32, 48)).shape == (2, 8, 16, 24)


def test_joined_levels_are_averages_over_the_deepest_levels_cells() -> None:
    given = levels()
    joined = join_levels(given)
    assert joined.shape == (2, sum(CHANNELS), 4, 6)
    expected = given[0][1, 3, 4:8, 8:12].mean()
    assert torch.allclose(joined[1, 3, 1, 2], expected, atol=1e-6)
    assert torch.equal(joined[:, -16:], given[2])


def test_pseudo_anomalies_change_the_same_place_of_every_level_and_nothing_else() -> None:
    torch.manual_seed(3)
    given = levels(32)
    changed, mask = corrupt_patches(given, share=0.5)
    assert 4 <= int(mask.flatten(1).any(1).sum()) <= 28
    assert mask.float().mean() < 0.4
    for before, after in zip(given, changed, strict=True):
        factor = before.shape[2] // 4
        here = mask.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        assert torch.equal(torch.where(here, 0, before), torch.where(here, 0, after))
        differs = (before != after).any(1, keepdim=True)
        assert torch.equal(differs, here)
    torch.manual_seed(3)
    again, _ = corrupt_patches(given, share=0.5)
    assert all(torch.equal(a, b) for a, b in zip(changed, again, strict=True))
    assert not corrupt_patches(given, share=0.0)[1].any()
