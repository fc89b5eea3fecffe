"""SQLite database of a project: its jobs, its audit log, and the digests of its pictures.

Pictures, marks and models are files in folders and not in here, so that the command line sees the
same. The file is locked while a studio runs: two never work on one project.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from blemish.errors import ConfigError
from blemish.serving.history.database import Database, connect_alone

FILE = "project.sqlite"
SCHEMA = 1

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        words TEXT NOT NULL,
        facts TEXT NOT NULL,
        state TEXT NOT NULL,
        created TEXT NOT NULL,
        started TEXT,
        ended TEXT,
        who TEXT NOT NULL,
        message TEXT NOT NULL DEFAULT ''
    )""",
    """CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS digests (
        product TEXT NOT NULL,
        digest TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (product, digest)
    )""",
)


def open_project(folder: Path) -> Database:
    """Open the database of the project in a folder, or make one.

    Raises:
        ConfigError: Another studio has it open, a newer blemish wrote it, or it is damaged.
    """
    path = folder / FILE
    with contextlib.ExitStack() as on_error:
        try:
            database = Database(on_error.enter_context(contextlib.closing(connect_alone(path))))
            with database.transaction():
                for table in _TABLES:
                    database.run(table)
                database.run("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
                [row] = database.rows("SELECT value FROM meta WHERE key = 'schema'")
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise ConfigError(
                    f"The project {folder} is in use: another studio runs with it. Open that one "
                    "in the browser, or stop it first."
                ) from error
            raise ConfigError(
                f"{path} cannot be used ({error}). Move it away: pictures and models are files of "
                "their own and stay."
            ) from error
        if row["value"] != str(SCHEMA):
            raise ConfigError(
                f"{path} has schema {row['value']}; this blemish reads {SCHEMA}. Use the blemish "
                "that wrote it, or move the file away."
            )
        on_error.pop_all()
    return database
