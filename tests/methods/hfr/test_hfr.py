"""HFR against slow manual computations, and what its settings and the paper's differ in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from blemish.errors import ConfigError
from blemish.methods.base import Batch
from blemish.methods.hfr.config import HFRConfig
from blemish.methods.hfr.model import HFR
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import build_teacher

SIZE = (64, 96)


def build(size: tuple[int, int] = SIZE, **settings: Any) -> HFR:
    torch.manual_seed(0)
    return HFR(HFRConfig(**settings), build_teacher(weights="random"), size).eval()


def images(size: tuple[int, int] = SIZE, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


def rebuilt(method: HFR, size: tuple[int, int] = SIZE) -> list[tuple[NDArray, NDArray]]:
    """The teacher's levels and the student's, as arrays."""
    with torch.inference_mode():
        pairs = method.rebuild(method.levels(Batch(images(size))))
    return [(f.double().numpy(), s.double().numpy()) for f, s in pairs]


def slow_error(f: NDArray, s: NDArray, loss: str) -> NDArray:
    """Error of two vectors at every position, one by one: ``(N, H, W)``."""
    n, _, height, width = f.shape
    error = np.zeros((n, height, width))
    for i, y, x in np.ndindex(n, height, width):
        a, b = f[i, :, y, x], s[i, :, y, x]
        if loss == "mse":
            error[i, y, x] = ((a - b) ** 2).mean()
        else:
            error[i, y, x] = ((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum() / 2
    return error


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_levels_rebuilt_are_the_teachers_deepest(count: int) -> None:
    method = build(levels=count)
    teacher = method.teacher
    levels = method.levels(Batch(images()))
    pairs = method.rebuild(levels)
    assert len(pairs) == count
    for (f, s), level in zip(pairs, levels[-count:], strict=True):
        assert torch.equal(f, level)  # not yet standardised
        assert s.shape == level.shape
    # The decoder sees the deepest level alone: the others may be anything.
    changed = (*(torch.randn_like(level) for level in levels[:-1]), levels[-1])
    for (_, s), (_, other) in zip(pairs, method.rebuild(changed), strict=True):
        assert torch.equal(s, other)
    with pytest.raises(ConfigError, match=r"levels=4: .* Ask for 3 or fewer"):
        build(levels=len(teacher.channels) + 1)


@pytest.mark.parametrize("loss", ["cosine", "mse"])
def test_the_loss_is_the_sum_over_levels_of_the_mean_error(loss: str) -> None:
    method = build(loss=loss)
    expected = sum(slow_error(f, s, loss).mean() for f, s in rebuilt(method))
    stage = method.stages()[0]
    found = method.loss(Batch(images()), stage)["total"]
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["cosine", "mse"])
@pytest.mark.parametrize("fusion", ["sum", "product"])
def test_the_map_fuses_the_levels_errors(loss: str, fusion: str) -> None:
    method = build(loss=loss, fusion=fusion)
    with torch.inference_mode():
        method.balance.deviation.copy_(torch.tensor([0.5, 2.0, 3.0]))
        found = method(images()).anomaly_map[:, 0].numpy()
    resized = [
        F.interpolate(
            torch.from_numpy(slow_error(f, s, loss))[:, None] / scale,
            SIZE,
            mode="bilinear",
            align_corners=False,
        )[:, 0].numpy()
        for (f, s), scale in zip(rebuilt(method), (0.5, 2.0, 3.0), strict=True)
    ]
    expected = np.prod(resized, 0) if fusion == "product" else np.sum(resized, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_product_wants_all_levels_to_agree() -> None:
    method = build(fusion="product")
    errors = [torch.zeros(1, 1, 4, 4) for _ in range(3)]
    errors[0][..., 1, 1] = errors[1][..., 1, 1] = errors[2][..., 1, 1] = 2.0
    errors[0][..., 3, 3] = 9.0  # one level alone
    method.errors = lambda levels: errors  # type: ignore[method-assign]
    found = method(images()).anomaly_map[0, 0]
    assert float(found[24, 36]) > 1
    assert float(found[-1, -1]) == 0


@pytest.mark.parametrize(
    ("size", "score", "reduce"),
    [
        ((64, 128), None, np.mean),
        ((64, 160), None, np.max),
        ((64, 128), "max", np.max),
        ((64, 160), "mean", np.mean),
    ],
)
def test_the_score_is_the_maps_maximum_or_its_mean(
    size: tuple[int, int], score: str | None, reduce: Any
) -> None:
    method = build(size, score=score)
    with torch.inference_mode():
        output = method(images(size))
        plain = method.balance(method.errors(method.levels(Batch(images(size)))))
    total = sum(F.interpolate(e, size, mode="bilinear", align_corners=False) for e in plain).numpy()  # type: ignore[union-attr]
    if max(size) > 128:  # on small inputs nothing is smoothed
        total = np.stack([gaussian_filter(one[0], 4.0, mode="nearest")[None] for one in total])
    np.testing.assert_allclose(output.anomaly_map.numpy(), total, rtol=1e-3, atol=1e-5)
    maps = output.anomaly_map.numpy()
    assert output.score.numpy() == pytest.approx([reduce(one) for one in maps], rel=1e-5)


def test_the_settings_are_the_papers() -> None:
    config = HFRConfig()
    assert config.levels == 3
    # Ours, and the paper's where it can be said: its text names neither optimiser nor loss.
    paper = parse_settings(HFRConfig, {}, preset="paper").to_json()
    differs = {name: value for name, value in paper.items() if value != config.to_json()[name]}
    assert differs == {
        "student": "mirror",
        "balance": False,
        # reverse distillation's
        "epochs": 200,
        "decay_at": 1.0,
        "clip_norm": None,
    }
    method = build(**differs)
    method.prepare([Batch(images())])
    method.fit_statistics([Batch(images())])
    assert bool((method.balance.deviation == 1).all())
    levels = method.levels(Batch(images()))
    assert all(torch.equal(f, s) for f, s in zip(method.standardise(levels), levels, strict=True))


@pytest.mark.parametrize(
    "wrong", [{"levels": 0}, {"loss": "l1"}, {"fusion": "max"}, {"score": "auto"}, {"sigma": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HFRConfig(**wrong)


def test_small_pictures_are_seen_small_and_trained_briefly() -> None:
    small, large = [(28, 28)] * 6000, [(28, 28), (40, 28)]
    config = HFRConfig().settled(small)
    assert config.steps == 100
    assert config.input_side(28) == 32
    assert HFRConfig().settled(large).steps is None
    # Residual blocks are for small pictures alone, unless they are asked for.
    assert config.student_blocks == (1,)
    assert HFRConfig().settled(large).student_blocks is None
    assert HFRConfig(student_blocks=(0,)).settled(small).student_blocks == (0,)
    assert HFRConfig().input_side(40) == 96
    assert HFRConfig(steps=7).settled(small).steps == 7
    assert HFRConfig(epochs=2.0).settled(small).steps is None
    paper = parse_settings(HFRConfig, {}, preset="paper")
    assert paper.settled(small) == replace(paper, score="mean")
    assert replace(paper, score="max").settled(small).score == "max"
    assert paper.settled(large) == paper
    (stage,) = build((32, 32), steps=config.steps).stages()
    assert stage.settled(6000).total_steps == 100
