"""Settings: types, ranges and help, each read from the config class."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import pytest

from blemish.errors import ConfigError
from blemish.methods.registry import method_class
from blemish.methods.settings import (
    Count,
    NotNegative,
    Positive,
    Range,
    Share,
    TrainedConfig,
    describe_settings,
    parse_settings,
)

_Even = Annotated[int, Range(2, multiple_of=2)]


@dataclass(frozen=True)
class _Config(TrainedConfig):
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "light": {},
        "paper": {"rate": 2, "loss": "mse", "top": None},
    }

    rate: Positive = 0.5  # step size
    scales: tuple[float, ...] = (1.0, 2.0)
    # three of them,
    # shallow to deep
    sizes: tuple[Count, Count, Count] = (4, 2, 1)
    pair: tuple[int, float] = (1, 0.5)
    deep: bool = False
    loss: Literal["cosine", "mse"] = "cosine"  # what is compared
    stride: Literal[1, 2, 4] | None = None
    top: Share | None = 0.1
    even: _Even = 4
    part: Annotated[float, Range(0, 1, below=True)] = 0.0
    weight: NotNegative = 1.0
    levels: Annotated[int, Range(1, 3)] = 3
    note: str = "none yet"
    label: str | None = None


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"rate": "1e-3"}, 1e-3),
        ({"rate": 1}, 1.0),
        ({"rate": np.float64(0.25)}, 0.25),
        ({"scales": "0.5, 4"}, (0.5, 4.0)),
        ({"scales": [1, 2.5]}, (1.0, 2.5)),
        ({"sizes": "8,4,2"}, (8, 4, 2)),
        ({"pair": "3,4"}, (3, 4.0)),
        ({"deep": "Yes"}, True),
        ({"deep": "0"}, False),
        ({"deep": True}, True),
        ({"loss": "mse"}, "mse"),
        ({"stride": "2"}, 2),
        ({"stride": 4}, 4),
        ({"stride": "None"}, None),
        ({"top": "none"}, None),
        ({"top": None}, None),
        ({"top": "1"}, 1.0),
        ({"even": "6"}, 6),
        ({"part": 0}, 0.0),
        ({"weight": "0"}, 0.0),
        ({"levels": 3}, 3),
        ({"note": "none"}, "none"),
        ({"label": "none"}, None),
        ({"label": "bolt"}, "bolt"),
        ({"steps": "20"}, 20),
    ],
)
def test_values_and_text_become_the_annotations_type(
    given: dict[str, object], read: object
) -> None:
    (name,) = given
    value = getattr(parse_settings(_Config, given), name)
    assert value == read
    assert type(value) is type(read)
    if isinstance(read, tuple):
        assert [type(part) for part in value] == [type(part) for part in read]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"rate": "fast"}, r"a number above 0, such as 0\.5\."),
        ({"rate": "nan"}, "a number above 0"),
        ({"rate": float("inf")}, "a number"),
        ({"rate": "1e999"}, "a number"),
        ({"rate": 10**400}, "a number"),
        ({"rate": True}, "a number"),
        ({"rate": 0}, "a number above 0"),
        ({"steps": "2.5"}, "a whole number from 1, such as 2000"),
        ({"steps": True}, "a whole number"),
        ({"steps": None}, "a whole number"),
        ({"steps": 0}, "a whole number from 1"),
        ({"scales": "1,x"}, r"numbers separated by commas, such as 1\.0,2\.0"),
        ({"scales": 3}, "numbers separated by commas"),
        ({"scales": [1, None]}, "numbers separated by commas"),
        ({"sizes": "1,2"}, "3 whole numbers from 1 separated by commas, such as 4,2,1"),
        ({"sizes": "1,2,0"}, "3 whole numbers from 1"),
        ({"pair": "3"}, "a whole number and number, a comma between, such as 1,0.5"),
        ({"deep": "maybe"}, r"true or false\.$"),
        ({"deep": 1}, "true or false"),
        ({"loss": 3}, "one of cosine, mse"),
        ({"loss": "mes"}, r"one of cosine, mse\. Did you mean 'mse'\?"),
        ({"stride": 3}, "one of 1, 2, 4 or none"),
        ({"stride": True}, "one of 1, 2, 4 or none"),
        ({"top": 1.5}, r"a number in \(0, 1\] or none"),
        ({"top": "0"}, r"a number in \(0, 1\] or none"),
        ({"even": 3}, "a whole number from 2 in steps of 2"),
        ({"part": 1}, r"a number in \[0, 1\)"),
        ({"weight": -0.1}, "a number from 0"),
        ({"levels": 4}, "a whole number from 1 to 3"),
        ({"note": 3}, "text, such as none yet"),
        ({"label": 3}, "text or none"),
    ],
)
def test_other_values_are_refused_and_the_message_says_what_is_expected(
    wrong: dict[str, object], expected: str
) -> None:
    (name,) = wrong
    for make in (lambda: parse_settings(_Config, wrong), lambda: _Config(**wrong)):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=rf"^{name}=.*: expected {expected}"):
            make()


def test_settings_survive_json_and_a_replaced_one_is_checked() -> None:
    config = _Config(top=None, stride=2, label=None)
    assert parse_settings(_Config, json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(ConfigError, match="levels=0"):
        replace(config, levels=0)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown setting 'step'\. Did you mean 'steps'"):
        parse_settings(_Config, {"step": 3})
    with pytest.raises(ConfigError, match="Unknown setting 'presets'"):
        parse_settings(_Config, {"presets": "x"})


@pytest.mark.parametrize("setting", ["focus", "flat_loss"])
def test_a_setting_of_another_method_is_refused(setting: str) -> None:
    # HFR has a loss of its own, on which RD's settings would have no effect.
    with pytest.raises(ConfigError, match=setting):
        parse_settings(method_class("hfr").config_class, {setting: "1"})


def test_what_is_set_wins_over_the_preset() -> None:
    assert parse_settings(_Config, {}) == _Config()
    paper = parse_settings(_Config, {"rate": "3"}, preset="paper")
    assert (paper.to_json()["rate"], paper.to_json()["loss"]) == (3.0, "mse")
    with pytest.raises(ConfigError, match=r"Unknown preset 'papre'\. Did you mean 'paper'"):
        parse_settings(_Config, {}, preset="papre")


def test_settings_describe_themselves() -> None:
    found = {setting.name: setting for setting in describe_settings(_Config)}
    assert list(found)[:3] == ["steps", "batch_size", "rate"]
    assert found["steps"].help == "optimiser steps of the main stage"
    assert found["rate"] == ("rate", "number above 0", 0.5, "step size")
    assert found["scales"].help == found["deep"].help == ""
    assert found["sizes"][1:] == (
        *("3 whole numbers from 1 separated by commas", (4, 2, 1)),
        "three of them, shallow to deep",
    )
    assert found["loss"].takes == "one of cosine, mse"
    assert found["top"][1:3] == ("number in (0, 1] or none", 0.1)


@pytest.mark.parametrize("name", ["rd", "borad", "hfr", "logicrd"])
def test_a_directive_to_a_checker_is_no_help(name: str) -> None:
    steps = describe_settings(method_class(name).config_class)[0]
    assert steps.help.startswith("optimiser steps; none = by the number of images")
