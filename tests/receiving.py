"""HTTP receiver: a process that takes verdicts, to be killed and started again at its port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RECEIVER = Path(__file__).parent / "delivery" / "receiver.py"


@contextmanager
def receiver(log: Path, *codes: int, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Its port and process; what it hears goes to ``log``, and the first answers are ``codes``."""
    words = [sys.executable, RECEIVER, str(port), log, *map(str, codes)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()
