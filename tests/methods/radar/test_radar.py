from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from building import TINY_RADAR
from building import radar as radar_as_if_trained
from scipy import ndimage
from torch import Tensor

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.errors import ConfigError, DataError
from blemish.methods.base import Batch
from blemish.methods.radar.choice import choose_timestep
from blemish.methods.radar.config import NETWORKS, RADARConfig
from blemish.methods.radar.edges import sobel_magnitude
from blemish.methods.radar.model import RADAR
from blemish.methods.settings import parse_settings

CPU = TrainingOptions(device="cpu")

SIZE = (64, 96)
#: Nothing but Sobel.
PLAIN = {"smooth": None, "directions": 0, "sigma": None}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "small", TINY_RADAR)


def radar(size: tuple[int, int] = SIZE, **settings: object) -> RADAR:
    return radar_as_if_trained(size, **settings)


def images(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


def test_the_map_is_the_sobel_magnitude_of_the_noise_residual() -> None:
    method = radar(timestep=100, **PLAIN, peak=0.01)
    picture = images(1)
    x = picture.numpy() / 127.5 - 1  # (1, 3, H, W)
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 16)), "edge")  # 112 wide, as two patches cover it
    noise = method.noise[:, :, :64, :112].numpy()
    kept = np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[:101])
    noisy = np.sqrt(kept) * x + np.sqrt(1 - kept) * noise
    total, cover = np.zeros((3, 64, 112)), np.zeros((64, 112))
    ramp = np.minimum(np.arange(64) + 0.5, 63.5 - np.arange(64))
    for left in (0, 48):
        patch = torch.from_numpy(noisy[..., left : left + 64]).float()
        with torch.inference_mode():
            answer = method.average(patch, torch.tensor([100]))[0].numpy()
        total[..., left : left + 64] += np.outer(ramp, ramp) * answer
        cover[:, left : left + 64] += np.outer(ramp, ramp)
    residual = (total / cover - noise[0]).mean(0)[:, : SIZE[1]]
    edges = np.hypot(*(ndimage.sobel(residual, axis=axis, mode="nearest") for axis in (0, 1)))
    with torch.inference_mode():
        found = method(picture).anomaly_map[0, 0].numpy()
        features = method.features(picture)[0].numpy()
    np.testing.assert_allclose(found, edges, atol=2e-4)
    assert features[0] == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-4)
    top = np.sort(edges.ravel())[-round(edges.size / 100) :]
    assert features[1] == pytest.approx(top.mean(), rel=1e-3)


def test_the_score_is_the_forests_and_grows_beyond_it() -> None:
    method = radar(one_sided=False, timestep=60)
    with torch.inference_mode():
        method.fit_held_out([Batch(images=images(4)), Batch(images=images(3, seed=1))])
        new = images(2, seed=5)
        features = method.features(new)
        method.forest.low.copy_(features.min(0).values)
        method.forest.high.copy_(features.max(0).values)
        inside = method(new).score
        assert torch.allclose(inside, method.forest(features))
        method.forest.high.copy_(method.forest.low)  # as if it had seen less
        beyond = method.forest.beyond(features)
        assert beyond.max() > 0
        assert torch.allclose(method(new).score, inside + beyond)


def test_what_the_network_always_gets_wrong_is_not_in_the_map() -> None:
    method = radar(timestep=60, **PLAIN, one_sided=False)
    held, new = images(4), images(1, seed=8)
    with torch.inference_mode():
        raw = method.residuals(torch.cat([held, new])).numpy()[:, 0]
        method.fit_held_out([Batch(images=held)])
        found = method(new).anomaly_map[0, 0].numpy()
    usual = raw[:4].mean(0)
    edges = np.hypot(*(ndimage.sobel(raw[4] - usual, axis=a, mode="nearest") for a in (0, 1)))
    np.testing.assert_allclose(found, edges, atol=1e-5)
    # The forest has seen each image against the others, as it will see new ones.
    apart = [raw[i] - np.delete(raw[:4], i, 0).mean(0) for i in range(4)]
    rms = [np.sqrt((one**2).mean()) for one in apart]
    assert float(method.forest.high[0, 0]) == pytest.approx(max(rms), rel=1e-4)
    assert float(method.forest.low[0, 0]) == pytest.approx(min(rms), rel=1e-4)


def test_what_is_more_regular_than_usual_is_not_odd() -> None:
    method = radar()
    features = 1 + torch.rand(21, 2, generator=torch.Generator().manual_seed(0))
    method.fit_forest(features)
    middle = features.median(0).values
    assert torch.equal(method.least[0], middle)
    usual, less, more = method.score(torch.stack([middle, middle / 3, middle * 3]))
    assert less == usual
    assert more > usual + 1  # far beyond all seen
    with pytest.raises(ValueError, match="pixels"):
        method.fit_held_out([Batch()])


