"""What every system must fulfil; a new one is tested by being registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from building import BRIEF_RADAR, TINY_RADAR, build_method
from numpy.typing import NDArray
from safetensors import safe_open
from small_teachers import small_teacher

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.planted import plant_anomaly
from blemish.data.sources import training_data
from blemish.errors import ConfigError
from blemish.methods import names
from blemish.methods.base import Batch, Method
from blemish.methods.radar.config import NETWORKS
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig, describe_settings, parse_settings
from blemish.model_file.bundle import read_bundle
from blemish.teachers.teacher import build_teacher
from blemish.training.train import train

CPU = TrainingOptions(device="cpu")

QUIET = Progress(quiet=True)
SIZE = (64, 96)


@pytest.fixture(scope="module", params=names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", TINY_RADAR)
        yield


def is_trained(name: str) -> bool:
    return issubclass(method_class(name).config_class, TrainedConfig)


def brief(name: str, steps: int, batch_size: int) -> dict[str, object]:
    length = {"steps": steps, "batch_size": batch_size} if is_trained(name) else {}
    return length | (BRIEF_RADAR if name == "radar" else {})


def build(name: str, *, size: tuple[int, int] = SIZE, **settings: object) -> Method:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_method(name, settings, build_teacher(), size)


def trained(
    name: str, images: NDArray[np.uint8], folder: Path, *, seed: int
) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = build_method(name, brief(name, 4, 4), small_teacher("tiny-three"), (64, 64))
        options = TrainingOptions(work_dir=folder, seed=seed, device="cpu")
        samples = training_data(images).samples
        train(method, samples, Preprocessing(64, 64), options, progress=QUIET)
    return method.state_dict()


@pytest.fixture(scope="module")
def detector(name: str, draw_part: Callable[..., NDArray[np.uint8]]) -> Detector:
    """Trained in earnest, if briefly: 16 good parts, 96 pixels."""
    good = np.stack([draw_part(seed, size=96) for seed in range(16)])
    detector = Detector(name, image_size=96, settings=brief(name, 30 if name == "radar" else 20, 8))
    detector.fit(good, false_alarm_rate=0.2, training=CPU, progress=QUIET)
    return detector


def test_one_forward_pass_gives_map_score_and_branches(name: str) -> None:
    method = build(name).eval()
    images = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8)
    with torch.inference_mode():
        output = method(images)
        again = method(images.float())
    assert output.anomaly_map.shape == (3, 1, *SIZE)
    assert output.score.shape == (3,)
    assert tuple(output.branches) == method.branch_names
    for values in (output.anomaly_map, output.score, *output.branches.values()):
        assert values.dtype == torch.float32
        assert values.isfinite().all()
    assert all(values.shape == (3,) for values in output.branches.values())
    assert torch.equal(output.score, again.score)


def test_an_image_is_judged_by_itself(name: str) -> None:
    method = build(name).eval()
    images = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8)
    with torch.inference_mode():
        together, alone = method(images), method(images[1:2])
    assert torch.allclose(together.anomaly_map[1:2], alone.anomaly_map, atol=1e-4, rtol=1e-4)
    assert torch.allclose(together.score[1:2], alone.score, atol=1e-4, rtol=1e-4)


def test_training_moves_what_the_stages_name_and_nothing_else(name: str) -> None:
    method = build(name)
    method.prepare([_batch(method)])
    for stage in method.stages():
        method.train()
        method.zero_grad()
        losses = method.loss(_batch(method), stage)
        assert all(value.shape == () and value.isfinite() for value in losses.values())
        losses["total"].backward()
        named = {id(p) for group in stage.groups for p in group.parameters()}
        moved = {id(p) for p in method.parameters() if p.grad is not None and p.grad.any()}
        assert moved, "no parameter has a gradient"
        assert moved <= named
        assert not named & {id(p) for p in method.teacher.parameters()}


def test_losses_fall_and_the_teacher_stays(name: str, detector: Detector) -> None:
    assert detector.method is not None
    assert detector.fit_report is not None
    method, report = detector.method, detector.fit_report.training
    assert list(report.losses) == [stage.name for stage in method.stages()]
    for losses in report.losses.values():
        totals = [parts["total"] for _, parts in losses]
        assert len(totals) >= 10
        assert np.mean(totals[-5:]) < 0.95 * np.mean(totals[:3])
    assert method.teacher.digest == build(name).teacher.digest


def test_the_same_seed_gives_the_same_weights(
    name: str, good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    first, again, other = (
        trained(name, good_parts, tmp_path / f"{run}", seed=seed)
        for run, seed in enumerate((1, 1, 2))
    )
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())


def test_a_loaded_model_predicts_to_the_last_bit(
    name: str, detector: Detector, good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    detector.save(tmp_path / "model.blemish")
    loaded = Detector.load(tmp_path / "model.blemish")
    before, after = detector.predict(good_parts), loaded.predict(good_parts)
    for one, other in zip(before, after, strict=True):
        assert (one.score, one.p_value, one.verdict) == (other.score, other.p_value, other.verdict)
        assert one.branches == other.branches
        assert one.anomaly_map.tobytes() == other.anomaly_map.tobytes()
        assert one.anomaly_map.shape == (64, 64)


def test_what_only_training_needs_is_not_in_the_file(
    name: str, detector: Detector, tmp_path: Path
) -> None:
    assert detector.method is not None
    detector.save(tmp_path / "model.blemish")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(read_bundle(tmp_path / "model.blemish").files[weights.name])
    with safe_open(weights, "pt") as file:
        keys = set(file.keys())
    assert keys == detector.method.inference_state().keys()
    assert not any(key.startswith(detector.method.training_only or ("\0",)) for key in keys)


def test_a_planted_defect_scores_higher_than_the_clean_image(
    name: str, detector: Detector, draw_part: Callable[..., NDArray[np.uint8]]
) -> None:
    clean = np.stack([draw_part(1000 + seed, size=96) for seed in range(8)])
    planted, masks = zip(
        *(
            plant_anomaly(image, np.random.default_rng(seed), kind=("stain", "rough")[seed % 2])
            for seed, image in enumerate(clean)
        ),
        strict=True,
    )
    before = list(detector.predict(clean))
    after = list(detector.predict(np.stack(planted)))
    gains = [b.score - a.score for a, b in zip(before, after, strict=True)]
    assert sum(gain > 0 for gain in gains) >= 7, gains
    inside = [p.anomaly_map[m].mean() for p, m in zip(after, masks, strict=True)]
    outside = [p.anomaly_map[~m].mean() for p, m in zip(after, masks, strict=True)]
    assert np.mean(inside) > 1.2 * np.mean(outside)


def test_grey_images_of_any_shape_are_judged(
    name: str, detector: Detector, draw_part: Callable[..., NDArray[np.uint8]]
) -> None:
    grey = draw_part(5, size=128)[:100, :, 1]  # (100, 128)
    coloured = np.repeat(grey[..., None], 3, axis=2)
    one, other = (next(detector.predict(image)) for image in (grey, coloured))
    assert one.score == other.score
    assert one.anomaly_map.shape == (100, 128)
    assert one.anomaly_map.dtype == np.float32


def test_settings_survive_the_model_file_and_are_checked(name: str) -> None:
    config_class = method_class(name).config_class
    config = config_class()
    assert parse_settings(config_class, config.to_json()) == config
    as_text = {
        key: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for key, value in config.to_json().items()
    }
    assert parse_settings(config_class, as_text) == config
    with pytest.raises(AttributeError):
        config.steps = 3  # type: ignore[misc]
    for wrong in ({"stepz": 3}, {"steps": 0}, {"batch_size": 0}, {"steps": "many"}, {"steps": 2.5}):
        with pytest.raises(ConfigError):
            parse_settings(config_class, wrong)


def test_every_setting_says_what_it_is_and_both_presets_are_there(name: str) -> None:
    config_class = method_class(name).config_class
    assert [s.name for s in describe_settings(config_class) if not s.help] == []
    assert parse_settings(config_class, {}, preset="light") == config_class()
    if name == "trio":  # no one paper states it
        assert list(config_class.presets) == ["light"]
        return
    assert list(config_class.presets)[:2] == ["light", "paper"]
    assert parse_settings(config_class, {}, preset="paper") != config_class()


def test_what_is_trained_step_by_step_has_a_length_and_nothing_else_has(name: str) -> None:
    assert bool(build(name).stages()) == is_trained(name)
    if is_trained(name):
        preset = list(method_class(name).config_class.presets)[-1]
        short = Detector(name, preset=preset, settings={"steps": 7}).config.to_json()
        assert (short["steps"], short.get("epochs")) == (7, None)
    else:
        with pytest.raises(ConfigError, match="Unknown setting 'steps'"):
            Detector(name, settings={"steps": 7})


def _batch(method: Method) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (4, 3, *SIZE), dtype=torch.uint8, generator=generator)
    if any(stage.needs_images for stage in method.stages()):
        return Batch(images=images, labels=torch.zeros(4, dtype=torch.long))
    return Batch(features=tuple(method.teacher(images)), labels=torch.zeros(4, dtype=torch.long))
