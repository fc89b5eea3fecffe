from __future__ import annotations

import numpy as np
import pytest
import torch

from blemish.methods.radar.blocks import NoiseSchedule, timestep_embedding


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
