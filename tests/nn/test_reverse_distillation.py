from __future__ import annotations

import pytest
import torch

from blemish.errors import ConfigError
from blemish.nn.reverse_distillation import (
    OneClassBottleneck,
    ResidualBlock,
    ResidualBottleneck,
    StudentDecoder,
    StudentPlan,
    plan_student,
)


def levels(strides: tuple[int, ...], size: tuple[int, int]) -> list[torch.Tensor]:
    """Levels of 6, 10, 14 … channels."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, 6 + 4 * n, size[0] // stride, size[1] // stride, generator=generator)
        for n, stride in enumerate(strides)
    ]


def build(
    strides: tuple[int, ...], size: tuple[int, int], *, mirror: bool = False
) -> tuple[OneClassBottleneck, StudentDecoder]:
    channels = tuple(6 + 4 * n for n in range(len(strides)))
    plan = StudentPlan((8,) * len(strides), (1,) * len(strides), fused=8, bottleneck=12)
    if mirror:
        plan = plan_student(channels, strides, student="mirror", bottleneck=12)
    deepest = (size[0] // strides[-1], size[1] // strides[-1])
    return (
        OneClassBottleneck(channels, strides, plan=plan),
        StudentDecoder(channels, strides, deepest, plan=plan),
    )


@pytest.mark.parametrize(
    ("strides", "size"),
    [
        ((4, 8, 16), (64, 64)),
        ((4, 8, 16), (32, 96)),
        ((16, 16), (64, 96)),  # blocks of a ViT
        ((14, 14, 14), (224, 448)),
        ((4, 8, 16, 32), (224, 96)),  # odd sides: 7 x 3 at the deepest
        ((8,), (64, 64)),
        ((4, 16), (64, 64)),
        ((4, 12), (96, 96)),
    ],
)
@pytest.mark.parametrize("mirror", [False, True])
def test_the_bottleneck_halves_the_deepest_level_and_the_student_rebuilds_all(
    strides: tuple[int, ...], size: tuple[int, int], mirror: bool
) -> None:
    given = levels(strides, size)
    bottleneck, student = build(strides, size, mirror=mirror)
    squeezed = bottleneck(given)
    assert squeezed.shape == (2, 12, *(-(-side // strides[-1] // 2) for side in size))
    assert [s.shape for s in student(squeezed)] == [f.shape for f in given]


@pytest.mark.parametrize("strides", [(4, 8, 16), (16, 16, 16)])
def test_every_level_reaches_the_bottleneck(strides: tuple[int, ...]) -> None:
    given = [level.requires_grad_() for level in levels(strides, (64, 64))]
    build(strides, (64, 64))[0](given).square().sum().backward()
    for level in given:
        assert level.grad is not None
        assert level.grad.abs().sum() > 0


def test_the_student_grows_with_the_teacher() -> None:
    strides = (4, 8, 16)
    light = plan_student((24, 40, 112), strides)
    wide = plan_student((256, 512, 1024), strides)
    assert light == plan_student((24, 40, 112), strides, width=1.0)
    assert light == StudentPlan((32, 64, 112), (0, 0, 0), fused=64, bottleneck=192)
    assert all(w > 3 * v for w, v in zip(wide.widths, light.widths, strict=True))
    assert wide.bottleneck > 3 * light.bottleneck
    assert plan_student((24, 40, 112), strides, bottleneck=16).bottleneck == 16


def test_the_student_has_a_width_and_blocks_for_every_level_of_any_stride() -> None:
    patches = plan_student((384, 384), (14, 14), width=1.0, blocks=(1,))
    assert (patches.widths, patches.blocks) == ((112, 112), (1, 1))
    deep = plan_student((8, 8, 8, 8), (2, 8, 32, 64), width=1.0, blocks=(0, 1, 2, 3))
    assert (deep.widths, deep.blocks) == ((16, 64, 192, 192), (0, 1, 2, 3))
    with pytest.raises(ConfigError, match=r"student_blocks=1,1: the teacher has 3 levels"):
        plan_student((24, 40, 112), (4, 8, 16), blocks=(1, 1))


def test_a_mirrors_plan_is_the_teachers_channels_and_the_authors_blocks() -> None:
    assert plan_student((256, 512, 1024), (4, 8, 16), student="mirror") == StudentPlan(
        (256, 512, 1024), (6, 4, 3), fused=1024, bottleneck=2048, mirror=True
    )
    assert plan_student((8,) * 4, (2, 4, 8, 16), student="mirror").blocks == (6, 6, 4, 3)
    assert plan_student((8,), (16,), student="mirror").blocks == (3,)


@pytest.mark.parametrize(
    ("resized", "size"), [({}, (4, 6)), ({"stride": 2}, (2, 3)), ({"enlarge": 2}, (8, 12))]
)
def test_a_residual_bottleneck_keeps_shrinks_or_enlarges(
    resized: dict[str, int], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    block = ResidualBottleneck(8, 8, **resized).eval()
    x = torch.randn(1, 8, 4, 6)
    assert block(x).shape == (1, 8, *size)
    torch.nn.init.zeros_(block.body[-1].weight)
    assert torch.allclose(block(x), block.shortcut(x).relu())
    assert block.body[0][0].out_channels == 4
    assert ResidualBottleneck(8, 8, quarters=1).body[0][0].out_channels == 2


def test_a_residual_block_adds_its_input() -> None:
    block = ResidualBlock(5, 5).eval()
    torch.nn.init.zeros_(block.body[-1].weight)
    torch.nn.init.zeros_(block.body[-1].bias)
    x = torch.randn(1, 5, 4, 4)
    assert torch.allclose(block(x), x.relu())
    assert ResidualBlock(5, 7, stride=2)(x).shape == (1, 7, 2, 2)
