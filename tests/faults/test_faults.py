"""The fault campaign, short: a few of each in every run of the suite."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from forked import ForkServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by fork and signal")


def root_of_linux() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture
def campaign() -> ModuleType:
    return importlib.import_module("campaign")


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


@pytest.mark.skipif(not root_of_linux(), reason="mounts a small disk")
def test_on_a_full_disk_files_stay_as_they_were() -> None:
    found = importlib.import_module("places").full_disks(4, seed=1, verbs=("calibrate", "predict"))
    assert found["wrong"] == []
    assert found["ends"]["refused"] >= 2


@pytest.mark.skipif(not root_of_linux(), reason="mounts a small disk")
def test_where_nothing_can_be_written_that_is_said() -> None:
    found = importlib.import_module("places").closed_places(verbs=("calibrate", "predict"))
    assert found["wrong"] == []
    assert found["ends"] == {"refused": 4}


def test_a_server_that_is_killed_has_what_it_answered(forks: ForkServer) -> None:
    found = importlib.import_module("killed").killed_servers(forks, 2, seed=1)
    assert found["wrong"] == []
    assert found["confirmed"] > 2
