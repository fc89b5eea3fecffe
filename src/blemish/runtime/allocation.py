"""Memory allocation: glibc told to keep what a network frees, instead of giving it back each time.

By default glibc takes every large block from the system and returns it at once, so that each layer
of a network waits for fresh pages to be cleared: a third of the processor time of the teacher's
forward pass on a CPU. Kept, the pages serve the next layer. The peak does not change; what falls
after it does, for the process holds on to up to 256 MiB. ONNX Runtime keeps its own.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD, _ARENA_MAX = -3, -1, -2, -8  # malloc.h
_KEPT, _AHEAD = 2**28, 2**26
_MOST_BEFORE = 2**25  # the largest threshold that older versions take
_ARENAS = 2  # the main thread's, and one that all others share


@cache
def keep_freed_memory() -> bool:
    """Set it for this process, once; whoever set glibc's own variables is left alone.

    Returns:
        Whether it was set: on Linux with glibc.
    """
    if any(f"MALLOC_{name}_" in os.environ for name in ("MMAP_THRESHOLD", "TRIM_THRESHOLD")):
        return False
    settings = ((_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _AHEAD))
    # Before 2.35 there was a bound, and what is beyond is not taken at all.
    return all(_set(*each) for each in settings) and any(
        _set(_MMAP_THRESHOLD, value) for value in (_KEPT, _MOST_BEFORE)
    )


@cache
def share_freed_memory() -> bool:
    """Let the threads of this process share two arenas; to be called before there are others.

    Whoever set ``MALLOC_ARENA_MAX`` is left alone.

    Returns:
        Whether it was set: on Linux with glibc.
    """
    return "MALLOC_ARENA_MAX" not in os.environ and _set(_ARENA_MAX, _ARENAS)


def _set(name: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(name, value))
    except (OSError, AttributeError):  # another C library
        return False