def test_what_is_usual_is_known_from_as_many_as_the_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("blemish.methods.radar.model._USUAL_PIXELS", 3 * SIZE[0] * SIZE[1])
    method, held = radar(timestep=60), images(7)
    alive: list[int] = []

    def batches() -> Iterator[Batch]:
        for image in held:
            yield Batch(images=image[None])
            alive.append(len(alive))

    with torch.inference_mode():
        raw = torch.cat([method._residual(image[None], method.timestep) for image in held])
        method.fit_held_out(batches())
        assert torch.allclose(method.usual, raw[:3].mean(0, keepdim=True))
        later = torch.cat([method._summary(one[None] - method.usual) for one in raw[3:]])
        first = [method._summary((raw[i] - (raw[:3].sum(0) - raw[i]) / 2)[None]) for i in range(3)]
    seen = torch.maximum(torch.cat([*first, later]), method.least)
    assert torch.allclose(method.forest.high, seen.max(0).values, rtol=1e-4)
    assert len(alive) == 7


def test_the_timestep_is_the_one_at_which_planted_anomalies_stand_out() -> None:
    flat = torch.full((4, 3, 64, 96), 128.0) + 8 * images(4).float() / 255

    def residual(image: Tensor, t: int) -> Tensor:
        """What departs as it is at 20, doubled at 150, not at all at 400."""
        apart = image.mean(1, keepdim=True) - 132
        return torch.where(apart.abs() > 4.5, {20: 1.0, 150: 2.0, 400: 0.0}[t], 1.0) * apart

    def peak(departure: Tensor) -> Tensor:
        return departure.abs().amax((1, 2, 3))

    assert choose_timestep(flat, (20, 150, 400), residual, peak) == 150
    assert choose_timestep(flat, (400, 20), residual, peak) == 20
    method, fixed = radar(timestep=None, timesteps=(20, 150)), radar(timestep=77)
    with torch.inference_mode():
        method.fit_held_out([Batch(images=images(3))])
        fixed.fit_held_out([Batch(images=images(3))])
    assert int(method.timestep) in (20, 150)
    assert int(fixed.timestep) == 77


def test_scores_repeat_to_the_bit_whatever_is_judged_beside_them() -> None:
    method = radar()
    pictures = images(5)
    with torch.inference_mode():
        first, again = method(pictures), method(pictures)
        alone = [method(picture[None]) for picture in pictures]
    assert torch.equal(first.score, again.score)
    assert torch.equal(first.anomaly_map, again.anomaly_map)
    assert torch.equal(first.score, torch.cat([one.score for one in alone]))
    assert torch.equal(first.anomaly_map, torch.cat([one.anomaly_map for one in alone]))


def test_the_average_follows_the_weights_and_predicts() -> None:
    method = radar(average=0.9)
    before = copy.deepcopy(method.average)
    with torch.no_grad():
        for value in method.unet.parameters():
            value.fill_(2.0)
    stage = method.stages()[0]
    method.after_step(stage, 0)
    method.after_step(stage, 1000)
    for start, mean in zip(before.parameters(), method.average.parameters(), strict=True):
        after_one = 0.1 * start + 0.9 * 2.0  # a short memory at first
        assert torch.allclose(mean, 0.9 * after_one + 0.1 * 2.0, atol=1e-5)
        assert not mean.requires_grad
    kept = method.inference_state()
    assert any(key.startswith("average.") for key in kept)
    assert not any(key.startswith(("unet.", "teacher.")) for key in kept)


def test_the_loss_is_the_mean_square_of_the_noise_not_predicted() -> None:
    method = radar()
    torch.manual_seed(0)
    total = method.loss(Batch(images=images(2)), method.stages()[0])["total"].detach()
    assert float(total) == pytest.approx(1.0, abs=0.02)  # it predicts 0 before the first step
    patches = method._cut_patches(images(2).float())
    assert patches.shape == (4, 3, 64, 64)
    rows = images(2).float().unfold(2, 64, 1).unfold(3, 64, 1)  # every patch there is
    for i, patch in enumerate(patches):
        same = (rows[i % 2].permute(1, 2, 0, 3, 4) == patch).flatten(2).all(2)
        assert same.any()


def test_reconstruction_with_a_perfect_network_gives_the_picture_back() -> None:
    method = radar(mode="reconstruct", reverse_from=300, reverse_steps=10)
    clean = images(1).float() / 127.5 - 1
    calls = []

    def perfect(noisy: Tensor, t: Tensor, keep: Callable[[Tensor], Tensor]) -> Tensor:
        calls.append(int(t))
        kept = method.schedule.alpha_bar[t]
        return keep((noisy - kept.sqrt() * clean) / (1 - kept).sqrt())

    method._predict = perfect  # type: ignore[method-assign]
    with torch.inference_mode():
        rebuilt = method.reconstruct(clean)
    assert torch.allclose(rebuilt, clean, atol=1e-4)
    assert calls[0] == 300
    assert calls[-1] == 0
    assert len(calls) == 10
    assert calls == sorted(calls, reverse=True)


