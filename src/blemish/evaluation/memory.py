"""The largest memory a process has held so far."""

from __future__ import annotations

from pathlib import Path


def peak_memory_mib(pid: int | None = None) -> float | None:
    """The peak of a process's resident memory in MiB, libraries included.

    Args:
        pid: The process; ``None`` for this one.

    Returns:
        ``None`` where the system does not say: other processes outside Linux, and Windows.

    Example:
        >>> from blemish.evaluation.memory import peak_memory_mib
        >>> peak = peak_memory_mib()
        >>> peak is None or peak > 5
        True
    """
    try:  # of this program alone; getrusage also counts what the process was before it
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    if pid is not None:
        return None
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
