"""Spool: messages on disk, in order, until they have arrived.

SQLite with a write-ahead log: a process killed at any moment leaves every message that was put in,
and each of them once. A power cut may take those of the last moments with it: syncing each would
cost more than judging the picture. The file is locked for as long as it is open, so that two
processes never send the same messages.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from blemish.errors import ConfigError

#: Messages kept while the other side is away; beyond, the oldest go, and are counted.
MOST = 100_000


class Spool:
    """A queue on disk.

    Args:
        path: Its file; made, with its folder, where there is none.
        most: Messages kept at most.

    Attributes:
        dropped: Messages that went because there were too many.

    Raises:
        ConfigError: Another process has it open, it cannot be written, or it is no spool.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.delivery.spool import Spool
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     spool = Spool(Path(folder) / "line3.sqlite")
        ...     spool.put("a", "{}")
        ...     print(len(spool), spool.first())
        ...     spool.close()
        1 (1, 'a', '{}')
    """

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self.path, self.most, self.dropped = path, most, 0
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=0, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS waiting "
                "(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, content TEXT)"
            )
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS refused "
                "(number INTEGER PRIMARY KEY, id TEXT, content TEXT, reason TEXT)"
            )
            self._db.commit()
        except (OSError, sqlite3.Error) as error:
            busy = "locked" in str(error)
            raise ConfigError(
                f"{path} is in use by another process, which sends what is in it. Wait for its "
                "end, or name another folder with --spool."
                if busy
                else f"Cannot keep messages in {path}: {error}. Name another folder with --spool."
            ) from error

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM waiting").fetchone()[0])

    def put(self, identity: str, content: str) -> None:
        """Keep a message; one that waits already under this identity stays as it is.

        Raises:
            ConfigError: It cannot be written, as on a full disk.
        """
        try:
            with self._lock, self._db:
                self._db.execute(
                    "INSERT OR IGNORE INTO waiting (id, content) VALUES (?, ?)", (identity, content)
                )
                # Numbers only grow, and go from the front: the span counts what waits.
                span = "SELECT min(number), max(number) FROM waiting"
                first, last = self._db.execute(span).fetchone()
                if last - first >= self.most:
                    gone = "DELETE FROM waiting WHERE number <= ?"
                    self.dropped += self._db.execute(gone, (last - self.most,)).rowcount
        except sqlite3.Error as error:
            raise ConfigError(f"Cannot keep a message in {self.path}: {error}.") from error

    def first(self) -> tuple[int, str, str] | None:
        """Number, identity and content of the oldest message; None where none waits."""
        with self._lock:
            found = self._db.execute(
                "SELECT number, id, content FROM waiting ORDER BY number LIMIT 1"
            ).fetchone()
        return None if found is None else tuple(found)

    def arrived(self, number: int) -> None:
        """Forget a message."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM waiting WHERE number = ?", (number,))

    def refuse(self, number: int, reason: str) -> None:
        """Put a message aside that the other side will never take."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO refused SELECT number, id, content, ? FROM waiting WHERE number = ?",
                (reason, number),
            )
            self._db.execute("DELETE FROM waiting WHERE number = ?", (number,))

    @property
    def refused(self) -> int:
        """How many were put aside, ever."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM refused").fetchone()[0])

    def close(self) -> None:
        """Let the file go."""
        self._db.close()