def test_the_same_weights_work_in_both_modes() -> None:
    method = radar(timestep=60, reverse_from=100, reverse_steps=3)
    slow = method.in_mode("reconstruct")
    for key, value in method.average.state_dict().items():
        assert torch.equal(slow.average.state_dict()[key], value)
    with torch.inference_mode():
        slow.fit_held_out([Batch(images=images(4))])
        fast_map, slow_map = method(images(2)).anomaly_map, slow(images(2)).anomaly_map
    assert not torch.allclose(fast_map, slow_map)
    assert slow.in_mode("single_step").config == method.config
    assert int(method.at_timestep(42).timestep) == 42


@pytest.mark.parametrize(("size", "patch"), [((32, 32), 64), ((96, 32), 64), ((64, 160), 96)])
def test_inputs_that_the_patches_do_not_fit_are_extended(size: tuple[int, int], patch: int) -> None:
    method = radar(size, patch=patch)
    with torch.inference_mode():
        output = method(images(2, size))
        loss = method.loss(Batch(images=images(2, size)), method.stages()[0])["total"]
    assert output.anomaly_map.shape == (2, 1, *size)
    assert output.anomaly_map.isfinite().all()
    assert loss.isfinite()


def test_a_large_picture_is_worked_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    size = (768, 1024)
    method = radar(size)
    counts = []
    forward = method.average.forward

    def watch(patches: Tensor, t: Tensor) -> Tensor:
        counts.append(len(patches))
        return forward(patches[:1], t[:1]).expand(len(patches), -1, -1, -1)

    monkeypatch.setattr(method.average, "forward", watch)
    with torch.inference_mode():
        method(images(2, size))
    assert sum(counts) == 2 * 16 * 21
    assert max(counts) == 64  # patches of 64×64: as many pixels as 512×512


def test_the_full_network_runs() -> None:
    method = radar((128, 128), network="full")
    assert method.patch == NETWORKS["full"].patch == 128
    with torch.inference_mode():
        assert method(images(1, (128, 128))).score.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": "tiny"},
        {"mode": "rebuild"},
        {"patch": 50},
        {"train_below": 0},
        {"train_below": 1001},
        {"timestep": 600},
        {"timesteps": ()},
        {"reverse_from": 500},
        {"reverse_steps": 0},
        {"reverse_steps": 300},
        {"decay_at": 0.0},
        {"average": 1.0},
        {"learning_rate": 0.0},
        {"patches_per_image": 0},
        {"sigma": -1.0},
        {"directions": 33},
        {"along": 0.0},
        {"peak": 0.0},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        RADARConfig(**wrong)  # type: ignore[arg-type]


def test_the_settings_are_the_papers() -> None:
    light = RADARConfig()
    assert light.mode == "single_step"  # one pass, nothing is rebuilt
    paper = parse_settings(RADARConfig, {}, preset="paper").to_json()
    # Ours, which the preset leaves out.
    assert {k: (v, paper[k]) for k, v in light.to_json().items() if v != paper[k]} == {
        "network": ("small", "full"),
        "epochs": (None, 100.0),
        "decay_at": (0.8, 1.0),
        "clip_norm": (1.0, None),
        "train_below": (500, 1000),
        "usual": (True, False),
        "smooth": (2.0, None),
        "directions": (8, 0),
        "sigma": (4.0, None),
        "one_sided": (True, False),
        "beyond": (1.0, 0.0),
    }
    # Ours in every preset: the timestep.
    method = radar((64, 64), **{**paper, "network": "small"})
    assert light.timestep == paper["timestep"] == 300
    with torch.inference_mode():
        held = images(3, (64, 64))
        method.fit_held_out([Batch(images=held)])
        assert not method.usual.any()
        features = method.features(held)
        assert torch.equal(method(held).score, method.forest(features))
        residual = method.residuals(held[:1])
        assert torch.equal(method(held[:1]).anomaly_map, sobel_magnitude(residual))


def test_methods_that_compare_features_want_a_teacher() -> None:
    with pytest.raises(ConfigError, match=r"RD compares .* teacher"):
        Detector("rd", teacher="none", image_size=64).fit(
            np.zeros((8, 64, 64), np.uint8), false_alarm_rate=0.5, progress=Progress(quiet=True)
        )


def test_too_few_held_out_images_are_said_before_the_training() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3)).astype(np.uint8)
    detector = Detector("radar", image_size=64, settings={"steps": 10**9})
    with pytest.raises(DataError, match=r"needs 2 good images or more .* of 4 only 1 could"):
        detector.fit(pictures, training=CPU, progress=Progress(quiet=True))
