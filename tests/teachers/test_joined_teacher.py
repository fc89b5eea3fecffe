"""Joined teachers: levels side by side, and which of their channels are whose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from blemish.errors import ConfigError
from blemish.teachers.efficientnet_lite import weights_file
from blemish.teachers.teacher import build_teacher, check_teacher_name, register_teacher

BOTH = "efficientnet_lite0+efficientnet_lite0@4-8-16"  # two that every installation has


def test_levels_lie_side_by_side_and_are_told_apart() -> None:
    teacher, alone = build_teacher(BOTH), build_teacher()
    assert teacher.pretrained
    assert teacher.name == BOTH
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    levels, own = teacher(images), alone(images)
    assert [level.shape[1] for level in levels] == [48, 80, 224]
    apart = teacher.by_network(levels)
    assert len(apart) == 6
    for level, wanted in zip(apart, [*own, *own], strict=True):
        assert torch.allclose(level, wanted, atol=1e-5)
    assert all(map(torch.equal, alone.by_network(own), own))


def test_its_digest_is_of_all_weights() -> None:
    teacher = build_teacher(BOTH)
    before = teacher.digest
    with torch.no_grad():
        list(teacher.trunk.parameters())[-1].view(-1)[0] += 1e-6
    assert teacher.digest != before
    assert not build_teacher(BOTH, weights="random").pretrained


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("efficientnet_lite0+efficientnet_lite0@8-16", r"strides that differ.*at \[8, 16\]"),
        ("efficientnet_lite0+efficientnet_light2", "Did you mean 'efficientnet_lite2'"),
        ("efficientnet_lite0+", "Unknown teacher ''"),
    ],
)
def test_what_cannot_be_joined_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_teacher(name, weights="random")


def test_a_name_is_checked_without_building() -> None:
    check_teacher_name(BOTH)
    with pytest.raises(ConfigError, match="Did you mean 'efficientnet_lite2'"):
        check_teacher_name("efficientnet_lite0+efficientnet_light2")


def test_one_weight_file_is_not_enough() -> None:
    path: Path = weights_file("efficientnet_lite0")
    with pytest.raises(ConfigError, match=r"is several, and .* holds the weights of one"):
        build_teacher(BOTH, weights=path)


def test_a_registered_name_cannot_look_like_several() -> None:
    with pytest.raises(ConfigError, match="which joins teachers"):
        register_teacher("mine+yours", lambda weights: build_teacher(weights=weights))
