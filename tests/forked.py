"""``blemish`` in processes of its own that need no start of Python: see `fork_server.py`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any


def environment() -> dict[str, str]:
    """Of a command, whatever terminal the suite runs in, whose width would break the tables."""
    unset = ("COLUMNS", "FORCE_COLOR", "TERM")
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "COLUMNS": "200", "PYTHONUTF8": "1"}


class Forked:
    """A process that the fork server started, in the words of :class:`subprocess.Popen`."""

    def __init__(self, pid: int, ended: int, stdout: IO[str], log: Path) -> None:
        self.pid, self.stdout, self._ended, self._log = pid, stdout, ended, log
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended."""
        if self.returncode is None:
            ready, _, _ = select.select([self._ended], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired("blemish", timeout or 0)
            self.returncode = int(os.read(self._ended, 20))
            os.close(self._ended)
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code, ``None`` while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says, once it has ended."""
        said = self.stdout.read()
        self.stdout.close()
        self.wait(timeout)
        return said, self._log.read_text("utf-8", "surrogateescape")

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def end(self) -> None:
        """SIGKILL where it still runs, and nothing of it is left open."""
        self.kill()
        self.wait()
        self.stdout.close()


class ForkServer:
    """The fork server, and what it is asked.

    Args:
        folder: Takes the pipes of each process, and what it says to standard error.
    """

    def __init__(self, folder: Path) -> None:
        program = Path(__file__).with_name("fork_server.py")
        self.folder, self._started = folder, 0
        self.process = subprocess.Popen(
            [sys.executable, program],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        *words: object,
        cwd: Path,
        program: str = "blemish",
        before: str = "",
        log: Path | None = None,
        **changes: str,
    ) -> Forked:
        """``blemish words…`` in a folder, under the suite's environment and ``changes`` to it.

        ``program`` is a module whose ``main`` is run in its place; ``before`` is Python that runs
        in front of it.
        """
        self._started += 1
        own = self.folder / str(self._started)
        own.mkdir()
        out, ended = own / "out", own / "ended"
        log = log or own / "err"
        reading = []
        for path in (out, ended):
            os.mkfifo(path)
            reading.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        job: dict[str, Any] = {"words": [*map(str, words)], "program": program, "before": before}
        job |= {"cwd": str(cwd), "environment": environment() | changes}
        job |= {"out": str(out), "err": str(log), "ended": str(ended)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        os.set_blocking(reading[0], True)
        stdout = os.fdopen(reading[0], encoding="utf-8", errors="surrogateescape")
        return Forked(pid, reading[1], stdout, log)

    def run(self, *words: object, **how: Any) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*words, **how)
        said = process.communicate()
        return subprocess.CompletedProcess([*map(str, words)], process.wait(), *said)

    def close(self) -> None:
        """Once all that it started has ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)
