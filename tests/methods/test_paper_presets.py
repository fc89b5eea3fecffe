"""The presets ``paper`` at full size: names, shapes, parameter counts, two steps of training.

The counts are worked out from the definitions: WideResNet-50-2 (torchvision's, whose sum is checked
against its published 68,883,240), and RD4AD's ``BN_layer`` and ``de_wide_resnet50_2`` (the authors'
repository hq-deng/RD4AD, models/resnet.py and models/de_resnet.py; its unused ``conv4`` and ``bn4``
left out). BoRAD's code is built on the framework ADer, whose ``MFF_OCE`` has ResNet-50's width:
with it teacher, bottleneck and decoder come to the 80.6 M that MambaAD's table has for RD in ADer.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from wide_resnet import wide_resnet_teacher

from blemish.methods.base import Batch, Method
from blemish.methods.reconstruction import Reconstruction
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings
from blemish.methods.speeds import choose_speed
from blemish.teachers.teacher import build_teacher

SIZE = (256, 256)
METHODS = ("rd", "borad", "hfr", "logicrd")


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2


def norm(channels: int) -> int:
    return 2 * channels


def stage(inputs: int, planes: int, blocks: int, *, turned: bool = False, wide: int = 2) -> int:
    """A stage of bottleneck blocks, expansion 4, base width 64 × ``wide``; ``turned``: growing."""
    width, outputs = wide * planes, 4 * planes
    first = conv(inputs, width, 1) + conv(width, width, 2 if turned else 3)
    first += conv(width, outputs, 1) + conv(inputs, outputs, 2 if turned else 1) + norm(outputs)
    other = conv(outputs, width, 1) + conv(width, width, 3) + conv(width, outputs, 1)
    norms = 2 * norm(width) + norm(outputs)
    return first + (blocks - 1) * other + blocks * norms


ENCODER = conv(3, 64, 7) + norm(64) + stage(64, 64, 3) + stage(256, 128, 4) + stage(512, 256, 6)
DECODER = (
    stage(2048, 256, 3, turned=True)
    + stage(1024, 128, 4, turned=True)
    + stage(512, 64, 6, turned=True)
)
DOWN = conv(256, 512, 3) + norm(512) + 2 * (conv(512, 1024, 3) + norm(1024))
BOTTLENECK, ADER_BOTTLENECK = (DOWN + stage(3 * 1024, 512, 3, wide=wide) for wide in (2, 1))
PROJECTIONS = sum(
    conv(c, c // 2, 3) + conv(c // 2, c // 4, 3) + conv(c // 4, c // 2, 3) + conv(c // 2, c, 3)
    for c in (256, 512, 1024)
)
#: Trained parameters of each method that its paper, or the code its trunk is from, defines.
PUBLISHED = {
    "rd": BOTTLENECK + DECODER,
    "borad": ADER_BOTTLENECK + DECODER + PROJECTIONS,
    "hfr": stage(1024, 512, 3) + DECODER,
    "logicrd": BOTTLENECK + DECODER,
}


@cache
def teacher() -> nn.Module:
    return wide_resnet_teacher()


def build(name: str) -> Method:
    found = method_class(name)
    torch.manual_seed(0)
    return found(parse_settings(found.config_class, {}, preset="paper"), teacher(), SIZE)  # type: ignore[arg-type]


def parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_arithmetic_gives_the_published_sums() -> None:
    assert ENCODER + stage(1024, 512, 3) + 2048 * 1000 + 1000 == 68_883_240
    assert parameters(teacher()) == ENCODER
    assert pytest.approx(80.6, abs=0.05) == (ENCODER + ADER_BOTTLENECK + DECODER) / 1e6


@pytest.mark.parametrize("name", METHODS)
def test_the_preset_brings_teacher_and_input_and_has_the_published_size(name: str) -> None:
    point = choose_speed(method_class(name), None, "paper").point
    assert (point.teacher, point.square, point.side) == ("timm/wide_resnet50_2", True, 256)
    method = build(name)
    assert isinstance(method, Reconstruction)
    (only,) = method.stages()
    network = only.groups[0]
    trunk = [method.bottleneck, method.student]
    if name == "borad":
        trunk.append(method.projection)  # type: ignore[arg-type]
    found = parameters(*trunk)
    if name == "logicrd":  # whose paper names parts and no layers: without them it is the trunk
        found -= parameters(method.student.modulate, method.student.pathways)  # type: ignore[arg-type]
    assert found == pytest.approx(PUBLISHED[name], rel=0.01)
    assert sum(p.numel() for p in network.parameters()) >= found
    assert network.learning_rate == 5e-3
    assert network.options == {"betas": (0.5, 0.999)}
    rates = {only.schedule(step, 100) for step in range(100)}
    assert rates == {1.0}
    assert network.clip_norm == (5.0 if name == "borad" else None)
    assert (only.steps, only.epochs) == (None, 100 if name == "borad" else 200)


def test_the_mirrors_stages_are_the_authors() -> None:
    method = build("rd")
    shapes = {name: tuple(p.shape) for name, p in method.student.named_parameters() if p.ndim == 4}
    # The first block of the deepest stage: 2,048 channels to 1,024 at twice the size.
    assert shapes["up.0.0.body.0.0.weight"] == (512, 2048, 1, 1)
    assert shapes["up.0.0.body.1.0.weight"] == (512, 512, 2, 2)
    assert shapes["up.0.0.shortcut.0.weight"] == (2048, 1024, 2, 2)
    assert [1 + len(blocks) for blocks in method.student.refine] == [3, 4, 6]
    assert [shapes[f"refine.{n}.0.body.1.0.weight"][:2] for n in range(3)] == [
        (512, 512),
        (256, 256),
        (128, 128),
    ]
    assert len(method.bottleneck.squeeze) == 3
    with torch.inference_mode():
        shapes_of_levels = ((256, 64), (512, 32), (1024, 16))
        levels = tuple(torch.rand(1, c, side, side) for c, side in shapes_of_levels)
        squeezed = method.eval().embed(levels)
        assert tuple(squeezed.shape) == (1, 2048, 8, 8)
        assert [s.shape for s in method.student(squeezed)] == [f.shape for f in levels]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_steps_of_training_at_full_size(name: str) -> None:
    method = build(name)
    images = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)
    batch = Batch(images=images)
    with torch.inference_mode():
        method.prepare([batch])
    only = method.stages()[0].settled(16)
    groups = [
        {"params": group.parameters(), "lr": group.learning_rate, **group.options}
        for group in only.groups
    ]
    optimiser = only.optimizer(groups)
    method.train()
    before = [p.detach().clone() for p in groups[0]["params"]]
    for step in range(2):
        optimiser.zero_grad()
        losses = method.loss(batch, only)
        losses["total"].backward()
        optimiser.step()
        method.after_step(only, step)
        assert all(bool(value.isfinite()) for value in losses.values())
    moved = [not torch.equal(p, old) for p, old in zip(groups[0]["params"], before, strict=True)]
    assert all(moved)


@pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")
def test_timms_backbone_has_the_shape_that_is_tested() -> None:
    found = build_teacher("timm/wide_resnet50_2", weights="random")
    own = wide_resnet_teacher()
    assert (found.channels, found.strides) == (own.channels, own.strides)
    assert parameters(found) == parameters(own)
