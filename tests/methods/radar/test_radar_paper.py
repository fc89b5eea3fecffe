"""The preset ``paper`` at its full size: architecture, two steps, loss and map computed plainly."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blemish.methods.base import Batch
from blemish.methods.radar.config import RADARConfig
from blemish.methods.radar.model import RADAR
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import NoTeacher

WIDTHS = (64, 128, 192, 256)


@pytest.fixture(scope="module")
def paper() -> RADAR:
    """Random weights, and a head that says something, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = parse_settings(
            RADARConfig, {"batch_size": 1, "patches_per_image": 1, "timestep": 100}, preset="paper"
        )
        assert isinstance(config, RADARConfig)
        method = RADAR(config, NoTeacher(), (128, 128))
        for unet in (method.unet, method.average):
            nn.init.normal_(unet.head.weight, std=0.02)
    return method.eval()


def block(inputs: int, outputs: int, *, attends: bool) -> int:
    """Parameters of a residual block: norms, convolutions, the timestep's shift, what bridges."""
    time = 4 * WIDTHS[0]
    count = 2 * inputs + (9 * inputs + 1) * outputs + (time + 1) * 2 * outputs
    count += 2 * outputs + (9 * outputs + 1) * outputs
    count += (inputs + 1) * outputs if inputs != outputs else 0
    return count + (2 * outputs + (outputs + 1) * 3 * outputs + (outputs + 1) * outputs) * attends


def test_the_network_is_an_attention_u_net_of_every_pixel(paper: RADAR) -> None:
    state = paper.average.state_dict()
    assert state["stem.weight"].shape == (64, 3, 3, 3)  # no blocks of pixels
    assert state["head.weight"].shape == (3, 64, 3, 3)
    assert paper.patch == 128
    attending = {
        name.removesuffix(".attention.output.weight")
        for name in state
        if name.endswith(".attention.output.weight")
    }
    # Two blocks and a halving per level on the way down, three and a doubling on the way up.
    down, up = {"down.6", "down.7", "down.9", "down.10"}, {"up.0", "up.1", "up.2"}
    assert attending == down | up | {"up.4", "up.5", "up.6", "middle"}
    total = (64 + 1) * 256 + (256 + 1) * 256  # the timestep
    total += (9 * 3 + 1) * 64 + 2 * 64 + (9 * 64 + 1) * 3  # in and out
    skips, width = [64], 64
    for level, wide in enumerate(WIDTHS):
        for _ in range(2):
            total += block(width, wide, attends=level >= 2)
            width = wide
            skips.append(wide)
        if level < 3:
            total += (9 * wide + 1) * wide
            skips.append(wide)
    total += block(256, 256, attends=True)
    for level, wide in reversed(list(enumerate(WIDTHS))):
        for _ in range(3):
            total += block(width + skips.pop(), wide, attends=level >= 2)
            width = wide
        total += (9 * wide + 1) * wide if level else 0
    assert not skips
    assert sum(parameter.numel() for parameter in paper.average.parameters()) == total


def picture(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8, generator=generator)


@pytest.mark.slow
def test_the_loss_is_that_of_denoising_diffusion(paper: RADAR) -> None:
    batch, stage = Batch(images=picture()), paper.stages()[0]
    with torch.no_grad():
        torch.manual_seed(3)
        found = float(paper.loss(batch, stage)["total"])
        torch.manual_seed(3)
        torch.randint(1, (1,)), torch.randint(1, (1,))  # the patch: there is one place for it
        t = int(torch.randint(1000, (1,)))
        noise = torch.randn(1, 3, 128, 128)
        kept = 1.0
        for beta in np.linspace(1e-4, 2e-2, 1000)[: t + 1]:
            kept *= 1 - beta
        noisy = np.sqrt(kept) * (picture().numpy() / 127.5 - 1) + np.sqrt(1 - kept) * noise.numpy()
        answer = paper.unet(torch.from_numpy(noisy).float(), torch.tensor([t]))
    assert found == pytest.approx(float(((answer - noise) ** 2).numpy().mean()), rel=1e-4)


@pytest.mark.slow
def test_the_map_is_the_sobel_magnitude_of_the_noise_map(paper: RADAR) -> None:
    with torch.inference_mode():
        found = paper(picture()).anomaly_map[0, 0].numpy()
        kept = float(np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[:101]))
        noise = paper.noise[:, :, :128, :128]
        noisy = kept**0.5 * (picture().float() / 127.5 - 1) + (1 - kept) ** 0.5 * noise
        answer = paper.average(noisy, torch.tensor([100]))
    residual = (answer - noise).mean(1)[0].double().numpy()
    wide = np.pad(residual, 1, mode="edge")
    for y, x in np.random.default_rng(0).integers(0, 128, (200, 2)):
        a, b, c = wide[y : y + 3, x : x + 3]
        down = (c - a) @ (1, 2, 1)
        across = (a[2] - a[0]) + 2 * (b[2] - b[0]) + (c[2] - c[0])
        assert found[y, x] == pytest.approx(np.hypot(down, across), abs=2e-4)


@pytest.mark.slow
def test_two_steps_move_every_weight(paper: RADAR) -> None:
    method = copy.deepcopy(paper)
    stage = method.stages()[0]
    (group,) = stage.groups
    before = {name: value.clone() for name, value in method.unet.named_parameters()}
    optimizer = stage.optimizer([{"params": group.parameters(), "lr": group.learning_rate}])
    torch.manual_seed(0)
    for step in range(2):
        optimizer.zero_grad()
        method.loss(Batch(images=picture(step)), stage)["total"].backward()
        optimizer.step()
        method.after_step(stage, step)
    still = [n for n, v in method.unet.named_parameters() if torch.equal(v, before[n])]
    # A bias before a normalisation over its own channel alone would stand still; there is none.
    assert not still
    assert any(not torch.equal(v, before[n]) for n, v in method.average.named_parameters())
