"""What is peculiar to BoRAD: views, target, momentum, switches, and what prediction leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors

from blemish import Detector
from blemish._progress import Progress
from blemish.errors import ConfigError
from blemish.methods.base import Batch
from blemish.methods.borad.config import BoRADConfig
from blemish.methods.borad.model import BoRAD
from blemish.methods.rd.config import RDConfig
from blemish.methods.rd.model import RD, distillation_loss
from blemish.methods.settings import parse_settings
from blemish.model_file.bundle import read_bundle
from blemish.teachers.teacher import build_teacher

SIZE = (64, 96)


def build(size: tuple[int, int] = SIZE, **settings: object) -> BoRAD:
    torch.manual_seed(0)
    return BoRAD(BoRADConfig(**settings), build_teacher(), size)  # type: ignore[arg-type]


def awake(method: BoRAD) -> BoRAD:
    """With projections that do something, as after training; new ones are added times zero."""
    with torch.no_grad():
        for projection in method.projection.projections:
            if projection.scale is not None:
                projection.scale.fill_(1.0)
    return method


def batch_of(method: RD, count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(
        0, 256, (count, 3, *method.input_size), dtype=torch.uint8, generator=generator
    )
    return Batch(features=tuple(method.teacher(images)))


def test_the_settings_are_the_papers() -> None:
    method = build()
    network, heads = method.stages()[0].groups
    assert (network.learning_rate, network.clip_norm) == (5e-3, 5.0)
    assert (heads.learning_rate, heads.clip_norm) == (5e-3, None)
    config = method.config
    assert (config.prototypes, config.view_rate, config.mask_share) == (7, 0.5, 0.5)
    assert config.momentum == (0.99, 0.999)
    assert (config.spatial_weight, config.global_weight) == (1.0, 1.0)
    paper = parse_settings(BoRADConfig, {}, preset="paper")
    differs = {
        name: (stated, getattr(config, name))
        for name, stated in vars(paper).items()
        if stated != getattr(config, name)
    }
    # What paper and authors' code state, and the default here.
    assert differs == {
        "epochs": (100, None),
        "decay_at": (1.0, 0.8),
        "student_blocks": ((3, 4, 6), (0,)),
        "balance": (False, True),
        "standardise": (False, True),
        "focus": (0.0, 1.0),
        "flat_loss": (True, False),
        "residual": (False, True),
        "divisors": ((2, 4, 2), None),
    }


@pytest.mark.parametrize("size", [(64, 96), (256, 256), (96, 32)])
def test_the_bank_has_the_bottlenecks_real_size(size: tuple[int, int]) -> None:
    method = build(size)
    levels = method.standardise(method.levels(batch_of(method, 1)))
    mid = method.eval().embed(levels)
    assert method.alignment is not None
    assert method.alignment.bank.P.shape == (mid.shape[2] * mid.shape[3], 7, mid.shape[1])


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


def test_the_model_file_holds_no_bank_no_head_and_no_target(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    sizes = {}
    for weight in (0.0, 1.0):
        settings = {"steps": 2, "batch_size": 4, "spatial_weight": weight, "global_weight": weight}
        detector = Detector("borad", settings=settings)
        detector.fit(good_parts, false_alarm_rate=0.2, progress=Progress(quiet=True))
        detector.save(tmp_path / "model.blemish")
        weights = read_bundle(tmp_path / "model.blemish").files["model.safetensors"]
        keys = load_tensors(weights).keys()
        assert not any("bank" in key or "head" in key or "target" in key for key in keys)
        assert any(key.startswith("projection.") for key in keys)
        sizes[weight] = len(weights)
        assert detector.method is not None
        everything = detector.method.state_dict().keys()
        assert (len(everything) > len(keys)) == (weight > 0)  # but a checkpoint has them
    assert sizes[0.0] == sizes[1.0]


def test_prediction_never_calls_what_only_training_needs() -> None:
    method = build().eval()
    called: list[str] = []
    for name, module in method.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    images = torch.zeros(1, 3, *SIZE)
    with torch.inference_mode():
        before = method(images).anomaly_map
        assert not [name for name in called if name.startswith(("target", "alignment"))]
        assert "projection" in called
        assert method.target is not None
        assert method.alignment is not None
        for p in (*method.target.parameters(), *method.alignment.parameters()):
            p.fill_(float("nan"))
        assert torch.equal(method(images).anomaly_map, before)


@pytest.mark.parametrize("residual", [True, False])
def test_the_bottleneck_sees_the_levels_through_their_projections(residual: bool) -> None:
    method = build(residual=residual).eval()
    levels = method.standardise(method.levels(batch_of(method)))
    with torch.inference_mode():
        if residual:  # new projections change nothing
            assert torch.equal(method.embed(levels), method.bottleneck(levels))
        awake(method)
        seen = tuple(
            (level if residual else 0) + projection.detour(level)
            for level, projection in zip(levels, method.projection.projections, strict=True)
        )
        assert torch.allclose(method.embed(levels), method.bottleneck(seen), atol=1e-5)
        assert not torch.allclose(method.embed(levels), method.bottleneck(levels), atol=1e-2)


def test_an_image_is_judged_by_itself_through_projections_that_have_learned() -> None:
    method = awake(build()).eval()
    images = torch.randint(0, 256, (3, 3, *SIZE), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = method(images).score
        alone = torch.cat([method(image[None]).score for image in images])
    assert torch.allclose(together, alone, rtol=1e-4)


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"spatial_weight": -1.0},
        {"global_weight": -0.1},
        {"prototypes": 0},
        {"divisors": ()},
        {"view_rate": 1.0},
        {"view_rate": -0.1},
        {"mask_share": 1.0},
        {"momentum": (0.9, 1.1)},
        {"momentum": (0.9,)},
        {"head_learning_rate": 0.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        BoRADConfig(**wrong)  # type: ignore[arg-type]


def test_what_the_bottleneck_cannot_hold_is_refused_with_a_remedy() -> None:
    channels = build().bottleneck.channels
    with pytest.raises(ConfigError, match=f"{channels} channels"):
        build(prototypes=channels + 1)
    build(prototypes=channels)


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


def test_a_loaded_model_has_only_what_predicts(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    detector = Detector("borad", settings={"steps": 2, "batch_size": 4})
    detector.fit(good_parts, false_alarm_rate=0.2, progress=Progress(quiet=True))
    detector.save(tmp_path / "model.blemish")
    loaded = Detector.load(tmp_path / "model.blemish")
    assert loaded.method is not None
    names = {name for name, _ in loaded.method.named_children()}
    assert "projection" in names
    assert not names & {"target", "alignment"}
    assert len(loaded.method.stages()[0].groups) == 1  # as one that never aligned
    loaded.save(tmp_path / "again.blemish")
    one, other = (read_bundle(tmp_path / f"{name}.blemish") for name in ("model", "again"))
    assert one.files == other.files


def test_settings_are_read_from_text() -> None:
    config = parse_settings(BoRADConfig, {"momentum": "0.9,0.95", "spatial_weight": "0"})
    assert isinstance(config, BoRADConfig)
    assert (config.momentum, config.spatial_weight) == ((0.9, 0.95), 0.0)


@pytest.mark.parametrize(
    ("divisors", "widths"), [(None, [8, 24]), ((2,), [12, 24]), ((2, 4, 2), [12, 8, 12, 24])]
)
def test_projections_of_a_narrow_teacher_are_light_unless_told_otherwise(
    divisors: tuple[int, ...] | None, widths: list[int]
) -> None:
    (first, *_) = build(divisors=divisors).projection.projections
    assert [m.out_channels for m in first.modules() if isinstance(m, torch.nn.Conv2d)] == widths
    with pytest.raises(ConfigError, match="divisors"):
        BoRADConfig(divisors=(2, 0))


def test_projections_of_a_wide_teacher_are_the_stated_ones() -> None:
    teacher = build_teacher(weights="random")
    teacher.channels = (128, 256, 512)
    (first, *_) = BoRAD(BoRADConfig(), teacher, SIZE).projection.projections
    widths = [m.out_channels for m in first.modules() if isinstance(m, torch.nn.Conv2d)]
    assert widths == [64, 32, 64, 128]
