"""Audit log: each change of limits or models, with who, when, before and after."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from blemish.serving.history.database import Database
from blemish.serving.history.pictures import now

Role = Literal["engineer", "operator"]


@dataclass(frozen=True)
class Person:
    """Whoever sends a request: the role is proven by a token, the name is what they say."""

    role: Role = "engineer"
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.role})" if self.name else self.role


_STUDIO = Person(name="studio")
#: Whose request is being answered; what runs by itself is the studio's.
acting: ContextVar[Person] = ContextVar("acting", default=_STUDIO)


class Audit:
    """The log of a project; nothing in it is ever changed."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def note(self, action: str, subject: str, before: str = "", after: str = "") -> None:
        """Write down what the person who acts has changed."""
        person = acting.get()
        self._db.run(
            "INSERT INTO audit (at, role, name, action, subject, before, after) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (now(), person.role, person.name, action, subject, before, after),
        )

    def latest(self, count: int = 500) -> list[dict[str, str | int]]:
        """The last entries, the newest first."""
        rows = self._db.rows("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (count,))
        return [dict(row) for row in rows]
