from __future__ import annotations

import pytest
import torch
from building import build_method
from torch import nn

from blemish.errors import ConfigError
from blemish.methods.base import ParameterGroup
from blemish.methods.rd.model import RD
from blemish.methods.registry import method_class
from blemish.teachers.teacher import build_teacher


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
