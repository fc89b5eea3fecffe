"""Writing a file so that nobody ever sees half of it.

The bytes go to a temporary file beside the target, are flushed to the disk and renamed over it: a
reader finds the old file or the new one, also after a crash, a full disk or an interrupt.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from blemish.errors import ConfigError
from blemish.stores.urls import as_url

_OURS: set[Path] = set()  # folders that this process keeps others out of


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same folder, where there are such locks.

    A process that dies lets go; nothing is left in the folder. Of one process nobody waits.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    if folder in _OURS:  # it would wait for itself
        yield
        return
    _OURS.add(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        _OURS.discard(folder)
        os.close(descriptor)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` and rename it to ``path`` on a clean exit.

    On an exception, an interrupt included, the temporary file is removed and an existing ``path``
    stays as it was. A symbolic link is followed: its target is replaced, not the link.

    Args:
        path: The file to write. Its folder must exist. An object store gets it when it is whole.

    Yields:
        A binary file, readable, writable and seekable. For text, encode first.

    Raises:
        ConfigError: The folder does not exist, ``path`` is a folder, or writing is not permitted.

    Example:
        >>> import tempfile
        >>> from blemish._files import atomic_write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder) / "notes.txt"
        ...     with atomic_write(target) as file:
        ...         _ = file.write(b"whole or not at all")
        ...     target.read_text()
        'whole or not at all'
    """
    if as_url(path):
        from blemish.stores.remote import write_bytes

        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            write_bytes(path, file.read())
        return
    target = writable_target(path)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        # "x": never through somebody's prepared link. Unlike mkstemp's 0600 this mode follows the
        # umask, so the result can be read by whoever may read the user's other files.
        file = open(temporary, "x+b")  # noqa: SIM115, PTH123  closed before the rename
    except PermissionError as error:
        raise ConfigError(
            f"Cannot write {target}: no permission to create files in {target.parent}. "
            "Choose another folder or change its permissions."
        ) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            error.filename = str(target)  # so that the message says which disk is full
        raise
    _sync_folder(target.parent)


def keep_beside(path: str | Path) -> Path:
    """Keep a copy of a file that is to be replaced, as ``NAME.bak``; one that is there is replaced.

    Example:
        >>> import tempfile
        >>> from blemish._files import keep_beside
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder) / "m.blemish"
        ...     _ = target.write_bytes(b"old")
        ...     keep_beside(target).name, keep_beside(target).read_bytes()
        ('m.blemish.bak', b'old')
    """
    target = Path(path).resolve()
    kept = target.with_name(f"{target.name}.bak")
    with target.open("rb") as old, atomic_write(kept) as file:
        shutil.copyfileobj(old, file)
    return kept


def writable_target(path: str | Path) -> Path:
    """The file that ``path`` stands for, links resolved, after checking that its folder exists.

    Args:
        path: A file to be written; of a URL only store and bucket are looked for.

    Raises:
        ConfigError: The folder does not exist or may not be written to, or ``path`` is itself a
            folder.

    Example:
        >>> from blemish._files import writable_target
        >>> writable_target("report.csv").name
        'report.csv'
    """
    if as_url(path):
        from blemish.stores.remote import check_bucket

        check_bucket(path)
        return Path(path)
    check_is_no_dash(path)
    target = Path(path).resolve()
    if target.is_dir():
        raise ConfigError(f"Cannot write {path}: it is a folder. Give the name of a file in it.")
    if not target.parent.is_dir():
        raise ConfigError(
            f"Cannot write {path}: the folder {Path(path).parent} does not exist. "
            "Create it first, or name a file in a folder that exists."
        )
    if not os.access(target.parent, os.W_OK) or _made_by_the_kernel(target.parent):
        raise ConfigError(
            f"Cannot write {path}: files cannot be created in {target.parent}, for want of "
            "permission or on a read-only disk. Choose another folder."
        )
    return target


def check_is_no_dash(path: str | Path) -> None:
    """Refuse ``-``, by which other programs mean standard output: it holds what people read.

    Raises:
        ConfigError: It is that.
    """
    if str(path) == "-":
        raise ConfigError(
            "- stands for standard output elsewhere, and here that holds what people read. Name a "
            "file; for a pipe: /dev/stdout with --quiet."
        )


def _made_by_the_kernel(folder: Path) -> bool:
    """Whether a folder is in /proc or /sys, where to root files only seem to be creatable."""
    return sys.platform == "linux" and folder.parts[:2] in (("/", "proc"), ("/", "sys"))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can sync a folder."""
    if os.name != "posix":
        return
    # Some network file systems refuse to sync a folder; the file is whole all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
