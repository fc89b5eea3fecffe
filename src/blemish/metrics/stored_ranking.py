"""External ranking: the counts at every threshold where the scores lie on disk, in parts.

Ranges of scores are read from all sorted runs, the highest first, each small enough to be counted
in memory. The counts go to a temporary file, from which metrics read them part by part. So neither
the number of pictures nor that of defective pixels costs memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from blemish.metrics.exact_scores import STRIDE, StoredRun, no_room
from blemish.metrics.ranking import Ranked, Ranking, distinct
from blemish.metrics.score_table import ScoreTable, merge_equal

#: Scores in a range, about; of many runs each may have a stride's worth of them more.
RANGE = 2**20
_COLUMNS = ("thresholds", "tp", "fp", "fp_above", "overlap")
_TYPES = (np.float32, np.int64, np.int64, np.int64, np.float64)


def ranking_of(negatives: Sequence[ScoreTable], positives: Sequence[ScoreTable]) -> Ranked:
    """The ranking of positives against negatives, in memory or, where scores are not, on disk.

    Raises:
        DataError: The disk is full.
    """
    if any(isinstance(table, StoredRun) for table in (*negatives, *positives)):
        return StoredRanking(negatives, positives)
    return Ranking.from_tables(negatives, positives)


class StoredRanking(Ranked):
    """A ranking in a temporary file, 36 bytes for each distinct score of a positive.

    Args:
        negatives, positives: Sorted scores, in memory or on disk; not bins.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.exact_scores import ExactScores
        >>> from blemish.metrics.stored_ranking import ranking_of
        >>> good, bad = ExactScores(run_bytes=8), ExactScores(run_bytes=8)
        >>> good.add(np.array([0.1, 0.4], "f4"))
        >>> bad.add(np.array([0.35, 0.8], "f4"))
        >>> ranking = ranking_of(good.tables(), bad.tables())
        >>> type(ranking).__name__, ranking.auroc()
        ('StoredRanking', 0.75)
    """

    exact = True

    def __init__(self, negatives: Sequence[ScoreTable], positives: Sequence[ScoreTable]) -> None:
        self.negatives = sum(table.total for table in negatives)
        self.positives = sum(table.total for table in positives)
        filled = next((table for table in positives if table.total), None)
        self.has_regions = filled is not None and filled.weights is not None
        self._sizes: list[int] = []  # thresholds of each part
        self._covered = 0.0  # summed over regions
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="blemish-ranking-")  # noqa: SIM115
        try:
            self._count(negatives, positives)
            self._file.flush()
        except OSError as error:
            raise no_room(error) from error

    def parts(self) -> Iterator[Ranking]:
        offset, above = 0, (0, 0, 0.0)
        for size in self._sizes:
            columns: dict[str, Any] = {}
            for name, kind in zip(_COLUMNS, _TYPES, strict=True):
                self._file.seek(offset)
                count = size * np.dtype(kind).itemsize
                columns[name] = np.frombuffer(self._file.read(count), kind)
                offset += count
            shares = columns.pop("overlap")  # of no meaning without regions
            overlap = shares / self._covered if self.has_regions else None
            part = Ranking(**columns, overlap=overlap, negatives=self.negatives, above=above)
            yield part
            covered = 0.0 if overlap is None else float(overlap[-1])
            above = int(part.tp[-1]), int(part.fp[-1]), covered

    def _count(self, negatives: Sequence[ScoreTable], positives: Sequence[ScoreTable]) -> None:
        splits = _splits([*negatives, *positives])
        of_negatives, of_positives = (_positions(t, splits) for t in (negatives, positives))
        tp = fp = 0
        for place in reversed(range(len(splits) + 1)):
            ends = slice(place, place + 2)
            count = int(np.diff(of_negatives[:, ends]).sum())
            if np.diff(of_positives[:, ends]).any():
                values, counts, weights = _merged(positives, of_positives[:, ends])
                if _is_one_value(splits, place):  # it may be that of a million pixels
                    below, up_to = np.zeros(1, np.int64), np.full(1, count)
                else:
                    normal = _values(negatives, of_negatives[:, ends])
                    below = np.searchsorted(normal, values, side="left")
                    up_to = np.searchsorted(normal, values, side="right")
                tps = tp + np.cumsum(counts[::-1])
                covered = np.zeros(len(values))
                if weights is not None:
                    covered = self._covered + np.cumsum(weights[::-1])
                self._write(
                    values[::-1], tps, fp + count - below[::-1], fp + count - up_to[::-1], covered
                )
                tp, self._covered = int(tps[-1]), float(covered[-1])
            fp += count

    def _write(self, *columns: NDArray[Any]) -> None:
        self._sizes.append(len(columns[0]))
        for column, kind in zip(columns, _TYPES, strict=True):
            self._file.write(np.ascontiguousarray(column, kind).data)


def _splits(tables: Sequence[ScoreTable]) -> NDArray[np.float32]:
    """Ascending scores that part all of them into ranges of bounded size.

    Between two neighbours lie so many of the scores that are known of each table. A score that
    many share is a range of its own, which need not be read.
    """
    known = np.sort(np.concatenate([_some(table) for table in tables]))
    chosen = known[:: max(1, RANGE // STRIDE - len(tables))]
    often = chosen[1:][chosen[1:] == chosen[:-1]]
    return np.unique(np.concatenate((chosen, np.nextafter(often, np.float32(np.inf)))))


def _some(table: ScoreTable) -> NDArray[np.float32]:
    return table.some if isinstance(table, StoredRun) else table.values[::STRIDE]


def _is_one_value(splits: NDArray[np.float32], place: int) -> bool:
    """Whether the range that ends before ``splits[place]`` holds a single score."""
    if not 0 < place < len(splits):
        return False
    return bool(np.nextafter(splits[place - 1], np.float32(np.inf)) == splits[place])


def _positions(tables: Sequence[ScoreTable], splits: NDArray[np.float32]) -> NDArray[np.int64]:
    """``(tables, splits + 2)`` where the ranges begin and end in each table."""
    found = np.zeros((len(tables), len(splits) + 2), np.int64)
    for row, table in zip(found, tables, strict=True):
        row[1:-1] = np.searchsorted(table.values, splits)
        row[-1] = table.total
    return found


def _values(tables: Sequence[ScoreTable], ends: NDArray[np.int64]) -> NDArray[np.float32]:
    """The scores of one range of all tables, in order."""
    pieces = [t.part(*map(int, e)).values for t, e in zip(tables, ends, strict=True)]
    values = np.concatenate([np.empty(0, np.float32), *pieces])
    values.sort()
    return values


def _merged(
    tables: Sequence[ScoreTable], ends: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64] | None]:
    """The distinct scores of one range, ascending, with counts and weights.

    Each table's are joined before they meet the others', as a score may be that of many pixels.
    """
    joined = []
    for table, (start, stop) in zip(tables, ends, strict=True):
        if start < stop:
            part = table.part(int(start), int(stop))
            ones = np.ones(len(part.values), np.int64)
            values, counts, weights = merge_equal(part.values, ones, part.weights)
            joined.append(ScoreTable(values, counts, weights))
    return distinct(joined)
