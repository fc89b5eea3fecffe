"""A server process, as tests start, ask and end it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from forked import Forked


def spots(words: list[object], log: Path) -> subprocess.Popen[str]:
    """``blemish serve words…`` of the spots, from the beginning."""
    program = [sys.executable, Path(__file__).with_name("spot_model.py"), "serve", *words]
    with log.open("ab") as errors:
        return subprocess.Popen(
            [*map(str, program)], stdout=subprocess.PIPE, stderr=errors, text=True
        )


class RunningServer:
    """A server process, and a client for it."""

    def __init__(self, process: subprocess.Popen[str] | Forked, log: Path) -> None:
        self.process, self.log = process, log
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            self.process.wait(10)
            raise AssertionError(f"it did not start: {line}{log.read_text()}")
        self.url = found[0]
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL: nothing is finished."""
        self.process.kill()
        self.process.wait(10)
        self.client.close()
