"""Short turns: what the kernel says of threads that are there and of those that follow."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_TURNS = """
import ctypes, os, struct, sys, threading
from blemish.runtime.turns import ask_for_short_turns
call = ctypes.CDLL(None).syscall
def slices():
    found = []
    for thread in os.listdir("/proc/self/task"):
        told = ctypes.create_string_buffer(56)
        assert call({"x86_64": 315, "aarch64": 275}[sys.argv[1]], int(thread), told, 56, 0) == 0
        found.append(struct.unpack("=IIQiIQQQII", told.raw)[3:6:2])  # nice, slice
    return found
os.nice(3)
# Slices are inherited, and whoever started this may have asked already.
usual = struct.pack("=IIQiIQQQII", 56, 0, 0, 3, 0, 3_000_000, 0, 0, 0, 0)
assert call({"x86_64": 314, "aarch64": 274}[sys.argv[1]], 0, usual, 0) == 0
ends = threading.Event()
threading.Thread(target=ends.wait).start()
before = slices()
assert ask_for_short_turns()
threading.Thread(target=ends.wait).start()
print(before, slices(), sep="\\n")
ends.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's scheduler")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="number of the call")
def test_all_threads_have_short_turns_and_the_rest_as_it_was() -> None:
    command = [sys.executable, "-c", _TURNS, platform.machine()]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, after = map(eval, said.splitlines())
    assert [nice for nice, _ in before + after] == [3] * 5
    if before[0][1] == 0:
        pytest.skip("this kernel knows no slices of a process's own, which came with 6.12")
    assert before[0][1] > 100_000
    assert [own for _, own in after] == [100_000] * 3
