"""Processor cores that this process may use: fewer than the machine has, in a container or a job.

Two things say so. The affinity mask (``taskset``, cpusets) names cores; the quota of a control
group (``cpu.max``, what ``docker --cpus`` sets) is processor time per period, and a process with
more threads than that stands still for the rest of every period.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores by the affinity mask and the quota, whichever says less; at least 1.

    The one function for it: decoding, networks, serving and training all ask here.

    Example:
        >>> from blemish.runtime.cores import usable_cores
        >>> usable_cores() >= 1
        True
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quota = group_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def group_quota(groups: Path = _GROUPS, own: Path = _OWN) -> float | None:
    """Processors' worth of time that the control groups of this process allow; ``None``: no limit.

    Each group is bound by those around it too, and the tightest counts. Both versions of control
    groups are read.

    Args:
        groups: Where they are mounted.
        own: The file that names this process's groups.
    """
    try:
        lines = own.read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux
        return None
    found: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [groups] if not controllers else [groups / controllers, groups / "cpu"]
        for root in roots:
            # In a container the path may be that of the host, and the group itself the root.
            inner = root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(root):
                    found += _quota_of(folder)
    return min(found, default=None)


def _quota_of(folder: Path) -> list[float]:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        if quota == "max" or int(quota) <= 0 or int(period) <= 0:
            return []
        return [int(quota) / int(period)]
    except (OSError, ValueError):  # no such group here, or a system that writes otherwise
        return []
