"""The road to every other backbone. timm is not among the test packages: see CONTRIBUTING.md."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from blemish import Detector
from blemish._progress import Progress
from blemish.errors import ConfigError, MissingExtraError
from blemish.export import export_model
from blemish.teachers.efficientnet_lite import weights_file
from blemish.teachers.teacher import build_teacher

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="needs the extra [timm]"
)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"blemish\[timm\]"):
        build_teacher("timm/resnet18")


def test_a_timm_that_cannot_be_imported_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms is missing')")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="matching builds"):
        build_teacher("timm/resnet18")


@needs_timm
def test_a_backbone_has_levels_at_the_three_strides() -> None:
    teacher = build_teacher("timm/resnet18", weights="random")
    assert (teacher.channels, teacher.strides) == ((64, 128, 256), (4, 8, 16))
    levels = teacher(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (64, 16, 24),
        (128, 8, 12),
        (256, 4, 6),
    ]
    assert not teacher.pretrained
    assert teacher.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


@needs_timm
def test_weights_come_from_a_local_file(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(1)
    donor = timm.create_model("resnet18")
    torch.save(donor.state_dict(), tmp_path / "resnet18.pth")
    teacher = build_teacher("timm/resnet18", weights=tmp_path / "resnet18.pth")
    assert teacher.pretrained
    assert torch.equal(dict(teacher.trunk.named_parameters())["conv1.weight"], donor.conv1.weight)
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(ConfigError, match="could not be had"):
        build_teacher("timm/resnet18", weights=tmp_path / "text.pth")


@needs_timm
def test_unknown_backbones_and_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'resnet18'"):
        build_teacher("timm/resnet81", weights="random")
    with pytest.raises(ConfigError, match=r"levels \[3, 12\] cannot be had"):
        build_teacher("timm/vit_tiny_patch16_224@3,12", weights="random")
    with pytest.raises(ConfigError, match="numbers of levels after @"):
        build_teacher("timm/resnet18@deep", weights="random")


@needs_timm
@pytest.mark.parametrize(
    ("name", "strides", "size"),
    [
        ("vit_tiny_patch16_224", (16, 16, 16), (64, 96)),  # a quarter, a half, three quarters
        ("vit_tiny_patch16_224@3,11", (16, 16), (64, 96)),
        ("vit_small_patch14_dinov2", (14, 14, 14), (224, 224)),
        ("vit_small_patch16_dinov3", (16, 16, 16), (64, 96)),
        ("swin_tiny_patch4_window7_224", (4, 8, 16), (64, 96)),  # channels last inside
        ("resnet18@1,4", (4, 32), (64, 96)),
        ("mixer_s16_224", (16, 16, 16), (224, 224)),
    ],
)
def test_transformers_and_chosen_levels(
    name: str, strides: tuple[int, ...], size: tuple[int, int]
) -> None:
    teacher = build_teacher(f"timm/{name}", weights="random")
    assert teacher.strides == strides
    levels = teacher(torch.zeros(1, 3, *size, dtype=torch.uint8))
    assert [tuple(f.shape[2:]) for f in levels] == teacher.level_sizes(size)
    assert tuple(f.shape[1] for f in levels) == teacher.channels


@needs_timm
def test_a_backbone_of_one_input_size_says_which() -> None:
    with pytest.raises(ConfigError, match="takes images of 224×224 only"):
        build_teacher("timm/mixer_s16_224", weights="random").level_sizes((256, 256))


@needs_timm
def test_a_model_over_a_vit_of_timm_is_saved_exported_and_judges_as_before(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    detector = Detector(
        "rd",
        teacher="timm/vit_tiny_patch16_224",
        teacher_weights="random",
        image_size=64,
        settings={"steps": 2, "batch_size": 4, "width": 1.0},
    )
    detector.fit(good_parts, false_alarm_rate=0.3, progress=Progress(quiet=True))
    detector.save(tmp_path / "vit.blemish")
    export_model(tmp_path / "vit.blemish", tmp_path / "vit-onnx.blemish")  # compares, or raises
    loaded = Detector.load(tmp_path / "vit.blemish")
    pairs = zip(detector.predict(good_parts), loaded.predict(good_parts), strict=True)
    assert all(one.score == other.score for one, other in pairs)


@needs_timm
@pytest.mark.parametrize("number", [0, 1, 2])
def test_our_default_teachers_equal_those_of_timm(number: int) -> None:
    """An independent reading of strides, padding and taps."""
    import timm

    try:
        published = torch.load(weights_file(f"efficientnet_lite{number}"), weights_only=True)
    except MissingExtraError as error:
        pytest.skip(str(error))
    whole = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    # The same tensors in the same order under other names, the counters of batch norm included.
    own = whole.state_dict()
    assert len(own) == len(published)
    whole.load_state_dict(dict(zip(own, published.values(), strict=True)))
    trunk = timm.create_model(
        f"tf_efficientnet_lite{number}", features_only=True, out_indices=(1, 2, 3)
    ).eval()
    trunk.load_state_dict(whole.state_dict(), strict=False)
    images = torch.randint(0, 256, (1, 3, 96, 160), dtype=torch.uint8)
    with torch.inference_mode():
        expected = trunk((images.float() - 127) / 128)
        levels = build_teacher(f"efficientnet_lite{number}")(images)
    for level, wanted in zip(levels, expected, strict=True):
        assert torch.allclose(level, wanted, atol=1e-4 * float(wanted.abs().max()))
