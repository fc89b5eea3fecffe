"""AnoMem: what enters the memory and what does not, the two encoders, and labelled defects."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import labelled_defects, training_data
from blemish.errors import ConfigError, TrainingInterruptedError
from blemish.methods.anomem.config import AnoMemConfig
from blemish.methods.anomem.model import AnoMem
from blemish.methods.base import Batch
from blemish.methods.settings import parse_settings
from blemish.model_file.bundle import read_bundle
from blemish.teachers.teacher import build_teacher
from blemish.training.train import train

CPU = TrainingOptions(device="cpu")

QUIET = Progress(quiet=True)
SMALL = {"encoder": "scratch", "width": 8, "blocks": 1, "stem_stride": 2, "batch_size": 8}
Pixels = NDArray[np.uint8]


def build(size: tuple[int, int] = (32, 32), **settings: Any) -> AnoMem:
    torch.manual_seed(0)
    config = AnoMemConfig(**{**SMALL, **settings})
    return AnoMem(config, build_teacher(weights="random"), size)


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture(scope="module")
def small_parts(draw_part: Callable[..., Pixels]) -> Pixels:
    return np.stack([draw_part(seed, size=64)[::2, ::2] for seed in range(24)])


def gradients(method: AnoMem, z1: torch.Tensor, z2: torch.Tensor, normal: Any) -> Any:
    """Of the memory and of both views, by the contrastive term and the variance term."""
    views = (z1.clone().requires_grad_(), z2.clone().requires_grad_())
    loss, variance, _ = method.contrast(*views, torch.tensor(normal), 0)
    return torch.autograd.grad(
        loss + variance, (method.memories[0].prototypes, *views), allow_unused=True
    )


def test_a_labelled_anomaly_never_enters_the_memory() -> None:
    method = build()
    z1, z2 = unit(5, 6, 128), unit(5, 6, 128)
    normal = [True, False, True, True, False, True]
    before = gradients(method, z1, z2, normal)
    y1, y2 = z1.clone(), z2.clone()
    y1[:, [1, 4]], y2[:, [1, 4]] = unit(5, 2, 128), unit(5, 2, 128)
    after = gradients(method, y1, y2, normal)
    # To the last bit: no anomaly, whatever it looks like, moves a prototype …
    assert before[0].abs().sum() > 0
    assert torch.equal(before[0], after[0])
    # … nor does it change what the normals learn; yet the encoder does learn from it.
    assert torch.equal(before[1][:, normal], after[1][:, normal])
    assert before[1][:, 1].abs().sum() > 0
    assert not torch.equal(before[1][:, 1], after[1][:, 1])


def test_the_contrast_is_with_the_read_out_of_the_other_view() -> None:
    method = build()
    z1, z2 = unit(1, 4, 128), unit(1, 4, 128)
    loss, _, _ = method.contrast(z1, z2, torch.ones(4, dtype=torch.bool), 0)
    expected = 0.0
    for anchors, others in ((z1[0], z2[0]), (z2[0], z1[0])):
        targets = F.normalize(method.memories[0](others), dim=1)
        logits = torch.cat([anchors @ targets.T, anchors @ anchors.T - 1e9 * torch.eye(4)], 1) / 0.2
        expected += 0.5 * float(F.cross_entropy(logits, torch.arange(4)).detach())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_anomalies_alone_leaves_the_memory_as_it_is() -> None:
    method = build()
    memory, first, _ = gradients(method, unit(5, 3, 128), unit(5, 3, 128), [True, False, False])
    assert memory.isfinite().all()
    assert first.isfinite().all()


def test_the_second_stage_leaves_encoder_and_memory_alone() -> None:
    method = build().train()
    _, stage = method.stages()
    before = {k: v.clone() for k, v in method.state_dict().items()}
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    losses = method.loss(Batch(images=images, labels=labels), stage)
    assert set(losses) == {"normal", "synthetic", "labelled", "not_labelled", "total"}
    losses["total"].backward()
    moved = {k for k, p in method.named_parameters() if p.grad is not None}
    assert moved
    assert {name.partition(".")[0] for name in moved} == {"detectors", "labelled"}
    # Batch statistics are no parameters, and stay as well.
    after = method.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    # What good images deviate by at each place is learned here.
    usual = {f"usual.{scale}.{name}" for scale in range(3) for name in ("mean", "images")}
    assert changed == {"scores.labels_seen", *usual}


def test_the_usual_of_a_place_is_that_of_all_good_images_and_of_no_anomaly() -> None:
    method = build().train()
    _, stage = method.stages()
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    for part in images.split(6):
        method.loss(Batch(images=part, labels=labels), stage)
    good = images[[0, 1, 2, 3, 6, 7, 8, 9]].float()
    with torch.no_grad():
        raw = method.raw_deviations(method.maps([good]))
        left = method.deviations(method.maps([good]))
    for scale, (one, other) in enumerate(zip(raw, left, strict=True)):
        usual = method.state_dict()[f"usual.{scale}.mean"]
        assert torch.allclose(usual, one.mean(0), atol=1e-6)
        assert torch.allclose(other, one - one.mean(0), atol=1e-6)
    assert not build(usual=False).usual.state_dict()
    assert not build(encoder="teacher").usual.state_dict()


def test_labelled_anomalies_are_pushed_out_and_normals_pulled_in() -> None:
    method = build(synthetic=False)
    _, stage = method.stages()
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    images[8:] //= 8
    batch = Batch(images=images, labels=torch.tensor([0] * 8 + [1] * 8))
    optimiser = torch.optim.Adam(method.labelled.parameters(), 3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        method.loss(batch, stage)["total"].backward()
        optimiser.step()
    with torch.inference_mode():
        distances = method.distances([images.float()], method.labelled)
        distance = torch.stack([d.mean((1, 2, 3)) for d in distances])
    assert distance[:, 8:].min() > 5 * distance[:, :8].max()


@pytest.mark.parametrize("encoder", ["scratch", "teacher"])
def test_the_score_is_the_sum_over_scales_in_deviations(encoder: str, small_parts: Pixels) -> None:
    method = build((64, 64), encoder=encoder, plain_weight=0.5).eval()
    images = torch.from_numpy(small_parts[:6].repeat(2, 1).repeat(2, 2)).permute(0, 3, 1, 2)
    batch = Batch(images=images)
    method.prepare([batch])
    with torch.inference_mode():
        method.fit_statistics([batch])
        output = method(images)
        raw = method._kinds(method.maps(method.inputs(batch)))
    expected = np.zeros(6)
    count = 0
    for kinds in raw:
        for weight, values in zip((1.0, 0.5), kinds[:2], strict=True):  # no labels were seen
            flat = np.sort(values.flatten(1).double().numpy(), 1)
            top = max(1, round((1.0 if encoder == "scratch" else 0.02) * flat.shape[1]))
            each = flat[:, -top:].mean(1)
            # A hundredth of the mean is the least it counts as a deviation.
            std = max(each.std(), 0.01 * each.mean())
            expected += weight * each / std / 3
            count += 1
    assert count == 6
    assert output.score.numpy() == pytest.approx(expected, rel=1e-4)
    assert abs(float(output.anomaly_map.mean())) < 0.05  # centred on good images


def test_without_memory_the_network_is_the_same_and_the_centre_takes_its_place() -> None:
    with_memory, without = build(), build(memory=False)
    names = [name for name, _ in with_memory.named_parameters()]
    assert names == [name for name, _ in without.named_parameters()]
    trained = {id(p) for g in without.stages()[0].groups for p in g.parameters()}
    assert not trained & {id(p) for p in without.memories.parameters()}
    z = unit(3, 128)
    without.centre1.fill_(0.25)  # type: ignore[operator]
    assert torch.equal(without.read(z, 1), torch.full((3, 128), 0.25))
    assert without.notes() == []
    losses = without.loss(
        Batch(images=torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)),
        without.stages()[0],
    )
    assert set(losses) == {"contrast", "total"}


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_fewer_scales_are_the_deepest(scales: int) -> None:
    method = build(scales=scales)
    counts = [m.prototypes.shape[0] for m in method.memories]  # type: ignore[union-attr]
    assert counts == [256, 128, 64][-scales:]
    assert method(torch.zeros(1, 3, 32, 32)).anomaly_map.shape == (1, 1, 32, 32)


def test_a_memory_that_is_hardly_read_is_said_to_have_collapsed() -> None:
    method = build().eval()
    batch = Batch(images=torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8))
    with torch.inference_mode():
        for memory in method.memories:
            memory.prototypes[1:] = -memory.prototypes[0]  # type: ignore[index,union-attr]
        method.fit_statistics([batch])
    assert [int(used) for used in method.used] == [
        len(memory.weights(z).argmax(1).unique())  # type: ignore[operator]
        for memory, z in zip(method.memories, _reads(method, batch), strict=True)
    ]
    used, collapsed = method.notes()
    assert "/256" in used
    assert "collapsed" in collapsed


def _reads(method: AnoMem, batch: Batch) -> list[torch.Tensor]:
    maps = method.maps(method.inputs(batch))
    return [
        F.normalize(head(f), dim=1).permute(0, 2, 3, 1).flatten(0, 2)
        for head, f in zip(method.heads, maps, strict=True)
    ]


def test_the_encoder_follows_the_images() -> None:
    auto = AnoMemConfig()
    for sizes, encoder in (
        ([(28, 28)] * 1000, "scratch"),
        ([(28, 28)] * 999, "teacher"),
        ([(64, 64)] * 5000, "scratch"),
        ([(64, 65)] * 5000, "teacher"),
    ):
        assert auto.settled(sizes).encoder == encoder
    asked = AnoMemConfig(encoder="teacher")
    assert asked.settled([(28, 28)] * 1000) == asked
    assert (auto.input_side(28), AnoMemConfig(encoder="scratch").input_side(28)) == (64, 32)
    assert AnoMemConfig(encoder="scratch").input_side(1000) == 256


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoder": "scratchy"},
        {"scales": 4},
        {"scales": 0},
        {"prototypes": (64, 64)},
        {"prototypes": (64, 64, 1)},
        {"stem_stride": 3},
        {"beta": 0.0},
        {"temperature": -1.0},
        {"variance_weight": -0.1},
        {"anomaly_share": 1.0},
        {"top_share": 1.5},
        {"decay_at": 0.0},
        {"positions": 0},
        {"width": 7},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AnoMemConfig(**wrong)


def test_the_settings_are_the_papers() -> None:
    light = AnoMemConfig()
    # In every preset: several scales, memory, variance term, two stages.
    assert (light.scales, light.memory, light.variance_weight > 0) == (3, True, True)
    assert [stage.name for stage in build().stages()] == ["memory", "distance"]
    paper = parse_settings(AnoMemConfig, {}, preset="paper")
    assert isinstance(paper, AnoMemConfig)
    whole = replace(light, width=64, blocks=2, stem_stride=1, mirror=True, epochs=100.0)
    whole = replace(whole, decay_at=1.0, clip_norm=None)
    assert replace(whole, encoder="scratch", plain_weight=0.0, usual=False) == paper
    assert paper.settled([(800, 800)] * 10).encoder == "scratch"  # however few and large they are
    # What differs from the paper, or that it does not say: the numbers are ours.
    assert (light.encoder, light.synthetic, light.plain_weight) == (None, True, 1.0)
    assert (light.prototypes, light.channels, light.beta) == ((256, 128, 64), 128, 8.0)
    assert (light.temperature, light.learning_rate, light.decay_at) == (0.2, 1e-3, 0.8)


def training(method: AnoMem, samples: Any, folder: Path, **options: Any) -> Any:
    given = TrainingOptions(work_dir=folder, device="cpu", **options)
    return train(method, samples, Preprocessing(32, 32), given, progress=QUIET)


@pytest.mark.parametrize(
    "stopped",
    [
        ("memory", 5),
        *(pytest.param(s, marks=pytest.mark.slow) for s in (("memory", 3), ("distance", 1))),
    ],
)
def test_a_stopped_training_ends_as_an_uninterrupted_one(
    stopped: tuple[str, int], small_parts: Pixels, tmp_path: Path, monkeypatch: Any
) -> None:
    samples = [*training_data(small_parts[:12]).samples, *labelled_defects(small_parts[12:15] // 3)]
    whole = build(steps=6, distance_steps=3)
    report = training(whole, samples, tmp_path / "whole")
    assert list(report.losses) == ["memory", "distance"]
    halted = build(steps=6, distance_steps=3)
    with monkeypatch.context() as patch:
        patch.setattr(
            AnoMem,
            "after_step",
            lambda self, stage, step: (
                os.kill(os.getpid(), signal.SIGINT) if (stage.name, step) == stopped else None
            ),
        )
        # Stopped after the last step of a stage, a training has only the next stage to do.
        with pytest.raises(TrainingInterruptedError):
            training(halted, samples, tmp_path / "halted")
    again = build(steps=6, distance_steps=3)
    training(again, samples, tmp_path / "halted", resume=True)
    other = again.state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, other[key]), key


def test_from_scratch_the_loss_falls_and_the_file_needs_no_teacher(
    small_parts: Pixels, tmp_path: Path
) -> None:
    detector = Detector("anomem", image_size=32, settings={**SMALL, "steps": 40})
    detector.fit(small_parts, false_alarm_rate=0.3, training=CPU, progress=QUIET)
    report = detector.fit_report
    for losses in report.training.losses.values():
        totals = [parts["total"] for _, parts in losses]
        assert np.mean(totals[-5:]) < 0.95 * np.mean(totals[:3])
    assert any(note.startswith("Memory: ") for note in report.notes)
    detector.save(tmp_path / "m.blemish")
    weights = read_bundle(tmp_path / "m.blemish").files["model.safetensors"]
    assert b"teacher." not in weights[:20_000]
    loaded = Detector.load(tmp_path / "m.blemish")
    for one, other in zip(detector.predict(small_parts), loaded.predict(small_parts), strict=True):
        assert one.score == other.score
        assert one.anomaly_map.tobytes() == other.anomaly_map.tobytes()


def test_labelled_defects_are_told_from_good_parts(
    draw_part: Callable[..., Pixels], small_parts: Pixels
) -> None:
    dark = small_parts[:12] // 2
    detector = Detector("anomem", image_size=32, settings={**SMALL, "steps": 30})
    report = detector.fit(
        small_parts, defects=dark[:6], false_alarm_rate=0.3, training=CPU, progress=QUIET
    ).fit_report
    assert report.labelled_defects == detector.training["labelled_defects"] == 6
    assert report.training_images == 19  # of 24, five calibrate; no defect is counted
    assert "labelled" in report.training.losses["distance"][0][1]
    good = [
        p.score
        for p in detector.predict(
            np.stack([draw_part(900 + s, size=64)[::2, ::2] for s in range(6)])
        )
    ]
    bad = [p.score for p in detector.predict(dark[6:])]
    assert min(bad) > max(good)


def test_the_settled_encoder_is_in_the_file(
    draw_part: Callable[..., Pixels], tmp_path: Path
) -> None:
    tiny = np.stack([draw_part(seed, size=64)[::2, ::2][:28, :28] for seed in range(8)])
    many = np.concatenate([tiny] * 125 + [tiny])
    settings = {"steps": 1, "width": 8, "blocks": 1, "batch_size": 4, "distance_steps": 1}
    detector = Detector("anomem", settings=settings)
    samples: list[Sample] = list(training_data(many).samples)
    detector.fit(many, hold_out_share=0.005, false_alarm_rate=0.3, training=CPU, progress=QUIET)
    assert len(samples) == 1008
    assert detector.preprocessing is not None
    assert detector.preprocessing.size == (32, 32)
    detector.save(tmp_path / "m.blemish")
    assert Detector.load(tmp_path / "m.blemish").config.to_json()["encoder"] == "scratch"
