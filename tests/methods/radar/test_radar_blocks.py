"""RADAR's blocks: noise schedule, U-Net, patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blemish.methods.radar.blocks import (
    AttentionUNet,
    NoiseSchedule,
    fold_pixels,
    map_patches,
    timestep_embedding,
    window,
)


def test_the_schedule_is_the_product_of_what_each_step_keeps() -> None:
    alpha_bar, expected = NoiseSchedule().alpha_bar, 1.0
    assert alpha_bar.shape == (1000,)
    for t, beta in enumerate(np.linspace(1e-4, 2e-2, 1000)):
        expected *= 1 - beta
        assert float(alpha_bar[t]) == pytest.approx(expected, rel=1e-6)
    assert float(alpha_bar[-1]) < 1e-4  # hardly anything of the picture is left


def test_noise_is_added_with_unit_variance_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 3, 64, 64, generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    t = torch.tensor([0, 300, 999])
    noisy = NoiseSchedule().add_noise(x, noise, t)
    assert torch.allclose(noisy.std((1, 2, 3)), torch.ones(3), atol=0.02)
    assert torch.allclose(noisy[2], noise[2], atol=0.05)
    assert torch.allclose(noisy[0], x[0], atol=0.06)


def test_the_true_noise_leads_back_to_the_picture() -> None:
    schedule = NoiseSchedule()
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 8, 8, generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    t, earlier = torch.tensor([400]), torch.tensor([120])
    noisy = schedule.add_noise(x, noise, t)
    assert torch.allclose(schedule.predict_clean(noisy, noise, t), x, atol=1e-5)
    back = schedule.step_back(noisy, noise, t, earlier)
    assert torch.allclose(back, schedule.add_noise(x, noise, earlier), atol=1e-5)


def test_the_embedding_tells_all_timesteps_apart() -> None:
    embedded = timestep_embedding(torch.arange(1000), 32).double()
    assert embedded.shape == (1000, 32)
    distance = torch.cdist(embedded, embedded) + 9 * torch.eye(1000)
    assert distance.min() > 0.1
    t, k = 123, 5
    rate = 10_000 ** (-k / 16)
    assert float(embedded[t, k]) == pytest.approx(np.sin(t * rate), abs=1e-5)
    assert float(embedded[t, 16 + k]) == pytest.approx(np.cos(t * rate), abs=1e-5)


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


def from_the_corner(patches: Tensor) -> Tensor:
    """Something that depends on the position in the patch, as a network's answer does."""
    size = patches.shape[-1]
    slope = torch.linspace(0, 1, size)
    return patches.sum(1, keepdim=True) * slope[:, None] + patches[:, :1].mean((2, 3), keepdim=True)


def slowly(pictures: Tensor, patch: int) -> Tensor:
    """The weighted mean over all patches at multiples of three quarters of one, one by one."""
    n, _, height, width = pictures.shape
    total, cover = torch.zeros(n, 1, height, width), torch.zeros(1, 1, height, width)
    weight = window(patch, like=pictures)
    for top in range(0, height - patch + 1, patch * 3 // 4):
        for left in range(0, width - patch + 1, patch * 3 // 4):
            here = (..., slice(top, top + patch), slice(left, left + patch))
            total[here] += weight * from_the_corner(pictures[here])
            cover[here] += weight
    return total / cover


@pytest.mark.parametrize("chunk", [None, 1, 5])
@pytest.mark.parametrize(
    ("shape", "patch"),
    [((2, 3, 32, 32), 32), ((2, 3, 56, 80), 32), ((1, 2, 64, 40), 16), ((3, 1, 112, 64), 64)],
)
def test_it_is_the_weighted_mean_of_all_patches(
    shape: tuple[int, ...], patch: int, chunk: int | None
) -> None:
    pictures = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    same = map_patches(pictures, lambda part: part, patch=patch, chunk=chunk)
    assert torch.allclose(same, pictures, atol=1e-6)
    found = map_patches(pictures, from_the_corner, patch=patch, chunk=chunk)
    assert torch.allclose(found, slowly(pictures, patch), atol=1e-5)


def test_no_call_gets_more_patches_than_allowed() -> None:
    seen = []
    pictures = torch.rand(2, 3, 104, 80)
    map_patches(pictures, lambda part: seen.append(len(part)) or part, patch=32, chunk=4)
    assert max(seen) == 4
    assert sum(seen) == 2 * 4 * 3


@pytest.mark.parametrize("size", [(40, 56), (56, 72), (16, 56)])
def test_a_size_that_patches_do_not_cover_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="32 and a multiple of 24 more"):
        map_patches(torch.zeros(1, 1, *size), lambda part: part, patch=32)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_blocks_of_pixels_become_channels_as_torch_has_them(side: int) -> None:
    images = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    assert torch.equal(fold_pixels(images, side), nn.functional.pixel_unshuffle(images, side))
