"""Progress bars and notes: long work shows itself, on a terminal as a bar, in a log as plain lines.

Standard error is used, so that tables and JSON on standard output stay clean. What somebody else
named is shown by :func:`printable`.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

#: Seconds and units after which it is first said how long the rest will take.
_FIRST_SECONDS, _FIRST_UNITS = 2.0, 2
#: Names a file to which tasks write how far they are, a JSON object a line, for programs.
RECORD = "BLEMISH_PROGRESS"
#: So many notes that differ in a name and in numbers alone become one.
_ALIKE = 3
_NAMED = 3
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


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
        self._here = 0  # of these, since it was begun here
        self._estimated = False
        self._started = self._last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is shown behind the bar."""
        self.done += count
        self._here += count
        now = time.monotonic()
        seconds = now - self._started
        first = not self._estimated and seconds >= _FIRST_SECONDS and self._here >= _FIRST_UNITS
        if first or now - self._last >= self.interval or self.done == self.total:
            self._last, self._estimated = now, True
            self._line(note, seconds)

    def _line(self, note: str, seconds: float) -> None:
        of = f"/{self.total}" if self.total else ""
        left = ""
        if self.total and self.total > self.done and self._here:
            left = f", about {duration(seconds / self._here * (self.total - self.done))} left"
        print(
            f"{self.description}: {self.done}{of} ({seconds:.0f} s{left}) {note}".rstrip(),
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
        #: What placeholders in the commands of notes stand for here.
        self.words: dict[str, str] = {}
        self.told: set[str] = set()  # notes that were printed, to be said once

    def say(self, notes: Iterable[str]) -> None:
        """Print those notes at once that were not printed yet."""
        new = [note for note in dict.fromkeys(notes) if note not in self.told]
        self.told.update(new)
        if not self.quiet:
            print_notes(new, self.words)

    @contextmanager
    def task(self, description: str, total: int | None = None, *, done: int = 0) -> Iterator[Task]:
        """Show a task for as long as the context is open; ``done`` units were done before."""
        if self.quiet:
            task: Task = _SilentTask(description, total)
            task.done = done
            yield task
        elif record := os.environ.get(RECORD):
            yield _RecordedTask(description, total, done, record)
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

    def announce(self, text: str) -> None:
        """Say what is about to be done."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

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


class _RecordedTask(Task):
    """Writes its state to a file that another process reads, several times a second."""

    def __init__(self, description: str, total: int | None, done: int, record: str) -> None:
        super().__init__(description, total, interval=0.3)
        self.done, self._record = done, record
        self._line("", 0.0)

    def advance(self, count: int = 1, note: str = "") -> None:
        if note:  # as a loss is: no point of its curve is left out
            self._last = -math.inf
        super().advance(count, note)

    def _line(self, note: str, seconds: float) -> None:
        state = {"task": self.description, "done": self.done, "here": self._here}
        state |= {"total": self.total, "seconds": round(seconds, 2), "note": note}
        with open(self._record, "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(json.dumps(state) + "\n")


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


class Important(str):
    """A note without which what else is said is misread; it comes first."""


def print_notes(notes: Iterable[str], words: Mapping[str, str] | None = None) -> None:
    """List on standard error what the user should know: by kind, the important first.

    ``words``: what to print for placeholders in commands, as of :func:`as_typed`.
    """
    for note in grouped(notes):
        kind = "Important" if isinstance(note, Important) else "Note"
        print(f"{kind}: {as_typed(note, words or {})}", file=sys.stderr)


def as_typed(note: str, words: Mapping[str, str]) -> str:
    """A note whose commands, between backticks, can be run as they are printed.

    Example:
        >>> from blemish._progress import as_typed
        >>> as_typed("If MODEL is old: `blemish info MODEL`", {"MODEL": "m.blemish"})
        'If MODEL is old: `blemish info m.blemish`'
    """

    def typed(command: re.Match[str]) -> str:
        found = command[0]
        for placeholder, word in words.items():
            found = found.replace(placeholder, word)
        return found

    return re.sub("`blemish [^`]*`", typed, note)


def grouped(notes: Iterable[str]) -> list[str]:
    """Notes by kind, the important first: three or more that say the same of others become one.

    The same is ``NAME: sentence`` with another name and other numbers; of these the smallest and
    largest are given.

    Example:
        >>> from blemish._progress import grouped
        >>> grouped([f"{name}: {n} images are too few." for n, name in enumerate("abcde", 20)])
        ['a, b, c and 2 more: 20 to 24 images are too few.']
    """
    kinds: dict[tuple[bool, str], list[str]] = {}
    for note in notes:
        _, colon, rest = note.partition(": ")
        kind = _NUMBER.sub("#", rest) if colon else note
        kinds.setdefault((not isinstance(note, Important), kind), []).append(note)
    found: list[str] = []
    for (minor, _), alike in sorted(kinds.items(), key=lambda item: item[0][0]):
        if len(alike) < _ALIKE or ": " not in alike[0]:
            found += dict.fromkeys(alike)
            continue
        parts = [note.partition(": ") for note in alike]
        names = ", ".join(name for name, _, _ in parts[:_NAMED])
        more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
        text = f"{names}{more}: {_ranges([rest for _, _, rest in parts])}"
        found.append(text if minor else Important(text))
    return found


def _ranges(texts: list[str]) -> str:
    """One of several texts that differ in numbers alone, with the span of each number."""
    columns = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    spans = iter(
        low if low == high else f"{low} to {high}"
        for column in columns
        for low, high in [(min(column, key=_value), max(column, key=_value))]
    )
    return _NUMBER.sub(lambda _: next(spans), texts[0])


def _value(number: str) -> float:
    plain = number.replace(",", "")
    return float(plain) if plain.count(".") < 2 else 0.0


def duration(seconds: float) -> str:
    """A time to wait in the unit that is best read: ``40 s``, ``4 min``, ``2.5 h``.

    Example:
        >>> from blemish._progress import duration
        >>> [duration(value) for value in (0.3, 40, 240, 9000)]
        ['1 s', '40 s', '4 min', '2.5 h']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with a replacement sign for what would move a cursor, turn a line or end it.

    File names may hold control characters, halves of characters and signs that turn the writing
    direction; characters in ``keep`` stay.
    """
    return "".join(c if c.isprintable() or c in keep else "�" for c in text)
