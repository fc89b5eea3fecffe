"""Scheduler slice: threads that wait for each other ask for short turns on a core.

The threads of a parallel region go on when the last of them has done its part. Beside busy programs
that one waits for its turn after others' slices of some milliseconds, thousands of times a training
step. Who asks for shorter slices has no larger share of the processor, but its turn sooner; Linux
takes such wishes from 6.12 on, of everybody.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from functools import cache
from pathlib import Path

#: Nanoseconds, the shortest that Linux grants.
_SLICE = 100_000
_SET = {"x86_64": 314, "aarch64": 274}  # sched_setattr, for which glibc has no function before 2.41
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")  # sched_attr: size, policy, flags, nice, priority, slice


@cache
def ask_for_short_turns() -> bool:
    """Set it for the threads that this process has, once; those that they start inherit it.

    A process that is not scheduled as processes usually are is left alone.

    Returns:
        Whether it was set: on Linux, where nothing forbids it. Before 6.12 it has no effect.

    Example:
        >>> from blemish.runtime.turns import ask_for_short_turns
        >>> ask_for_short_turns() in (True, False)
        True
    """
    number = _SET.get(platform.machine()) if sys.platform == "linux" else None
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wish = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, _SLICE, 0, 0, 0, 0)
    call = ctypes.CDLL(None).syscall
    threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    return all(call(number, thread, wish, 0) == 0 for thread in threads)
