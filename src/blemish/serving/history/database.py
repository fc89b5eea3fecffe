"""SQLite database: the file a server keeps its history in; one connection, whole transactions.

Write-ahead logging with ``synchronous = FULL``: a transaction is on the disk when it ends, and a
process killed inside one leaves the state before it. The file is locked for as long as the server
runs, so that two servers never write into one history.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from blemish.errors import BlemishError, ConfigError

SCHEMA = 3  # since 2 calibrations name their pictures, since 3 a file is one picture
FILE = "history.sqlite"

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE calibrations (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    created TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('model', 'marks', 'rate')),
    parent INTEGER REFERENCES calibrations (version),
    note TEXT NOT NULL,
    content TEXT
);
CREATE TABLE active (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL REFERENCES calibrations (version)
);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    product TEXT NOT NULL,
    recognised TEXT,
    rival TEXT,
    named INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL,
    judged TEXT NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    score REAL NOT NULL,
    peak REAL NOT NULL,
    map_low REAL NOT NULL,
    branches TEXT NOT NULL,
    verdict TEXT,
    version INTEGER NOT NULL,
    mark TEXT CHECK (mark IN ('good', 'defect')),
    marked TEXT,
    bytes INTEGER NOT NULL
);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY REFERENCES pictures (id) ON DELETE CASCADE,
    source BLOB NOT NULL,
    thumbnail BLOB NOT NULL,
    map BLOB NOT NULL,
    departure BLOB
);
"""


# A file that was kept once for each product it was judged by: what somebody marked stays.
_FROM_2 = """
ALTER TABLE pictures ADD COLUMN recognised TEXT;
ALTER TABLE pictures ADD COLUMN rival TEXT;
ALTER TABLE pictures ADD COLUMN named INTEGER NOT NULL DEFAULT 0;
DELETE FROM pictures WHERE EXISTS (
    SELECT 1 FROM pictures AS other WHERE other.digest = pictures.digest
    AND (other.mark IS NOT NULL, other.id) > (pictures.mark IS NOT NULL, pictures.id)
);
CREATE UNIQUE INDEX pictures_by_digest ON pictures (digest);
UPDATE meta SET value = '3' WHERE key = 'schema';
"""

#: Good pictures of the model that people left out by name, by the version they were left out in.
#: A table that came later: it is made where a history has none.
_LEFT_OUT = """
CREATE TABLE IF NOT EXISTS left_out (
    version INTEGER NOT NULL REFERENCES calibrations (version),
    image TEXT NOT NULL
)
"""

#: How the part of a picture lay, where the model aligns pictures. It came later as well.
_POSES = """
CREATE TABLE IF NOT EXISTS poses (
    id INTEGER PRIMARY KEY REFERENCES pictures (id) ON DELETE CASCADE,
    pose TEXT NOT NULL
)
"""

#: What people wrote of a picture: a kind of defect, and a note. It came later as well.
_REMARKS = """
CREATE TABLE IF NOT EXISTS remarks (
    id INTEGER PRIMARY KEY REFERENCES pictures (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    note TEXT NOT NULL
)
"""


class HistoryError(BlemishError):
    """A history that cannot be opened or written."""


def connect_alone(path: Path) -> sqlite3.Connection:
    """Open a file, or make it, in autocommit mode; locked for as long as it is open."""
    with contextlib.ExitStack() as on_error:
        connection = sqlite3.connect(
            path, timeout=0.5, isolation_level=None, check_same_thread=False
        )
        on_error.callback(connection.close)
        # Before WAL: the lock is then held by this process alone, without shared memory.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.row_factory = sqlite3.Row
        on_error.pop_all()
    return connection


class Database:
    """One connection in autocommit mode, shared by the threads of a server."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, folder: Path, identity: str) -> Database:
        """Open the history of the model ``identity`` in a folder; make both where missing.

        Raises:
            ConfigError: The folder cannot be made.
            HistoryError: The history is in use, damaged, of a newer schema or another model's.
        """
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"Cannot keep a history in {folder} ({error}). Name a folder that can be written "
                "with --state."
            ) from error
        path = folder / FILE
        with contextlib.ExitStack() as on_error:
            try:
                database = cls(on_error.enter_context(contextlib.closing(connect_alone(path))))
                database._prepare(path, identity)
            except sqlite3.Error as error:
                if "locked" in str(error):
                    raise HistoryError(
                        f"The history {path} is in use: another server runs with it. Stop that "
                        "one, or name another folder with --state."
                    ) from error
                raise HistoryError(
                    f"The history {path} cannot be used ({error}). Move it away, or name another "
                    "folder with --state."
                ) from error
            on_error.pop_all()
        return database

    def _prepare(self, path: Path, identity: str) -> None:
        with self.transaction():
            if not self.rows("SELECT name FROM sqlite_master WHERE name = 'meta'"):
                self._run_all(_TABLES)
                for key, value in (("schema", str(SCHEMA)), ("model", identity)):
                    self.run("INSERT INTO meta VALUES (?, ?)", (key, value))
            self.run(_LEFT_OUT)
            self.run(_POSES)
            self.run(_REMARKS)
            found = {row["key"]: row["value"] for row in self.rows("SELECT * FROM meta")}
            if found == {"schema": "2", "model": identity}:
                self._run_all(_FROM_2)
                found["schema"] = str(SCHEMA)
        if found.get("schema") != str(SCHEMA):
            raise HistoryError(
                f"The history {path} has schema {found.get('schema')}, this blemish reads "
                f"{SCHEMA}. Move it away, or name another folder with --state."
            )
        if found.get("model") != identity:
            raise HistoryError(
                f"The history {path} belongs to another model: its scores do not compare with "
                "this one's. Move it away, or name another folder with --state."
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the statements inside, or none of them."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Change something; returns the id of an inserted row."""
        with self._lock:
            return self._connection.execute(statement, values).lastrowid or 0

    def _run_all(self, statements: str) -> None:
        for statement in statements.split(";"):
            if statement.strip():
                self.run(statement)

    def close(self) -> None:
        """Write the log back into the file and let it go."""
        with self._lock:
            self._connection.close()
