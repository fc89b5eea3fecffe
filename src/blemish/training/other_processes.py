"""Process supervision: how the processes of one training are started, silent, and end together.

Lightning starts the others by running the same command again, and kills all of them, the first
included, where one dies. Here the first ends with a sentence, and the others with the first.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blemish.errors import ConfigError

#: Set for the processes that this one starts: who started them.
_STARTED_BY = "BLEMISH_STARTED_BY"
_LOOK_SECONDS = 0.5
#: What the first has to end by itself, by what it hears of the others, before it is ended.
_GRACE_SECONDS = 30.0
#: What the first has to end when all fail in the same way, which it then says for all.
_SPEAKS_SECONDS = 10.0
#: Set while processes work together, where one waits for the other.
_TOGETHER = threading.Event()


def check_can_be_started_again() -> None:
    """Refuse where the running command cannot be run again, as the other processes are made.

    Raises:
        ConfigError: A notebook, an interactive session, or ``python -c``.
    """
    import __main__

    spec = getattr(__main__, "__spec__", None)
    again = spec.name != "__main__" if spec is not None else Path(sys.argv[0]).is_file()
    if hasattr(sys, "ps1") or not again:
        raise ConfigError(
            "Several processes train by running the same command or script once for each of them, "
            "and this one cannot be run again: it is no file. Run a script, `python -m blemish "
            "fit …`, or torchrun; in a notebook use devices=1."
        )


@contextmanager
def others_know_by_whom() -> Iterator[None]:
    """Processes that are started inside know by whom."""
    os.environ[_STARTED_BY] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[_STARTED_BY]


@contextmanager
def waiting_for_each_other() -> Iterator[None]:
    """Inside, this process cannot go on without the others."""
    _TOGETHER.set()
    try:
        yield
    finally:
        _TOGETHER.clear()


def end_with_the_first() -> None:
    """In a process that was started by another of the training: end as soon as that one has."""
    starter = os.environ.pop(_STARTED_BY, "")
    if not starter:
        return

    def look() -> None:
        while os.getppid() == int(starter):
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="ends-with-the-first").start()


def end_with_the_others(children: list[subprocess.Popen[bytes]]) -> None:
    """In the process that started the others: end where one of them has failed.

    On a CPU, and mostly on GPUs, what the processes do together then fails here too, and says so;
    this is for what would wait for ever.
    """
    own = list(children)
    children.clear()  # Lightning's observer would kill this process without a word
    if not own:
        return

    def look() -> None:
        while not any(child.poll() for child in own):
            if all(child.returncode == 0 for child in own):
                return
            time.sleep(_LOOK_SECONDS)
        since = time.monotonic()
        while time.monotonic() - since < _GRACE_SECONDS:
            time.sleep(_LOOK_SECONDS)
            if not _TOGETHER.is_set():
                since = time.monotonic()
        print(
            "Error: Another process of the training has ended, and this one waits for it in vain. "
            "Give the same command with --resume to go on from the last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)

    threading.Thread(target=look, daemon=True, name="ends-with-the-others").start()


def keep_quiet(rank: int) -> None:
    """Beside the first process: print nothing, leave Ctrl-C to it, and let it speak first."""
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = _AfterTheFirst(sys.stderr, rank)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _AfterTheFirst(io.TextIOBase):
    """Standard error that waits: what fails in all processes ends this one with the first."""

    def __init__(self, stream: object, rank: int) -> None:
        self._stream, self._rank, self._waited = stream, rank, False

    def write(self, text: str) -> int:
        if not self._waited:
            self._waited = True
            time.sleep(_SPEAKS_SECONDS)
            self._stream.write(f"Process {self._rank}: ")  # type: ignore[attr-defined]
        self._stream.write(text)  # type: ignore[attr-defined]
        return len(text)

    def flush(self) -> None:
        self._stream.flush()  # type: ignore[attr-defined]

    def fileno(self) -> int:
        return self._stream.fileno()  # type: ignore[attr-defined]
