"""Where a figure was measured: what has to stand beside every benchmark result."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

# Packages that decide how fast or how exact a result is; absent ones are left out.
_PACKAGES = (
    "blemish",
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "lightning",
    "onnxruntime",
    "openvino",
    "pillow",
)


def environment() -> dict[str, Any]:
    """Date, versions and machine, ready for JSON; no host name, user or path.

    Nothing heavy is imported: versions come from the installed packages' metadata.

    Returns:
        ``date_utc`` (ISO 8601), ``python``, ``platform``, ``packages`` (name to version),
        ``cpu_model``, ``cores`` (those this process may use), ``memory_gib`` (or ``None``),
        ``git_commit`` of the checkout this code runs from (or ``None``) and ``git_modified``
        (whether tracked files differed from it).

    Example:
        >>> from blemish.benchmark.environment import environment
        >>> environment()["cores"] >= 1
        True
    """
    commit, modified = _git_state()
    return {
        "date_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": _versions(),
        "cpu_model": _cpu_model(),
        "cores": _cores(),
        "memory_gib": _memory_gib(),
        "git_commit": commit,
        "git_modified": modified,
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return None
    return round(size / 2**30, 1)


def _git(*arguments: str) -> str | None:
    """Output of git in this file's folder; ``None`` if there is no git or it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _git_state() -> tuple[str | None, bool | None]:
    # Installed inside someone else's checkout, git would name their commit: ask whether it
    # tracks the package at all.
    if not _git("ls-files", "../__init__.py"):
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return _git("rev-parse", "HEAD"), None if changes is None else bool(changes)
