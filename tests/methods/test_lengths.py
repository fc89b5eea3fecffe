"""Lengths of the systems' trainings: they grow with the images, within bounds of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from building import build_method

from blemish.teachers.teacher import build_teacher

#: Steps of every stage on 100, 20,000 and a million images.
LENGTHS = {
    "rd": [[500], [10_000], [10_000]],
    "borad": [[500], [10_000], [10_000]],
    "hfr": [[500], [10_000], [10_000]],
    "logicrd": [[500], [10_000], [10_000]],
    "radar": [[800], [10_000], [10_000]],
    "anomem": [[1000, 500], [6250, 3125], [10_000, 5000]],
}


def lengths(name: str, settings: Mapping[str, Any], images: int) -> list[int]:
    method = build_method(name, settings, build_teacher(weights="random"), (64, 64))
    return [stage.settled(images).total_steps for stage in method.stages()]


@pytest.mark.parametrize("name", LENGTHS)
def test_the_length_grows_with_the_images(name: str) -> None:
    assert [lengths(name, {}, n) for n in (100, 20_000, 1_000_000)] == LENGTHS[name]


def test_radar_and_anomem_are_as_long_as_stated_on_the_data_they_were_measured_on() -> None:
    assert lengths("radar", {}, 256) == [800]
    assert lengths("radar", {}, 320) == [1000]
    for settings in ({}, {"encoder": "scratch"}):  # whose second batches differ
        assert lengths("anomem", settings, 6_000) == [1875, 938]


def test_what_is_named_wins() -> None:
    assert lengths("radar", {"steps": 7}, 20_000) == [7]
    assert lengths("anomem", {"steps": 7}, 20_000) == [7, 3]
    assert lengths("anomem", {"distance_steps": 5}, 20_000) == [6250, 5]
    assert lengths("anomem", {"epochs": 2, "encoder": "scratch"}, 6_400) == [200, 100]
