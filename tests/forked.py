"""``blemish`` in processes of its own that need no start of Python: see `fork_server.py`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

#: Folder of the server, for what it has started.
PLACE = "BLEMISH_TEST_FORKS"


def environment() -> dict[str, str]:
    """Of a command, whatever terminal the suite runs in, whose width would break the tables."""
    unset = ("COLUMNS", "FORCE_COLOR", "TERM")
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "COLUMNS": "200", "PYTHONUTF8": "1"}


class Forked:
    """A process that the fork server started, in the words of :class:`subprocess.Popen`."""

    def __init__(
        self, pid: int, ended: int, stdout: IO[str] | None, log: Path, stdin: IO[bytes] | None
    ) -> None:
        self.pid, self.stdout, self.stdin = pid, stdout, stdin
        self._ended, self._log = ended, log
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
        assert self.stdout is not None
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

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """SIGKILL where it still runs, and nothing of it is left open."""
        self.kill()
        self.wait()
        if self.stdout is not None:
            self.stdout.close()


class Forks:
    """Asks a fork server, from any process.

    Args:
        folder: The server's. It takes the pipes of each process, and what it says to standard
            error.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
        own = self._own()
        out, log = own / "out", log or own / "err"
        reading = _pipe(out)
        job: dict[str, Any] = {"words": [*map(str, words)], "program": program, "before": before}
        job |= {"cwd": str(cwd), "environment": environment() | {PLACE: str(self.folder)} | changes}
        pid, ended = self._ask(own, job | {"out": str(out), "err": str(log)})
        os.set_blocking(reading, True)
        stdout = os.fdopen(reading, encoding="utf-8", errors="surrogateescape")
        return Forked(pid, ended, stdout, log, None)

    def run(self, *words: object, **how: Any) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*words, **how)
        said = process.communicate()
        return subprocess.CompletedProcess([*map(str, words)], process.wait(), *said)

    def module(self, words: Sequence[str], **how: Any) -> Forked:
        """``python -m words…`` with the arguments of :class:`subprocess.Popen` that we use."""
        own = self._own()
        program, *rest = words
        job: dict[str, Any] = {"words": rest, "program": program, "before": ""}
        job |= {"cwd": str(how.get("cwd") or Path.cwd())}
        job |= {"environment": dict(how.get("env") or os.environ)}
        job |= {"session": how.get("start_new_session", False)}
        out, err = (f"/proc/{os.getpid()}/fd/{number}" for number in (1, 2))  # as if inherited
        if how.get("stdout"):
            out = err = how["stdout"].name
        stdin: IO[bytes] | None = None
        if how.get("stdin") == subprocess.PIPE:
            os.mkfifo(own / "in")
            # Read too, by nobody: it can be opened before the other side is there.
            stdin = os.fdopen(os.open(own / "in", os.O_RDWR), "wb", buffering=0)
            job |= {"in": str(own / "in")}
        pid, ended = self._ask(own, job | {"out": out, "err": err})
        return Forked(pid, ended, None, Path(err), stdin)

    def _own(self) -> Path:
        own = self.folder / uuid.uuid4().hex
        own.mkdir()
        return own

    def _ask(self, own: Path, job: dict[str, Any]) -> tuple[int, int]:
        ended = _pipe(own / "ended")
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.folder / "asks"))
            with line.makefile("rw") as file:
                file.write(json.dumps(job | {"ended": str(own / "ended")}) + "\n")
                file.flush()
                return int(file.readline()), ended


def _pipe(path: Path) -> int:
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def fork_modules(forks: Forks) -> None:
    """From now on ``python -m blemish.…``, where this process starts it, is a fork too."""

    class Popen(subprocess.Popen):
        def __new__(cls, words: Any, **how: Any) -> Any:
            if list(words[:2]) == [sys.executable, "-m"] and how.get("stdout") != subprocess.PIPE:
                return forks.module(words[2:], **how)
            return super().__new__(cls)

    subprocess.Popen = Popen  # type: ignore[misc]


class ForkServer(Forks):
    """The fork server, and what it is asked.

    Where one is there already, as the one that all workers of a run share, that one is asked, and
    ends with the process that started it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process: subprocess.Popen[bytes] | None = None
        if (folder / "asks").exists():
            return
        program = Path(__file__).with_name("fork_server.py")
        with socket.socket(socket.AF_UNIX) as asks:  # who asks before it is there, waits
            asks.bind(str(folder / "asks"))
            asks.listen(64)
            self.process = subprocess.Popen(
                [sys.executable, program, str(asks.fileno())],
                env=environment(),
                stdin=subprocess.PIPE,
                pass_fds=[asks.fileno()],
            )

    def close(self) -> None:
        """Once all that it started has ended."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(60)
