from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from blemish.errors import ConfigError
from blemish.methods.base import ParameterGroup
from blemish.methods.rd.model import RD
from blemish.methods.registry import build_method, method_class
from blemish.methods.settings import MethodConfig, parse_settings
from blemish.teachers.teacher import build_teacher


@dataclass(frozen=True)
class _Config(MethodConfig):
    rate: float = 0.5
    scales: tuple[float, ...] = (1.0, 2.0)
    deep: bool = False
    loss: str = "cosine"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"rate": "1e-3"}, 1e-3),
        ({"rate": 1}, 1.0),
        ({"scales": "0.5, 4"}, (0.5, 4.0)),
        ({"scales": [1, 2.5]}, (1.0, 2.5)),
        ({"deep": "Yes"}, True),
        ({"deep": "0"}, False),
        ({"deep": True}, True),
        ({"loss": "mse"}, "mse"),
        ({"steps": "20"}, 20),
    ],
)
def test_values_and_text_become_the_settings_type(given: dict[str, object], read: object) -> None:
    (name,) = given
    value = getattr(parse_settings(_Config, given), name)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": "fast"},
        {"rate": "nan"},
        {"rate": float("inf")},
        {"rate": "1e999"},
        {"rate": True},
        {"rate": 10**400},
        {"steps": "2.5"},
        {"steps": True},
        {"steps": None},
        {"scales": "1,x"},
        {"scales": 3},
        {"scales": [1, None]},
        {"deep": "maybe"},
        {"deep": 1},
        {"loss": 3},
    ],
)
def test_other_types_are_refused_by_name(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"{name}=.*expected"):
        parse_settings(_Config, wrong)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown setting 'step'\. Did you mean 'steps'"):
        parse_settings(_Config, {"step": 3})


@pytest.mark.parametrize("setting", ["focus", "flat_loss"])
def test_a_setting_of_another_method_is_refused(setting: str) -> None:
    # HFR has a loss of its own, on which RD's settings would have no effect.
    with pytest.raises(ConfigError, match=setting):
        parse_settings(method_class("hfr").config_class, {setting: "1"})


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'rd'"):
        method_class("rdd")
    with pytest.raises(ConfigError, match="Unknown method"):
        build_method("", {}, build_teacher(weights="random"), (64, 64))
    assert method_class("rd") is RD


def test_a_parameter_shared_by_two_modules_is_trained_once() -> None:
    shared, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    group = ParameterGroup((shared, nn.Sequential(shared, frozen)), learning_rate=0.1)
    assert [id(p) for p in group.parameters()] == [id(shared.weight), id(shared.bias)]


def test_training_only_state_is_left_out() -> None:
    method = build_method("rd", {}, build_teacher(weights="random"), (64, 64))
    whole = method.inference_state()
    assert whole.keys() == method.state_dict().keys()
    method.training_only = ("student.",)  # type: ignore[misc]
    rest = method.inference_state()
    assert rest.keys() == {key for key in whole if not key.startswith("student.")}
    assert all(torch.equal(rest[key], whole[key]) for key in rest)
