"""Progress bars and notes: long work shows itself, on a terminal as a bar, in a log as plain lines.

Standard error is used, so that tables and JSON on standard output stay clean. What somebody else
named is shown by :func:`printable`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


class Task:
    """One piece of work under way; :meth:`advance` moves it on.

    Args:
        description: What is being done.
        total: Number of units, ``None`` when unknown.
        interval: Seconds between plain lines.
    """

    def __init__(self, description: str, total: int | None, *, interval: float = 10.0) -> None:
        self.description, self.total, self.interval = description, total, interval
        self.done = 0
        self._started = self._last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is shown behind the bar."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.interval or self.done == self.total:
            self._last = now
            self._line(note, now - self._started)

    def _line(self, note: str, seconds: float) -> None:
        of = f"/{self.total}" if self.total else ""
        print(
            f"{self.description}: {self.done}{of} ({seconds:.0f} s) {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )


class Progress:
    """Reports long work.

    Args:
        quiet: Show nothing at all.

    Example:
        >>> from blemish._progress import Progress
        >>> with Progress(quiet=True).task("Reading", 2) as task:
        ...     task.advance()
        ...     task.advance()
        >>> task.done
        2
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.told: set[str] = set()  # notes that were printed, to be said once

    def say(self, notes: Iterable[str]) -> None:
        """Print those notes at once that were not printed yet."""
        new = [note for note in dict.fromkeys(notes) if note not in self.told]
        self.told.update(new)
        if not self.quiet:
            print_notes(new)

    @contextmanager
    def task(self, description: str, total: int | None = None, *, done: int = 0) -> Iterator[Task]:
        """Show a task for as long as the context is open; ``done`` units were done before."""
        if self.quiet:
            task: Task = _SilentTask(description, total)
            task.done = done
            yield task
        elif sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as RichProgress

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            with RichProgress(*columns, console=Console(stderr=True)) as bar:
                yield _BarTask(bar, description, total, done)
        else:
            task = Task(description, total)
            task.done = done
            yield task

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterator[Item]:
        """Yield the items, advancing a task with each."""
        with self.task(description, total) as task:
            for item in items:
                yield item
                task.advance()


class _SilentTask(Task):
    def _line(self, note: str, seconds: float) -> None:
        pass


class _BarTask(Task):
    def __init__(self, bar: object, description: str, total: int | None, done: int) -> None:
        super().__init__(description, total)
        self._bar = bar
        self._id = bar.add_task(description, total=total, completed=done, note="")  # type: ignore[attr-defined]
        self.done = done

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        fields = {"note": note} if note else {}
        self._bar.update(self._id, completed=self.done, **fields)  # type: ignore[attr-defined]


def print_failures(failures: Iterable[tuple[Path, str]], *, total: int | None = None) -> None:
    """List on standard error the images that could not be read; ``total`` where not all are."""
    listed = list(failures)
    total = len(listed) if total is None else total
    if listed:
        print(f"{total} image(s) could not be read:", file=sys.stderr)
        for _, reason in listed:
            print(f"  {printable(reason, keep=chr(10))}", file=sys.stderr)
        if total > len(listed):
            print(f"  … and {total - len(listed)} more.", file=sys.stderr)


def print_notes(notes: Iterable[str]) -> None:
    """List on standard error what the user should know."""
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with a replacement sign for what would move a cursor, turn a line or end it.

    File names may hold control characters, halves of characters and signs that turn the writing
    direction; characters in ``keep`` stay.
    """
    return "".join(c if c.isprintable() or c in keep else "�" for c in text)
