"""AnoMem's preset ``paper`` at full size, and its two losses computed again in plain loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from blemish.errors import ConfigError
from blemish.methods.anomem.config import AnoMemConfig
from blemish.methods.anomem.model import AnoMem
from blemish.methods.anomem.views import box_mask, shared_places, spoil_images
from blemish.methods.base import Batch
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import build_teacher


def built(preset: str = "light", **settings: Any) -> AnoMem:
    torch.manual_seed(0)
    config = parse_settings(AnoMemConfig, {"encoder": "scratch", **settings}, preset=preset)
    return AnoMem(config, build_teacher(weights="random"), (32, 32)).train()  # type: ignore[arg-type]


def small(**settings: Any) -> AnoMem:
    """Of few weights, so that loops in Python go through all of it."""
    return built(width=8, blocks=1, stem_stride=2, prototypes=(6, 5, 4), channels=12, **settings)


def pictures(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def test_the_papers_preset_is_resnet_18_with_three_memories() -> None:
    method = built("paper")
    parameters = dict(method.named_parameters())
    assert {name.partition(".")[0] for name in parameters} == {
        "encoder",
        "heads",
        "memories",
        "detectors",
        "labelled",
    }
    # Published: 11,689,512 with the 7×7 stem and the classifier; the CIFAR stem is 3×3.
    encoder = sum(p.numel() for p in method.encoder.parameters())
    assert encoder == 11_689_512 - 513_000 - 64 * 3 * (49 - 9)
    banks = [tuple(method.bank(scale).prototypes.shape) for scale in range(3)]
    assert banks == [(256, 128), (128, 128), (64, 128)]
    inputs = [parameters[f"heads.{scale}.0.weight"].shape[1] for scale in range(3)]
    assert inputs == [128, 256, 512]
    assert method.map_sizes == [(16, 16), (8, 8), (4, 4)]
    one, two = (stage.settled(5000) for stage in method.stages())
    assert (one.total_steps, two.total_steps) == (7813, 3907)  # 100 and 50 epochs of 64
    for stage in (one, two):
        before = {name: p.detach().clone() for name, p in parameters.items()}
        optimiser = torch.optim.Adam(stage.groups[0].parameters(), stage.groups[0].learning_rate)
        for _ in range(2):
            optimiser.zero_grad()
            loss = method.loss(Batch(images=pictures(4)), stage)["total"]
            assert loss.isfinite()
            loss.backward()
            optimiser.step()
        changed = [name for name, p in parameters.items() if not torch.equal(p, before[name])]
        moved = {name.partition(".")[0] for name in changed}
        # No image had a label, so that the head of labelled anomalies waits.
        wanted = {"encoder", "heads", "memories"} if stage is one else {"detectors"}
        assert moved == wanted


def _dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def _unit(vector: Tensor) -> Tensor:
    return vector / math.sqrt(_dot(vector, vector))


def _read_out(z: Tensor, prototypes: Tensor, beta: float) -> Tensor:
    patterns = [_unit(p) for p in prototypes.detach()]
    strengths = [math.exp(beta * _dot(z, p)) for p in patterns]
    read = torch.zeros_like(z)
    for strength, pattern in zip(strengths, patterns, strict=True):
        read += strength / sum(strengths) * pattern
    return read


def _nt_xent(anchors: list[Tensor], targets: list[Tensor], tau: float) -> float:
    loss = 0.0
    for i, anchor in enumerate(anchors):
        total = sum(math.exp(_dot(anchor, t) / tau) for t in targets)
        total += sum(math.exp(_dot(anchor, a) / tau) for j, a in enumerate(anchors) if j != i)
        loss -= math.log(math.exp(_dot(anchor, targets[i]) / tau) / total) / len(anchors)
    return loss


def _variance(reads: list[Tensor]) -> float:
    n, channels, loss = len(reads), len(reads[0]), 0.0
    for d in range(channels):
        mean = sum(float(r[d]) for r in reads) / n
        spread = sum((float(r[d]) - mean) ** 2 for r in reads) / n
        loss += max(0.0, 1 - math.sqrt(spread + 1e-4) * math.sqrt(channels)) / channels
    return loss


@pytest.mark.parametrize(
    ("scales", "weights"), [(3, (1.0, 1.0, 1.0)), (3, (0.5, 0.0, 2.0)), (2, (9.0, 1.0, 3.0))]
)
def test_the_first_loss_is_the_weighted_sum_over_scales_written_out(
    scales: int, weights: tuple[float, float, float]
) -> None:
    method = small(scale_weights=weights, scales=scales, positions=2, variance_weight=0.7)
    images = pictures(3).float()
    torch.manual_seed(7)
    found = method.memory_loss([images], torch.ones(3, dtype=torch.bool))
    torch.manual_seed(7)  # the same views and places again
    (first,), crop = method._view([images])
    (second,), other = method._view([images])
    places = shared_places(crop, other, 2)
    used = weights[-scales:]
    contrast = variance = 0.0
    with torch.no_grad():
        maps = method.maps([first]), method.maps([second])
        for s, (one, two) in enumerate(zip(*maps, strict=True)):
            z1 = method._embed(one, s, crop, places).double()  # (1 + places, images, d)
            z2 = method._embed(two, s, other, places).double()
            prototypes = method.bank(s).prototypes.double()
            m1, m2 = ([[_read_out(z, prototypes, 8.0) for z in row] for row in z] for z in (z1, z2))
            for p in range(3):  # pooled, and two places
                t1, t2 = ([_unit(m) for m in reads[p]] for reads in (m1, m2))
                both = _nt_xent(list(z1[p]), t2, 0.2) + _nt_xent(list(z2[p]), t1, 0.2)
                contrast += used[s] * both / 2 / 3
            for reads in (m1, m2):
                variance += _variance([m for row in reads for m in row]) / 2
    assert float(found["contrast"].detach()) == pytest.approx(contrast / sum(used), rel=1e-4)
    assert float(found["variance"].detach()) == pytest.approx(variance / sum(used), rel=1e-4)
    total = (contrast + 0.7 * variance) / sum(used)
    assert float(found["total"].detach()) == pytest.approx(total, rel=1e-4)


def _distances(deviation: Tensor, head: torch.nn.Module) -> list[list[float]]:
    """Per image, the pseudo-Huber distance of every position."""
    e = head.body(deviation * math.sqrt(deviation.shape[1]))  # type: ignore[operator]
    return [[math.sqrt(1 + _dot(v, v)) - 1 for v in image.flatten(1).T] for image in e]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_second_loss_is_the_hypersphere_classifier_written_out() -> None:
    method = small(top_share=0.25)
    images = pictures(5).float()
    normal = torch.tensor([True, True, False, True, False])
    torch.manual_seed(8)
    found = method.distance_loss([images], normal)
    torch.manual_seed(8)
    spoilt, boxes = spoil_images(images[normal])

    def pulled(per_image: list[list[float]]) -> float:
        tops = [_mean(sorted(d)[-max(1, round(0.25 * len(d))) :]) for d in per_image]
        return (_mean(tops) + _mean([x for d in per_image for x in d])) / 2

    losses = dict.fromkeys(("normal", "not_labelled", "labelled", "synthetic"), 0.0)
    with torch.no_grad():
        good, bad, pasted = (
            method.deviations(method.maps([x])) for x in (images[normal], images[~normal], spoilt)
        )
        for s in range(3):
            detector, labelled = method.detectors[s], method.labelled[s]
            losses["normal"] += pulled(_distances(good[s], detector)) / 3
            losses["not_labelled"] += pulled(_distances(good[s], labelled)) / 3
            for d in _distances(bad[s], labelled):
                top = _mean(sorted(d)[-max(1, round(0.25 * len(d))) :])
                losses["labelled"] -= math.log(1 - math.exp(-top)) / 2 / 3
            inside = box_mask(boxes, pasted[s].shape[2:]).flatten(1)  # type: ignore[arg-type]
            pushed = []
            for mask, d in zip(inside, _distances(pasted[s], detector), strict=True):
                if mask.any():  # a box between all positions counts nothing
                    distance = _mean([x for x, m in zip(d, mask, strict=True) if m])
                    pushed.append(-math.log(1 - math.exp(-distance)))
            losses["synthetic"] += (_mean(pushed) if pushed else 0.0) / 3
    for name, expected in losses.items():
        assert float(found[name].detach()) == pytest.approx(expected, rel=1e-3), name
    assert float(found["total"].detach()) == pytest.approx(sum(losses.values()), rel=1e-3)


def test_a_scale_of_no_weight_decides_nothing() -> None:
    method = small(scale_weights=(1.0, 0.0, 3.0)).eval()
    images = pictures(6)
    with torch.inference_mode():
        method.fit_statistics([Batch(images=images)])
        before = method(images)
        kinds = method._kinds(method.maps([images.float()]))
        method.detectors[1].body[4].bias += 5.0  # type: ignore[index,union-attr,operator]
        assert torch.equal(method(images).score, before.score)
        method.scores.fit([method.scores.moments(kinds)])
        parts = []
        for maps in kinds:
            tops = torch.stack([kind.mean((1, 2, 3)) for kind in maps[:2]])
            std = tops.std(1, unbiased=False)[:, None].maximum(0.01 * tops.mean(1)[:, None])
            parts.append((tops / std).sum(0))
        assert torch.allclose(before.score, 0.25 * parts[0] + 0.75 * parts[2], rtol=1e-3)
    with pytest.raises(ConfigError, match=r"the deepest 1 are in use"):
        AnoMemConfig(scales=1, scale_weights=(1.0, 1.0, 0.0))


def test_memory_over_a_teacher_is_named_as_ours() -> None:
    assert AnoMemConfig(encoder="scratch").variant == ""
    assert AnoMemConfig().settled([(800, 800)] * 10).variant.endswith("ours")
