"""The fault campaign, short: a few of each in every run of the suite."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by fork and signal")


@pytest.fixture(scope="module")
def campaign() -> ModuleType:
    path = Path(__file__).with_name("campaign.py")
    spec = importlib.util.spec_from_file_location("campaign", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_damaged_model_files_are_refused_or_give_the_same_scores(campaign: ModuleType) -> None:
    found = campaign.damaged_models(24, seed=1)
    assert found["wrong"] == []
    assert sum(found["ends"].values()) == 24
    assert found["ends"]["refused"] > 12


def test_damaged_pictures_are_read_or_refused_in_time(campaign: ModuleType) -> None:
    found = campaign.damaged_pictures(320, seed=1)
    assert found["wrong"] == []
    assert sum(found["ends"].values()) == 320
    assert min(found["ends"].values()) > 30  # the damage is neither nothing nor everything


def test_killed_commands_leave_whole_files_and_complete(campaign: ModuleType) -> None:
    found = campaign.killed_commands(6, seed=1)
    assert found["wrong"] == []
    assert sum(found["kills"].values()) >= 1  # the others ended before their moment came
