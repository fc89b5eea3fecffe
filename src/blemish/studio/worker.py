"""Worker process: one command of blemish, run for the studio, whatever becomes of the studio.

    python -m blemish.studio.worker JOB_FOLDER

It holds a lock for as long as it lives and writes how it ended, so that a studio started anew finds
it: at work, done, or gone without a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from blemish._files import atomic_write

_LOCK, ORDER, RESULT, PROCESS = "alive.lock", "order.json", "result.json", "process.json"


@contextlib.contextmanager
def held(folder: Path, *, seconds: float = 5.0) -> Iterator[bool]:
    """Hold the lock of a job's folder; false where another process holds it.

    SQLite's lock on a file: it works on all systems, and goes with the process.
    """
    connection = sqlite3.connect(folder / _LOCK, timeout=seconds, isolation_level=None)
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            yield False
        else:
            yield True
    finally:
        connection.close()


def main() -> None:
    """Run the order in the folder named."""
    from blemish.cli import app

    folder = Path(sys.argv[1])
    with held(folder) as mine:
        # An order that was taken back before this process got here is not there any more.
        if not mine or not (folder / ORDER).is_file():
            return
        words = json.loads((folder / ORDER).read_text("utf-8"))
        (folder / PROCESS).write_text(json.dumps({"pid": os.getpid()}), "utf-8")
        sys.argv = ["blemish", *words]
        code: object = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code or 0
        except KeyboardInterrupt:
            code = 130
        with atomic_write(folder / RESULT) as file:
            file.write(json.dumps({"code": code if isinstance(code, int) else 2}).encode())


if __name__ == "__main__":
    main()
