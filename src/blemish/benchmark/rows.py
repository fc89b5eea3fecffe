"""Result rows, ``rows.jsonl``: one whole line per finished run, whatever happens to the process.

A line is one JSON object; its ``rows`` hold one entry per category. It is written and flushed to
the disk in one go, so that a kill leaves at most a last line without its end, which is cut off
when the file is next opened. No run has two lines.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blemish._files import atomic_write
from blemish.errors import ConfigError, DataError

FILE_NAME = "rows.jsonl"
LOGS = "logs"  # folder of the numbers of each training
SCHEMA = 1

# An absolute POSIX path of two parts or more, or a Windows path with a drive; the last part stays.
_POSIX = re.compile(r"(?<![\w./~-])~?/(?:[^\s/'\"`:;,()]+/)+([^\s/'\"`:;,()]*)")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:[\\/](?:[^\s\\/'\"`:;,()]+[\\/])+([^\s\\/'\"`:;,()]*)")


def read_lines(folder: str | Path) -> list[dict[str, Any]]:
    """The runs in a results folder, in the order of writing; a torn last line is passed over.

    Raises:
        DataError: There is no such file, or a line before the last is damaged.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise DataError(
            f"There is no {path}. Expected the folder given as --out to `blemish benchmark`."
        )
    return _parse(path)[0]


class ResultFile:
    """The runs of a results folder, open for adding more; use :meth:`open`."""

    def __init__(self, path: Path, lines: list[dict[str, Any]]) -> None:
        self.path = path
        self._lines = {line["run"]: line for line in lines}

    @classmethod
    @contextmanager
    def open(cls, folder: str | Path) -> Iterator[ResultFile]:
        """Open a folder's file, made where absent, and keep other processes from writing to it.

        Raises:
            ConfigError: Another benchmark is writing there.
            DataError: A line before the last is damaged.
        """
        folder = Path(folder)
        with _locked(folder):
            path = folder / FILE_NAME
            lines: list[dict[str, Any]] = []
            if path.is_file():
                lines, whole = _parse(path)
                if whole < path.stat().st_size:
                    with path.open("r+b") as file:
                        file.truncate(whole)
                        os.fsync(file.fileno())
            yield cls(path, lines)

    def __getitem__(self, run: str) -> dict[str, Any] | None:
        return self._lines.get(run)

    def append(self, line: dict[str, Any]) -> None:
        """Add a run's line; one the run already has is replaced, the file being rewritten whole."""
        run = line["run"]
        replaced = self._lines.pop(run, None)
        self._lines[run] = line
        if replaced is not None:
            with atomic_write(self.path) as file:
                file.write(b"".join(map(_encode, self._lines.values())))
            return
        with self.path.open("ab") as file:
            file.write(_encode(line))
            file.flush()
            os.fsync(file.fileno())


def _encode(line: dict[str, Any]) -> bytes:
    # JSON escapes line breaks inside texts, so that an object is always one line.
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def _parse(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines, and the number of bytes they take."""
    lines: list[dict[str, Any]] = []
    whole = 0
    chunks = path.read_bytes().splitlines(keepends=True)
    for number, chunk in enumerate(chunks, start=1):
        try:
            line = json.loads(chunk)
            readable = isinstance(line, dict) and isinstance(line.get("run"), str)
        except ValueError:
            readable = False
        if readable and chunk.endswith(b"\n"):
            if line.get("schema", SCHEMA) > SCHEMA:
                raise DataError(f"{path}, line {number} was written by a newer blemish. Upgrade.")
            lines.append(line)
            whole += len(chunk)
        elif number < len(chunks):
            raise DataError(
                f"{path}, line {number} is damaged: found {chunk[:60]!r}, expected one JSON object "
                "per line. Delete that line; its run will be measured again."
            )
    return lines, whole


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something and is no results folder.

    Raises:
        ConfigError: It holds files that no benchmark wrote.
    """
    if not folder.is_dir() or (folder / FILE_NAME).is_file():
        return
    # What a killed one may have left.
    own = {"cache", "work", "training", LOGS, "tables.md", "tables.csv"}
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in own and p.name[0] != ".")
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ConfigError(
            f"--out {folder} holds {foreign[0]}{more}, and no {FILE_NAME}: it is no folder of "
            "results. Name a new folder, or an empty one."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it even after a kill."""
    try:
        import fcntl
    except ImportError:  # not POSIX: two benchmarks into one folder are not noticed
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another benchmark is writing to {folder}. Wait for it, or give another --out."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def without_paths(text: str, *, root: Path | None = None, name: str = "") -> str:
    """The text with the data set's root called by its name and other paths cut to their last part.

    Example:
        >>> from pathlib import Path
        >>> from blemish.benchmark.rows import without_paths
        >>> without_paths("/mnt/a b/x/nut/1.png is damaged", root=Path("/mnt/a b/x"), name="nuts")
        'nuts/nut/1.png is damaged'
        >>> without_paths("Cannot read /home/me/weights.pth: no such file")
        'Cannot read weights.pth: no such file'
    """
    if root is not None:
        forms = {str(root), str(root.absolute()), str(root.resolve())}
        # A single word is no folder of the machine, and may be an ordinary word of the message.
        for form in sorted((f for f in forms if len(Path(f).parts) > 1), key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(form)}(?![\w-])", name or root.name, text)
    return _WINDOWS.sub(r"\1", _POSIX.sub(r"\1", text))
