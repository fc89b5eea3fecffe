"""Memory that a network frees stays with the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_COUNT = """
import resource, sys
from blemish.runtime.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory() is (sys.argv[2] == "set")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        b"x" * (48 * 2**20)  # beyond what glibc learns by itself to keep
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(way: str, expected: str = "set", **variables: str) -> int:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-c", _COUNT, way, expected]
    result = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, check=True
    )
    return int(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_what_is_freed_is_not_asked_of_the_system_again() -> None:
    assert faults("kept") < faults("as it is") / 4


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_who_chose_the_settings_keeps_them() -> None:
    chosen = {"MALLOC_MMAP_THRESHOLD_": "100000"}
    assert faults("kept", "left alone", **chosen) > faults("kept")
