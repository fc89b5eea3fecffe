"""External sorting of scores: every one is kept, in sorted runs that lie on disk where many are.

Four bytes for each pixel of a data set's test images are more than a machine has. What the ranking
metrics ask of normal pixels, how many lie below a threshold, is a sum over runs that need not be
merged, so that one run is in memory at a time and the counts are the same.
"""

from __future__ import annotations

import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import DataError
from blemish.metrics.score_table import ScoreTable

#: Bytes of scores, and of their weights, that wait in memory until they become a run on disk.
RUN_BYTES = 2**24
#: Of a run on disk every so many-th score is in memory too, to find ranges by.
STRIDE = 2**10


class StoredRun(ScoreTable):
    """A run on disk, which is no part of the process's memory but while it is asked."""

    _file: IO[bytes]
    _offset: int
    _count: int
    _weighted: bool
    some: NDArray[np.float32]

    def __init__(self, file: IO[bytes], offset: int, run: ScoreTable) -> None:
        # A table is frozen.
        own = {"_file": file, "_offset": offset, "_count": len(run.values)}
        own |= {"_weighted": run.weights is not None, "some": run.values[::STRIDE].copy()}
        self.__dict__.update(own)

    @property
    def total(self) -> int:
        return self._count

    @property
    def weights(self) -> NDArray[np.float64] | None:
        return self.part(0, self._count).weights

    @property
    def values(self) -> NDArray[np.float32]:
        return self._read(np.float32, 0, self._count)

    def part(self, start: int, stop: int) -> ScoreTable:
        weights = self._read(np.float64, start, stop) if self._weighted else None
        return ScoreTable(self._read(np.float32, start, stop), weights=weights)

    def _read(self, kind: type, start: int, stop: int) -> NDArray[Any]:
        # Weights come first.
        skipped = 8 * self._count if self._weighted and kind is np.float32 else 0
        size = np.dtype(kind).itemsize
        self._file.seek(self._offset + skipped + start * size)
        return np.frombuffer(self._file.read((stop - start) * size), kind)


class ExactScores:
    """Keeps every score: 4 bytes each, 12 with a weight; in memory at most those of one run.

    Args:
        run_bytes: What waits in memory.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.exact_scores import ExactScores
        >>> scores = ExactScores(run_bytes=16)  # four scores
        >>> for piece in ([3, 1, 4, 1], [5, 9]):
        ...     scores.add(np.array(piece, np.float32))
        >>> [table.values.tolist() for table in scores.tables()]
        [[1.0, 1.0, 3.0, 4.0], [5.0, 9.0]]
    """

    def __init__(self, *, run_bytes: int = RUN_BYTES) -> None:
        self._run_bytes = run_bytes
        self._values: list[NDArray[np.float32]] = []
        self._weights: list[NDArray[np.float64]] = []
        self._waiting = 0  # bytes
        self._sorted = True
        self._file: IO[bytes] | None = None
        self._runs: list[StoredRun] = []

    def add(self, values: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> None:
        """Takes ``(M,)`` scores; the arrays are kept and must not change afterwards.

        Raises:
            DataError: The disk is full.
        """
        self._sorted = False
        self._values.append(values)
        self._waiting += values.nbytes
        if weights is not None:
            self._weights.append(weights)
            self._waiting += weights.nbytes
        if self._waiting >= self._run_bytes:
            self._write_run()

    def tables(self) -> list[ScoreTable]:
        """All scores, a table of each run; those on disk are read whenever they are asked for."""
        tables: list[ScoreTable] = list(self._runs)
        if self._values or not tables:
            tables.append(self._last_run())
        return tables

    def _last_run(self) -> ScoreTable:
        """What waits in memory, in order."""
        if not self._sorted:
            values = _joined(self._values, np.float32)
            if self._weights:
                order = np.argsort(values)
                values, self._weights = values[order], [_joined(self._weights, np.float64)[order]]
            else:
                values.sort()
            self._values, self._sorted = [values], True
        values = self._values[0] if self._values else np.empty(0, np.float32)
        return ScoreTable(values, weights=self._weights[0] if self._weights else None)

    def _write_run(self) -> None:
        run = self._last_run()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="blemish-scores-")  # noqa: SIM115
            offset = self._file.seek(0, 2)
            if run.weights is not None:
                self._file.write(run.weights.data)
            self._file.write(run.values.data)
            self._file.flush()
        except OSError as error:
            raise no_room(error) from error
        self._runs.append(StoredRun(self._file, offset, run))
        self._values, self._weights, self._waiting, self._sorted = [], [], 0, True


def no_room(error: OSError) -> DataError:
    """What to do where scores do not fit on the disk."""
    return DataError(
        f"The scores of pixels do not fit into {tempfile.gettempdir()}: {error.strerror}. "
        "Name a folder with more room in TMPDIR, or measure in bounded memory: --histogram."
    )


def _joined(pieces: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    """The pieces in one new array; the list is emptied meanwhile, so that memory peaks low."""
    whole: NDArray[Any] = np.empty(sum(len(piece) for piece in pieces), dtype)
    end = len(whole)
    while pieces:
        piece = pieces.pop()
        whole[end - len(piece) : end] = piece
        end -= len(piece)
    return whole
