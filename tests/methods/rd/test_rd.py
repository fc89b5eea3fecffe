"""Reverse distillation against slow manual computations of the paper's formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from blemish.errors import ConfigError
from blemish.methods.base import Batch
from blemish.methods.rd.config import RDConfig
from blemish.methods.rd.model import RD, distillation_loss
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import build_teacher


def build(size: tuple[int, int] = (64, 96), **settings: object) -> RD:
    torch.manual_seed(0)
    return RD(RDConfig(**settings), build_teacher(), size)  # type: ignore[arg-type]


@pytest.mark.parametrize("flat", [False, True])
def test_the_loss_is_the_mean_cosine_distance(flat: bool) -> None:
    rng = np.random.default_rng(0)
    shapes = ((3, 4, 8, 6), (3, 5, 4, 3), (3, 7, 2, 2))
    levels = [rng.normal(size=shape) for shape in shapes]
    rebuilt = [rng.normal(size=shape) for shape in shapes]

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(1 - a.ravel() @ b.ravel() / (np.linalg.norm(a) * np.linalg.norm(b)))

    expected = 0.0
    for f, s in zip(levels, rebuilt, strict=True):
        _, _, height, width = f.shape
        pairs = [(f[n], s[n]) for n in range(3)]
        if not flat:
            places = [(y, x) for y in range(height) for x in range(width)]
            pairs = [(a[:, y, x], b[:, y, x]) for a, b in pairs for y, x in places]
        expected += float(np.mean([distance(a, b) for a, b in pairs]))
    loss = distillation_loss(
        tuple(torch.from_numpy(f) for f in levels),
        [torch.from_numpy(s) for s in rebuilt],
        flat=flat,
    )
    assert float(loss) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("focus", [1.0, 2.5])
def test_a_focused_loss_weighs_positions_by_their_own_distance(focus: float) -> None:
    generator = torch.Generator().manual_seed(3)
    f, s = torch.randn(2, 3, 5, 4, 4, generator=generator, dtype=torch.float64)
    s.requires_grad_()
    loss = distillation_loss((f,), [s], focus=focus)
    (gradient,) = torch.autograd.grad(loss, s)
    distances = []
    for n in range(3):
        for y in range(4):
            for x in range(4):
                a, b = f[n, :, y, x], s[n, :, y, x]
                distances.append(1 - a @ b / (a.norm() * b.norm()))
    weights = [float(d.detach()) ** focus for d in distances]
    mean = sum(weights) / len(weights)
    expected = sum(w / mean * d for w, d in zip(weights, distances, strict=True)) / len(distances)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    # The weights are constants: their own gradient would pull easy positions away.
    assert torch.allclose(gradient, torch.autograd.grad(expected, s)[0])


def test_positions_that_were_not_seen_do_not_take_the_others_weight() -> None:
    f, s = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    here = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    here[0, :, 1:] = True
    d = 1 - torch.cosine_similarity(f, s, dim=1)
    by_kind = sum((d[of].square() / d[of].mean()).sum() for of in (here[:, 0], ~here[:, 0]))
    loss = distillation_loss((f,), [s], focus=1.0, changed=[here])
    torch.testing.assert_close(loss, by_kind / d.numel())
    assert loss != distillation_loss((f,), [s], focus=1.0)


def test_perfect_positions_do_not_break_a_focused_loss() -> None:
    f = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    s = (3 * f).requires_grad_()
    loss = distillation_loss((f,), [s], focus=0.5)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert s.grad is not None
    assert bool(s.grad.isfinite().all())


def test_the_map_is_the_smoothed_sum_of_cosine_distances() -> None:
    method = build().eval()
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        output = method(images)
        levels = method.standardise(method.teacher(images))
        rebuilt = method.student(method.embed(levels))
    for n in range(2):
        fused = np.zeros((64, 96))
        for f, s in zip(levels, rebuilt, strict=True):
            a, b = f[n].double().numpy(), s[n].double().numpy()
            cosine = (a * b).sum(0) / (np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0))
            fused += _bilinear(1 - cosine, (64, 96))
        expected = gaussian_filter(fused, 4.0, mode="nearest", truncate=4.0)
        assert np.abs(output.anomaly_map[n, 0].numpy() - expected).max() < 1e-4
        assert float(output.score[n]) == pytest.approx(expected.max(), abs=1e-4)


def test_the_student_sees_the_bottleneck_alone() -> None:
    method = build().eval()
    levels = method.standardise(method.teacher(torch.zeros(1, 3, 64, 96)))
    bottleneck = method.embed(levels)
    assert bottleneck.shape[2:] == (2, 3)
    assert [tuple(s.shape) for s in method.student(bottleneck)] == [tuple(f.shape) for f in levels]


def test_cached_features_and_images_give_the_same_loss() -> None:
    method = build().eval()
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    stage = method.stages()[0]
    features = tuple(method.teacher(images))
    one = method.loss(Batch(images=images), stage)["total"]
    other = method.loss(Batch(features=features), stage)["total"]
    assert torch.equal(one, other)
    with pytest.raises(ValueError, match="images or features"):
        method.loss(Batch(), stage)


def test_the_settings_are_the_papers() -> None:
    config = RDConfig()
    (stage,) = build().stages()
    (group,) = stage.groups
    assert stage.optimizer is torch.optim.Adam
    assert group.learning_rate == 5e-3
    assert group.options == {"betas": (0.5, 0.999)}
    assert stage.batch_size == 16
    assert config.sigma == 4.0
    paper = parse_settings(RDConfig, {}, preset="paper")
    differs = {
        name: (stated, getattr(config, name))
        for name, stated in vars(paper).items()
        if stated != getattr(config, name)
    }
    # What the paper states, and the default here.
    assert differs == {
        "epochs": (200, None),
        "decay_at": (1.0, 0.8),
        "clip_norm": (None, 5.0),
        "student": ("mirror", "light"),
        "balance": (False, True),
        "focus": (0.0, 1.0),
        "flat_loss": (True, False),
    }


def test_the_papers_preset_trains_for_epochs_at_one_rate_without_clipping() -> None:
    torch.manual_seed(0)
    config = parse_settings(RDConfig, {"student": "light"}, preset="paper")
    assert isinstance(config, RDConfig)
    (stage,) = RD(config, build_teacher(), (64, 96)).stages()
    settled = stage.settled(images=209)
    assert settled.total_steps == 2613  # 200 passes over 209 images, 16 at a time
    assert stage.groups[0].clip_norm is None
    assert {stage.schedule(step, 2613) for step in (0, 2000, 2612)} == {1.0}


@pytest.mark.parametrize(
    ("images", "steps"),
    [(24, 500), (432, 1890), (100_000, 10_000)],  # 70 passes, 16 at a time, within the limits
)
def test_the_length_follows_the_number_of_images_within_limits(images: int, steps: int) -> None:
    (stage,) = build().stages()
    assert stage.settled(images).total_steps == steps


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({"steps": 3}, 3), ({"epochs": 2}, 3), ({"epochs": 1000}, 1500), ({"steps": 50_000}, 50_000)],
)
def test_a_length_that_is_set_is_kept(settings: dict[str, object], steps: int) -> None:
    (stage,) = build(**settings).stages()
    assert stage.settled(24).total_steps == steps
    paper = parse_settings(RDConfig, {**settings, "student": "light"}, preset="paper")
    (stage,) = RD(paper, build_teacher(weights="random"), (64, 96)).stages()  # type: ignore[arg-type]
    assert stage.settled(24).total_steps == steps


def test_a_mirror_has_the_teachers_widths() -> None:
    with pytest.raises(ConfigError, match=r"width=0\.5: a mirror has the channels"):
        RDConfig(student="mirror", width=0.5)
    with pytest.raises(ConfigError, match="student_blocks=1,0,1: a mirror grows"):
        build(student="mirror", student_blocks=(1, 0, 1))
    method = build(student="mirror", student_blocks=(1,), bottleneck=16).eval()
    levels = method.standardise(method.teacher(torch.zeros(1, 3, 64, 96)))
    squeezed = method.embed(levels)
    assert squeezed.shape[1] == 16
    assert [tuple(s.shape) for s in method.student(squeezed)] == [tuple(f.shape) for f in levels]


def test_a_student_without_residual_blocks_is_lighter_and_rebuilds_every_level() -> None:
    teacher = build_teacher(weights="random")
    full, light = (
        RD(RDConfig(student_blocks=blocks), teacher, (64, 96)) for blocks in ((1, 1, 1), (0, 0, 0))
    )
    sizes = [sum(p.numel() for p in m.student.parameters()) for m in (full, light)]
    assert sizes[1] < sizes[0] / 2
    levels = light.standardise(tuple(teacher(torch.zeros(1, 3, 64, 96))))
    rebuilt = light.student(light.embed(levels))
    assert [s.shape for s in rebuilt] == [f.shape for f in levels]


@pytest.mark.parametrize(
    "wrong",
    [
        {"decay_at": 0.0},
        {"decay_at": 1.1},
        {"learning_rate": 0.0},
        {"sigma": 0.0},
        {"width": -1.0},
        {"width": 0.0},
        {"bottleneck": 0},
        {"epochs": 0},
        {"clip_norm": 0.0},
        {"focus": -0.1},
        {"focus": 9.0},
        {"student_blocks": ()},
        {"student_blocks": (1, -1, 1)},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RDConfig(**wrong)  # type: ignore[arg-type]


def _bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel centres at half positions, edges repeated: align_corners=False, written out."""
    out = values
    for axis in (0, 1):
        length = out.shape[axis]
        places = (np.arange(size[axis]) + 0.5) * length / size[axis] - 0.5
        places = np.clip(places, 0, length - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (places - low).reshape((-1, 1) if axis == 0 else (1, -1))
        out = np.take(out, low, axis) * (1 - share) + np.take(out, high, axis) * share
    return out
