"""What is peculiar to BoRAD's training: views, target, momentum, switches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_borad import SIZE, batch_of, build

from blemish.methods.rd.config import RDConfig
from blemish.methods.rd.model import RD, distillation_loss
from blemish.teachers.teacher import build_teacher


def test_views_are_masked_by_position_independently_per_view_and_level() -> None:
    method = build()
    levels = (torch.ones(16, 5, 24, 24), torch.ones(16, 7, 24, 24))
    torch.manual_seed(5)
    views = method.views(levels)
    masks = [level[:, 0] for view in views for level in view]  # (N, H, W)
    for view in views:
        for level in view:
            assert set(level.unique().tolist()) == {0.0, 1.0}
            assert torch.equal(level, level[:, :1].expand_as(level))
    for index, mask in enumerate(masks):
        assert mask.mean().item() == pytest.approx(0.5, abs=0.02)
        for other in masks[index + 1 :]:
            assert (mask * other).mean().item() == pytest.approx(0.25, abs=0.02)
    assert build(mask_share=0.2).views(levels)[0][0].mean().item() == pytest.approx(0.8, abs=0.02)


def test_half_of_the_steps_are_masked_and_the_student_rebuilds_what_no_mask_hides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method, batch = build(), None
    batch = batch_of(method)
    seen: list[tuple[torch.Tensor, ...]] = []
    embedded: list[tuple[torch.Tensor, ...]] = []

    def record(
        levels: tuple[torch.Tensor, ...], rebuilt: list[torch.Tensor], **options: Any
    ) -> torch.Tensor:
        seen.append(levels)
        return distillation_loss(levels, rebuilt, **options)

    original = method.embed

    def embed(levels: tuple[torch.Tensor, ...]) -> torch.Tensor:
        embedded.append(levels)
        return original(levels)

    monkeypatch.setattr("blemish.methods.rd.model.distillation_loss", record)
    monkeypatch.setattr(method, "embed", embed)
    stage = method.stages()[0]
    for step in range(40):
        torch.manual_seed(step)
        method.loss(batch, stage)
    plain = method.standardise(method.levels(batch))
    assert all(
        torch.equal(f, level) for levels in seen for f, level in zip(plain, levels, strict=True)
    )
    masked = [not torch.equal(levels[0], plain[0]) for levels in embedded]
    assert 10 <= sum(masked) <= 30


def test_masked_steps_leave_the_statistics_of_prediction_alone() -> None:
    batch, moved = None, {}
    for rate in (0.0, 0.999999):
        method = build(view_rate=rate)
        batch = batch_of(method)
        method.train()
        before = {k: v.clone() for k, v in method.named_buffers() if "running" in k}
        torch.manual_seed(0)
        method.loss(batch, method.stages()[0])
        moved[rate] = any(
            not torch.equal(v, before[k]) for k, v in method.named_buffers() if "running" in k
        )
    assert moved == {0.0: True, 0.999999: False}


def test_published_statistics_are_of_every_pass() -> None:
    method = build(view_rate=0.999999, unmasked_statistics=False)
    method.train()
    norm = next(m for m in method.bottleneck.modules() if isinstance(m, torch.nn.BatchNorm2d))
    method.loss(batch_of(method), method.stages()[0])
    assert int(norm.num_batches_tracked) == 2  # the online branch and the target's
    assert bool(norm.running_mean.any())  # type: ignore[union-attr]


def test_no_gradient_reaches_the_target_branch() -> None:
    method = build()
    method.train()
    torch.manual_seed(1)
    losses = method.loss(batch_of(method), method.stages()[0])
    losses["total"].backward()
    assert method.target is not None
    assert all(p.grad is None for p in method.target.parameters())
    assert all(p.grad is not None for p in method.projection.parameters())
    total = losses["distillation"] + losses["spatial"] + losses["global"]
    assert torch.allclose(losses["total"], total)


def test_the_alignments_train_the_network_too() -> None:
    method = build()
    method.train()
    losses = method.loss(batch_of(method), method.stages()[0])
    (losses["spatial"] + losses["global"]).backward()
    for module in (method.projection, method.bottleneck, method.alignment):
        assert module is not None
        assert any(p.grad is not None and p.grad.any() for p in module.parameters())
    assert all(p.grad is None or not p.grad.any() for p in method.student.parameters())


def test_the_momentum_rises_linearly_from_first_to_last_step() -> None:
    method = build(steps=5, momentum=(0.5, 0.9))
    stage = method.stages()[0]
    assert method.target is not None
    (average, *_), (online, *_) = (
        list(method.target.parameters()),
        list(method.projection.parameters()),
    )
    for step, momentum in enumerate((0.5, 0.6, 0.7, 0.8, 0.9)):
        with torch.no_grad():
            average.zero_()
            online.fill_(1.0)
        method.after_step(stage, step)
        assert average.mean().item() == pytest.approx(1 - momentum, abs=1e-6)


def test_each_ablation_trains_exactly_its_parts() -> None:
    shapes = {
        (0.0, 0.0): set(),
        (1.0, 0.0): {"spatial"},
        (0.0, 1.0): {"global"},
        (1.0, 1.0): {"spatial", "global"},
    }
    trunks = []
    for (spatial, overall), expected in shapes.items():
        method = build(spatial_weight=spatial, global_weight=overall)
        losses = method.loss(batch_of(method), method.stages()[0])
        assert set(losses) - {"total", "distillation"} == expected
        assert len(method.stages()[0].groups) == (2 if expected else 1)
        assert (method.target is None) == (method.alignment is None) == (not expected)
        trunks.append(torch.cat([p.flatten() for p in method.student.parameters()]))
    # The same seed gives every variant the same trunk, plain reverse distillation included.
    torch.manual_seed(0)
    plain = RD(RDConfig(), build_teacher(), SIZE)
    trunks.append(torch.cat([p.flatten() for p in plain.student.parameters()]))
    assert all(torch.equal(trunk, trunks[0]) for trunk in trunks)


def test_a_weight_scales_its_part() -> None:
    parts = []
    for weight in (1.0, 0.25):
        method = build(spatial_weight=weight, global_weight=weight, view_rate=0.0)
        parts.append(method.loss(batch_of(method), method.stages()[0]))
    for name in ("spatial", "global"):
        assert parts[1][name].item() == pytest.approx(0.25 * parts[0][name].item(), rel=1e-5)


def test_the_alignment_compares_with_the_other_view_through_the_running_average() -> None:
    method = build(view_rate=0.999999)
    method.train()
    assert method.target is not None
    assert method.alignment is not None
    with torch.no_grad():  # a running average that has stayed behind
        for n, projection in enumerate(method.target.projections):
            projection.scale.fill_(0.5 + n)
    views: list[tuple[tuple[torch.Tensor, ...], ...]] = []
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    draw, align = method.views, method.alignment.forward

    def views_kept(levels: Any) -> Any:
        views.append(draw(levels))
        return views[-1]

    def align_kept(mid: torch.Tensor, target: torch.Tensor) -> Any:
        given.append((mid, target))
        return align(mid, target)

    method.views, method.alignment.forward = views_kept, align_kept  # type: ignore[method-assign]
    method.loss(batch_of(method), method.stages()[0])
    ((online, other),), ((mid, target),) = views, given
    with torch.no_grad():
        assert torch.allclose(mid, method.embed(online), atol=1e-5)
        assert torch.allclose(target, method.bottleneck(method.target(other)), atol=1e-5)
        for not_this in (method.target(online), method.projection(other)):
            assert not torch.allclose(target, method.bottleneck(not_this), atol=1e-2)
    assert not target.requires_grad


def test_the_smallest_input_has_nothing_spatial_to_align_and_still_trains() -> None:
    method = build((32, 32))
    method.train()
    for seed in range(4):  # masked and plain steps
        torch.manual_seed(seed)
        losses = method.loss(batch_of(method), method.stages()[0])
        assert set(losses) == {"total", "distillation", "global"}
        assert all(value.isfinite() for value in losses.values())
        losses["total"].backward()


def test_at_one_location_spatial_alignment_alone_is_plain_training() -> None:
    method = build((32, 32), global_weight=0.0)
    assert method.alignment is None
    assert method.target is None
    assert len(method.stages()[0].groups) == 1
