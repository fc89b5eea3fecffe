from __future__ import annotations

import pytest
import torch
from torch import nn

from blemish.methods.radar.blocks import AttentionUNet


def wake(unet: AttentionUNet) -> AttentionUNet:
    """With a head that says something, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nn.init.normal_(unet.head.weight, std=0.1)
    return unet.eval()


@pytest.mark.parametrize(("fold", "levels", "blocks"), [(1, 2, 1), (2, 3, 1), (2, 2, 2), (4, 1, 1)])
def test_it_answers_in_the_pictures_shape_and_starts_at_zero(
    fold: int, levels: int, blocks: int
) -> None:
    unet = AttentionUNet((8, 16, 24)[:levels], fold=fold, blocks=blocks)
    noisy = torch.randn(2, 3, 32, 48)
    out = unet(noisy, torch.tensor([3, 400]))
    assert out.shape == noisy.shape
    assert not out.any()


def test_the_timestep_matters_and_a_batch_does_not() -> None:
    unet = wake(AttentionUNet((8, 16), fold=2))
    noisy = torch.randn(3, 3, 16, 16)
    t = torch.tensor([5, 50, 400])
    with torch.inference_mode():
        together = unet(noisy, t)
        alone = torch.cat([unet(noisy[i : i + 1], t[i : i + 1]) for i in range(3)])
        elsewhen = unet(noisy, t.flip(0))
    assert torch.allclose(together, alone, atol=1e-5)
    assert (together - elsewhen).abs()[0].max() > 1e-3


def test_attention_sees_across_the_patch() -> None:
    noisy = torch.randn(1, 3, 64, 64)
    changed = noisy.clone()
    changed[..., :4, :4] += 5  # too far for the convolutions of one level to carry
    reach = []
    for attention in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            unet = wake(AttentionUNet((8,), attention=attention))
        # Group normalisation carries a little everywhere; it is switched off here.
        for module in list(unet.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.GroupNorm):
                    setattr(module, name, nn.Identity())
        with torch.inference_mode():
            difference = unet(noisy, torch.tensor([9])) - unet(changed, torch.tensor([9]))
        reach.append(float(difference[..., 40:, 40:].abs().max()))
    assert reach[0] == 0
    assert reach[1] > 0
