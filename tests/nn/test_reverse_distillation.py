from __future__ import annotations

import pytest
import torch

from blemish.nn.reverse_distillation import OneClassBottleneck, ResidualBlock, StudentDecoder

CHANNELS = (6, 10, 14)


def levels(height: int, width: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, channels, height // stride, width // stride, generator=generator)
        for channels, stride in zip(CHANNELS, (4, 8, 16), strict=True)
    ]


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_the_bottleneck_halves_the_deepest_level_and_the_student_rebuilds_all(
    size: tuple[int, int],
) -> None:
    given = levels(*size)
    squeezed = OneClassBottleneck(CHANNELS, fused=8, outputs=12)(given)
    assert squeezed.shape == (2, 12, size[0] // 32, size[1] // 32)
    student = StudentDecoder(12, CHANNELS, widths=(8, 8, 8), blocks=(1, 2, 1))
    assert [s.shape for s in student(squeezed)] == [f.shape for f in given]


def test_every_level_reaches_the_bottleneck() -> None:
    given = [level.requires_grad_() for level in levels(64, 64)]
    OneClassBottleneck(CHANNELS, fused=8, outputs=12)(given).square().sum().backward()
    for level in given:
        assert level.grad is not None
        assert level.grad.abs().sum() > 0


def test_a_residual_block_adds_its_input() -> None:
    block = ResidualBlock(5, 5).eval()
    torch.nn.init.zeros_(block.body[-1].weight)
    torch.nn.init.zeros_(block.body[-1].bias)
    x = torch.randn(1, 5, 4, 4)
    assert torch.allclose(block(x), x.relu())
    assert ResidualBlock(5, 7, stride=2)(x).shape == (1, 7, 2, 2)
