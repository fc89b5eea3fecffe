"""What is peculiar to BoRAD: its settings, its projections, and what prediction leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from small_borad import SIZE, awake, batch_of, build

from blemish import Detector
from blemish._progress import Progress
from blemish.errors import ConfigError
from blemish.methods.borad.config import BoRADConfig
from blemish.methods.borad.model import BoRAD
from blemish.methods.settings import parse_settings
from blemish.model_file.bundle import read_bundle
from blemish.teachers.teacher import build_teacher


def test_the_settings_are_the_papers() -> None:
    method = build()
    network, heads = method.stages()[0].groups
    assert (network.learning_rate, network.clip_norm) == (5e-3, 5.0)
    assert (heads.learning_rate, heads.clip_norm) == (5e-3, None)
    config = method.config
    assert (config.prototypes, config.view_rate, config.mask_share) == (7, 0.5, 0.5)
    assert config.momentum == (0.99, 0.999)
    assert (config.spatial_weight, config.global_weight) == (1.0, 1.0)
    paper = parse_settings(BoRADConfig, {}, preset="paper")
    differs = {
        name: (stated, getattr(config, name))
        for name, stated in vars(paper).items()
        if stated != getattr(config, name)
    }
    # What paper and authors' code state, and the default here.
    assert differs == {
        "epochs": (100, None),
        "decay_at": (1.0, 0.8),
        "student": ("mirror", "light"),
        "stage_width": (1, 2),
        "balance": (False, True),
        "focus": (0.0, 1.0),
        "flat_loss": (True, False),
        "residual": (False, True),
        "divisors": ((2, 4, 2), None),
        "global_predictor": ("published", "signed"),
        "unmasked_statistics": (False, True),
    }


@pytest.mark.parametrize("size", [(64, 96), (256, 256), (96, 32)])
def test_the_bank_has_the_bottlenecks_real_size(size: tuple[int, int]) -> None:
    method = build(size)
    levels = method.standardise(method.levels(batch_of(method, 1)))
    mid = method.eval().embed(levels)
    assert method.alignment is not None
    assert method.alignment.bank.P.shape == (mid.shape[2] * mid.shape[3], 7, mid.shape[1])


def test_the_model_file_holds_no_bank_no_head_and_no_target(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    sizes = {}
    for weight in (0.0, 1.0):
        settings = {"steps": 2, "batch_size": 4, "spatial_weight": weight, "global_weight": weight}
        detector = Detector("borad", settings=settings)
        detector.fit(good_parts, false_alarm_rate=0.2, progress=Progress(quiet=True))
        detector.save(tmp_path / "model.blemish")
        weights = read_bundle(tmp_path / "model.blemish").files["model.safetensors"]
        keys = load_tensors(weights).keys()
        assert not any("bank" in key or "head" in key or "target" in key for key in keys)
        assert any(key.startswith("projection.") for key in keys)
        sizes[weight] = len(weights)
        assert detector.method is not None
        everything = detector.method.state_dict().keys()
        assert (len(everything) > len(keys)) == (weight > 0)  # but a checkpoint has them
    assert sizes[0.0] == sizes[1.0]


def test_prediction_never_calls_what_only_training_needs() -> None:
    method = build().eval()
    called: list[str] = []
    for name, module in method.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    images = torch.zeros(1, 3, *SIZE)
    with torch.inference_mode():
        before = method(images).anomaly_map
        assert not [name for name in called if name.startswith(("target", "alignment"))]
        assert "projection" in called
        assert method.target is not None
        assert method.alignment is not None
        for p in (*method.target.parameters(), *method.alignment.parameters()):
            p.fill_(float("nan"))
        assert torch.equal(method(images).anomaly_map, before)


@pytest.mark.parametrize("residual", [True, False])
def test_the_bottleneck_sees_the_levels_through_their_projections(residual: bool) -> None:
    method = build(residual=residual).eval()
    levels = method.standardise(method.levels(batch_of(method)))
    with torch.inference_mode():
        if residual:  # new projections change nothing
            assert torch.equal(method.embed(levels), method.bottleneck(levels))
        awake(method)
        seen = tuple(
            (level if residual else 0) + projection.detour(level)
            for level, projection in zip(levels, method.projection.projections, strict=True)
        )
        assert torch.allclose(method.embed(levels), method.bottleneck(seen), atol=1e-5)
        assert not torch.allclose(method.embed(levels), method.bottleneck(levels), atol=1e-2)


def test_an_image_is_judged_by_itself_through_projections_that_have_learned() -> None:
    method = awake(build()).eval()
    images = torch.randint(0, 256, (3, 3, *SIZE), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = method(images).score
        alone = torch.cat([method(image[None]).score for image in images])
    assert torch.allclose(together, alone, rtol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"spatial_weight": -1.0},
        {"global_weight": -0.1},
        {"prototypes": 0},
        {"divisors": ()},
        {"view_rate": 1.0},
        {"view_rate": -0.1},
        {"mask_share": 1.0},
        {"momentum": (0.9, 1.1)},
        {"momentum": (0.9,)},
        {"head_learning_rate": 0.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        BoRADConfig(**wrong)  # type: ignore[arg-type]


def test_what_the_bottleneck_cannot_hold_is_refused_with_a_remedy() -> None:
    channels = build().bottleneck.channels
    with pytest.raises(ConfigError, match=f"{channels} channels"):
        build(prototypes=channels + 1)
    build(prototypes=channels)


def test_a_loaded_model_has_only_what_predicts(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    detector = Detector("borad", settings={"steps": 2, "batch_size": 4})
    detector.fit(good_parts, false_alarm_rate=0.2, progress=Progress(quiet=True))
    detector.save(tmp_path / "model.blemish")
    loaded = Detector.load(tmp_path / "model.blemish")
    assert loaded.method is not None
    names = {name for name, _ in loaded.method.named_children()}
    assert "projection" in names
    assert not names & {"target", "alignment"}
    assert len(loaded.method.stages()[0].groups) == 1  # as one that never aligned
    loaded.save(tmp_path / "again.blemish")
    one, other = (read_bundle(tmp_path / f"{name}.blemish") for name in ("model", "again"))
    assert one.files == other.files


def test_settings_are_read_from_text() -> None:
    config = parse_settings(BoRADConfig, {"momentum": "0.9,0.95", "spatial_weight": "0"})
    assert isinstance(config, BoRADConfig)
    assert (config.momentum, config.spatial_weight) == ((0.9, 0.95), 0.0)


@pytest.mark.parametrize(
    ("divisors", "widths"), [(None, [8, 24]), ((2,), [12, 24]), ((2, 4, 2), [12, 8, 12, 24])]
)
def test_projections_of_a_narrow_teacher_are_light_unless_told_otherwise(
    divisors: tuple[int, ...] | None, widths: list[int]
) -> None:
    (first, *_) = build(divisors=divisors).projection.projections
    assert [m.out_channels for m in first.modules() if isinstance(m, torch.nn.Conv2d)] == widths
    with pytest.raises(ConfigError, match="divisors"):
        BoRADConfig(divisors=(2, 0))


def test_projections_of_a_wide_teacher_are_the_stated_ones() -> None:
    teacher = build_teacher(weights="random")
    teacher.channels = (128, 256, 512)
    (first, *_) = BoRAD(BoRADConfig(), teacher, SIZE).projection.projections
    widths = [m.out_channels for m in first.modules() if isinstance(m, torch.nn.Conv2d)]
    assert widths == [64, 32, 64, 128]
