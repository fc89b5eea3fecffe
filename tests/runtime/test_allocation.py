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


_TURNS = """
import ctypes, sys, threading
from blemish.runtime.allocation import share_freed_memory
if sys.argv[1] == "shared":
    assert share_freed_memory()
def held():
    return int(next(x for x in open("/proc/self/status") if x.startswith("RssAnon")).split()[1])
def turn():
    blocks = [b"x" * 100_000 for _ in range(40)]  # as the rows of a picture that is drawn
    last.append(b"y" * 90_000)  # something small stays behind them
    del blocks
    done.release()
    goes.acquire()
last, before = [], held()
done, goes = threading.Semaphore(0), threading.Semaphore(0)
threads = [threading.Thread(target=turn) for _ in range(12)]
for thread in threads:
    thread.start()
    done.acquire()
print(held() - before)
for thread in threads:
    goes.release()
"""


def kept_of_turns(way: str) -> int:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-c", _TURNS, way]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_threads_that_take_turns_hold_no_more_than_one_of_them() -> None:
    assert kept_of_turns("shared") < 12_000 < kept_of_turns("as it is")  # KiB


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
@pytest.mark.parametrize("verb", ["serve", "studio"])
def test_a_server_has_two_arenas(verb: str) -> None:
    program = (
        "import sys\nfrom blemish.cli.app import main\n"
        "from blemish.runtime.allocation import share_freed_memory\n"
        "try: main()\nexcept SystemExit: print(share_freed_memory.cache_info().misses)"
    )
    # A host without a token is refused before anything is opened.
    words = [verb, "nothing", "--host", "0.0.0.0"]
    command = [sys.executable, "-c", program, *words]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("1")
