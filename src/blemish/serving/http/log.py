"""The server's log on standard error: one line a request, written several at a time."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

_HELD_SECONDS = 0.25
_HELD_LINES = 200


class Lines(logging.StreamHandler):
    """Holds lines back for a moment, so that many requests cost one system call.

    A warning is written at once, with all that was held before it; a process that is killed loses
    the information of its last quarter of a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: list[str] = []
        self._some = threading.Event()
        self._closed = False
        # A daemon: at the end of the process ``logging`` flushes every handler by itself.
        threading.Thread(target=self._write_later, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._held.append(self.format(record) + self.terminator)
        except Exception:  # as every handler of the standard library
            self.handleError(record)
            return
        if record.levelno >= logging.WARNING or len(self._held) >= _HELD_LINES:
            self.flush()
        elif not self._some.is_set():
            self._some.set()

    def flush(self) -> None:
        """Write what is held."""
        with self.lock or threading.RLock():
            held, self._held = self._held, []
            # Nobody reads the log any more: no reason for a request to fail.
            with suppress(OSError, ValueError):
                if held:
                    self.stream.write("".join(held))
                super().flush()

    def close(self) -> None:
        """Write what is held, and let the thread go."""
        self._closed = True
        self._some.set()
        self.flush()
        super().close()

    def _write_later(self) -> None:
        while not self._closed:
            self._some.wait()
            time.sleep(_HELD_SECONDS)
            self._some.clear()
            self.flush()


class _Times(logging.Formatter):
    """The standard library's times, their text made once a second."""

    _second = 0
    _text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._text = time.strftime(self.default_time_format, self.converter(second))
        return f"{self._text},{int(record.msecs):03d}"


def log_to_stderr() -> None:
    """Write the server's lines, and what its libraries warn of, to standard error."""
    handler = Lines()
    handler.setFormatter(_Times("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("blemish.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
