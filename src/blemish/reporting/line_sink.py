"""A text file that grows by whole lines."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from blemish.errors import ConfigError
from blemish.results import Prediction

if TYPE_CHECKING:
    from typing_extensions import Self


class LineSink(ABC):
    """Writes one whole line per image, at once, so that the file can be read while it grows.

    A line that cannot be written in full, as on a full disk, is taken back before the error is
    raised. The file is opened by ``with``; an existing one is replaced.

    Args:
        path: The file to write, in an existing folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: io.FileIO | None = None

    @abstractmethod
    def _row(self, prediction: Prediction) -> str: ...

    @abstractmethod
    def _failure(self, path: Path, error: str) -> str: ...

    def _header(self) -> str:
        return ""

    def write(self, prediction: Prediction) -> None:
        """Append one image's prediction."""
        self._append(self._row(prediction))

    def fail(self, path: Path, error: BaseException | str) -> None:
        """Append an image for which there is no prediction, with the reason."""
        reason = " ".join(str(error).split())  # on one line, like every row
        self._append(self._failure(path, reason or type(error).__name__))

    def __enter__(self) -> Self:
        if not self.path.parent.is_dir():
            raise ConfigError(
                f"Cannot write {self.path}: the folder {self.path.parent} does not exist. "
                "Create it first, or name a file in a folder that exists."
            )
        try:
            # Unbuffered: a line is in the file when write() returns.
            self._file = open(self.path, "wb", buffering=0)  # noqa: PTH123
        except (IsADirectoryError, PermissionError) as error:
            raise ConfigError(
                f"Cannot write {self.path}: {error.strerror}. Give a file that may be written."
            ) from error
        self._append(self._header())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: str) -> None:
        if self._file is None:
            raise RuntimeError(f"{type(self).__name__} is not open: use it in a with statement.")
        # A file name that is no UTF-8 must not lose the line; in JSON this is its proper escape.
        rest = memoryview(line.encode(errors="backslashreplace"))
        written = 0
        try:
            while rest:
                count = self._file.write(rest) or 0
                written += count
                rest = rest[count:]
        except BaseException:
            if written and self._file.seekable():
                self._file.truncate(self._file.seek(-written, os.SEEK_CUR))
            raise
