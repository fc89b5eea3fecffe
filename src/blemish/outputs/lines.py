"""Lines of a run: what is kept of one image's prediction, and files that take a whole line each."""

from __future__ import annotations

import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from blemish._files import check_is_no_dash
from blemish.errors import ConfigError
from blemish.results import Branch, Prediction, Verdict
from blemish.stores.urls import as_url, shown

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class VerdictRow:
    """One image's line: a prediction without its map. Fields as in ``Prediction``."""

    path: Path | None
    product: str | None
    verdict: Verdict | None
    score: float
    p_value: float | None
    branches: Mapping[str, Branch] = field(default_factory=dict)
    areas: int = 0
    recognised: str | None = None
    times_limit: float | None = None
    rival: str | None = None

    @property
    def looks_like(self) -> str | None:
        """As in ``Prediction``."""
        return None if self.recognised == self.product else self.recognised

    @classmethod
    def of(cls, prediction: Prediction) -> VerdictRow:
        """The line of a prediction."""
        p = prediction
        return cls(
            *(p.path, p.product, p.verdict, p.score, p.p_value, dict(p.branches)),
            areas=len(p.regions),
            recognised=p.recognised,
            times_limit=p.times_limit,
            rival=p.rival,
        )


class WrittenLine(NamedTuple):
    """One image's row, read back.

    Attributes:
        text: As it stands in the file, the line break included.
        judged: What it says; ``None`` where it says that the image could not be judged.
        model: Digest of the model that judged it, empty where the row does not name it.
    """

    text: str
    judged: VerdictRow | None
    model: str


class LineSink(ABC):
    """Writes one whole line per image, at once, so that the file can be read while it grows.

    A line that cannot be written in full, as on a full disk, is taken back before the error is
    raised. The file is opened by ``with``; an existing one is replaced unless ``append`` is set.

    Args:
        path: The file to write, in an existing folder.
        model: Digest of the model that judges; in every row where given.
        append: Go on behind what is there; see :func:`blemish.outputs.resume.take_up`.

    Raises:
        ConfigError: The path is ``-``; on entering, the folder does not exist or the file may not
            be written.
    """

    #: The file's first line, empty where it begins with a row.
    header = ""
    #: How every such file begins, where not with the header: nothing else must be touched.
    opening = ""

    def __init__(self, path: str | Path, *, model: str = "", append: bool = False) -> None:
        check_is_no_dash(path)
        self.path = Path(path)
        self.model = model
        self.append = append
        self._file: io.FileIO | None = None

    @abstractmethod
    def _row(self, prediction: Prediction) -> str: ...

    @abstractmethod
    def _failure(self, path: Path, error: str) -> str: ...

    @abstractmethod
    def _parse(self, lines: Iterator[str]) -> Iterator[WrittenLine]: ...

    def write(self, prediction: Prediction) -> None:
        """Append one image's prediction."""
        self._append(self._row(prediction))

    def fail(self, path: Path, error: BaseException | str) -> None:
        """Append an image for which there is no prediction, with the reason."""
        reason = " ".join(str(error).split())  # on one line, like every row
        self._append(self._failure(path, reason or type(error).__name__))

    def read(self) -> Iterator[WrittenLine]:
        """The rows that are in the file; a last one that was cut short is left out.

        Raises:
            ConfigError: The file is none that this sink writes.
        """
        if not self.path.is_file():
            raise self._foreign("it is no regular file")

        def lines() -> Iterator[str]:
            opening = (self.opening or self.header).encode()
            with self.path.open("rb") as file:
                start = file.read(len(opening))
                if not opening.startswith(start):
                    raise self._foreign("it begins otherwise than this command's files")
                file.seek(0)
                for line in file:
                    if line.endswith(b"\n"):
                        yield line.decode("utf-8", "surrogateescape")

        yield from self._parse(lines())

    def _foreign(self, why: str) -> ConfigError:
        return ConfigError(
            f"Cannot go on with {self.path}: {why}, so it was not written by this command with "
            "this model. Name another file, or leave out --resume to replace it."
        )

    def __enter__(self) -> Self:
        if as_url(self.path):
            raise ConfigError(
                f"Cannot write {shown(self.path)} line by line: an object store takes whole files. "
                "Name a file of this machine, or write results as Parquet: --out URL."
            )
        if not self.path.parent.is_dir():
            raise ConfigError(
                f"Cannot write {self.path}: the folder {self.path.parent} does not exist. "
                "Create it first, or name a file in a folder that exists."
            )
        try:
            # Unbuffered: a line is in the file when write() returns.
            mode = "r+b" if self.append and self.path.exists() else "wb"
            file = open(self.path, mode, buffering=0)  # noqa: PTH123
        except (IsADirectoryError, PermissionError) as error:
            raise ConfigError(
                f"Cannot write {self.path}: {error.strerror}. Give a file that may be written."
            ) from error
        self._file = cast(io.FileIO, file)
        if not (file.seekable() and file.seek(0, os.SEEK_END)):
            self._append(self.header)
        return self

    def __exit__(self, *error: object) -> None:
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
        except BaseException as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                error.filename = str(self.path)  # so that the message says which disk is full
            if written and self._file.seekable():
                self._file.truncate(self._file.seek(-written, os.SEEK_CUR))
            raise
