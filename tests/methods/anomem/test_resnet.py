from __future__ import annotations

import pytest
import torch

from blemish.methods.anomem.blocks import ResNet


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
