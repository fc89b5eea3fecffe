"""Line files: predictions as CSV or JSON lines, written a whole line at a time and read back."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from blemish.errors import ConfigError
from blemish.outputs.lines import LineSink, VerdictRow, WrittenLine
from blemish.results import Branch, PartPose, Prediction, Region, Verdict
from blemish.stores.urls import shown

_OF_BRANCH = ("", "_verdict", "_times_limit")
_LOOK = ("look_left", "look_top", "look_right", "look_bottom")


class CsvSink(LineSink):
    """Predictions as CSV, UTF-8, with a header.

    Columns: path, product, of a model that recognises products also recognised and rival, verdict,
    score, p_value, times_limit, of a model that aligns pictures aligned (1 or 0) and
    alignment_quality, per branch its raw score ``branch_<name>``,
    ``branch_<name>_verdict`` and ``branch_<name>_times_limit``, with branches also the box to look
    at (``look_left`` …) where one objects that has no map, n_regions, then box, area, peak and
    times_limit of the region with the highest peak, error, which is empty unless there is no
    prediction, and where it was given the model. What is not known is left empty. ``branches``,
    ``recognises`` and ``aligns`` must be said, as by the model: the columns are known before the
    first prediction.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        branches: Sequence[str] = (),
        recognises: bool = False,
        aligns: bool = False,
        model: str = "",
        append: bool = False,
    ) -> None:
        super().__init__(path, model=model, append=append)
        self.branches = tuple(branches)
        self.recognises, self.aligns = recognises, aligns
        self.columns = (
            *("path", "product"),
            *(["recognised", "rival"] if recognises else []),
            *("verdict", "score", "p_value", "times_limit"),
            *(["aligned", "alignment_quality"] if aligns else []),
            *(f"branch_{name}{what}" for name in self.branches for what in _OF_BRANCH),
            *(_LOOK if self.branches else ()),
            *("n_regions", "region_left", "region_top", "region_right", "region_bottom"),
            *("region_area", "region_peak", "region_times_limit", "error"),
            *(["model"] if model else []),
        )
        self.header = csv_line(self.columns)

    def _row(self, prediction: Prediction) -> str:
        p = prediction
        unknown = set(p.branches) - set(self.branches)
        if unknown:
            raise ConfigError(
                f"The prediction has the branches {sorted(unknown)}, for which the table has no "
                f"column. Name them: CsvSink(path, branches={sorted(p.branches)})"
            )
        region = p.regions[0] if p.regions else None
        branches: list[object] = []
        for name in self.branches:
            branch = p.branches.get(name)
            if branch is None:
                branches += [None] * len(_OF_BRANCH)
            else:
                branches += float(branch.score), branch.verdict, branch.times_limit
        if self.branches:
            branches += p.explanation.box if p.explanation else [None] * len(_LOOK)
        return csv_line(
            [
                *("" if p.path is None else shown(p.path), p.product),
                *([p.recognised, p.rival] if self.recognises else []),
                *(p.verdict, float(p.score), p.p_value, p.times_limit),
                *(_of_pose(p.pose) if self.aligns else []),
                *branches,
                len(p.regions),
                *(_of_region(region) if region else [None] * 7),
                row_error(p),
                *([self.model] if self.model else []),
            ]
        )

    def _failure(self, path: Path, error: str) -> str:
        last = [error, self.model] if self.model else [error]
        return csv_line([shown(path), *[None] * (len(self.columns) - len(last) - 1), *last])

    def _parse(self, lines: Iterator[str]) -> Iterator[WrittenLine]:
        taken: list[str] = []

        def watched() -> Iterator[str]:
            for line in lines:
                taken.append(line)
                yield line

        torn = False
        try:
            for number, cells in enumerate(csv.reader(watched())):
                text = "".join(taken)  # a name with a line break in it takes several lines
                taken.clear()
                if number == 0:  # the header, which read() has compared
                    continue
                if torn:
                    raise self._foreign(f"row {number - 1} has not {len(self.columns)} columns")
                torn = len(cells) != len(self.columns)  # excused for the last: it was cut short
                if not torn:
                    yield self._written(text, dict(zip(self.columns, cells, strict=True)))
        except csv.Error as error:
            raise self._foreign(f"a row is no CSV ({error})") from error

    def _written(self, text: str, row: dict[str, str]) -> WrittenLine:
        try:
            judged = VerdictRow(
                path=Path(row["path"]),
                product=row["product"] or None,
                verdict=_verdict(row["verdict"] or None),
                score=float(row["score"] or "nan"),
                p_value=_number(row["p_value"]),
                branches={
                    b: Branch(
                        float(v),
                        verdict=_verdict(row[f"branch_{b}_verdict"] or None),
                        times_limit=_number(row[f"branch_{b}_times_limit"]),
                    )
                    for b in self.branches
                    if (v := row[f"branch_{b}"])
                },
                areas=int(row["n_regions"] or 0),
                recognised=row.get("recognised") or None,
                times_limit=_number(row["times_limit"]),
                rival=row.get("rival") or None,
            )
        except ValueError as error:
            raise self._foreign(f"a row holds {error}") from error
        failed = not row["score"] or bool(row["error"])
        return WrittenLine(text, None if failed else judged, row.get("model", ""))


class JsonLinesSink(LineSink):
    """Predictions as JSON lines, UTF-8: one object per image with all regions and branches.

    Keys: those of :meth:`blemish.results.Prediction.to_dict`, and where it was given model. Without
    a prediction: path, error, model.
    """

    opening = '{"path": '

    def _row(self, prediction: Prediction) -> str:
        row, complaint = prediction.to_dict(), row_error(prediction)
        return self._line({**row, "error": complaint} if complaint else row)

    def _failure(self, path: Path, error: str) -> str:
        return self._line({"path": shown(path), "error": error})

    def _line(self, row: dict[str, Any]) -> str:
        row = {**row, "model": self.model} if self.model else row
        return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"

    def _parse(self, lines: Iterator[str]) -> Iterator[WrittenLine]:
        for number, text in enumerate(lines, 1):
            try:
                row = json.loads(text)
                failed = "error" in row
                judged = VerdictRow(
                    path=Path(row["path"]),
                    product=row.get("product"),
                    verdict=_verdict(row.get("verdict")),
                    score=math.nan if failed else float(row["score"]),
                    p_value=row.get("p_value"),
                    branches={
                        name: Branch(
                            float(b["score"]),
                            b.get("p_value"),
                            _verdict(b.get("verdict")),
                            b.get("times_limit"),
                        )
                        for name, b in row.get("branches", {}).items()
                        if b["score"] is not None
                    },
                    areas=len(row.get("regions", ())),
                    recognised=row.get("recognised"),
                    times_limit=row.get("times_limit"),
                    rival=row.get("rival"),
                )
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise self._foreign(f"line {number} is none of its rows") from error
            yield WrittenLine(text, None if failed else judged, row.get("model", ""))


def row_error(prediction: Prediction) -> str:
    """Why its row must not be taken for a judged image; usually empty."""
    return "" if math.isfinite(prediction.score) else f"the score is {prediction.score}"


def _verdict(text: object) -> Verdict | None:
    for verdict in (*get_args(Verdict), None):
        if text == verdict:
            return verdict
    raise ValueError(f"the verdict {text!r}")


def _number(text: str) -> float | None:
    return float(text) if text else None


def _of_region(region: Region) -> tuple[object, ...]:
    return (*region.box, region.area, region.peak, region.times_limit)


def _of_pose(pose: PartPose | None) -> tuple[object, ...]:
    return (None, None) if pose is None else (int(pose.aligned), round(pose.quality, 5))


def csv_line(values: Iterable[object]) -> str:
    """Values as one line of CSV; what is not known is left empty."""
    line = io.StringIO()
    cells = ["" if value is None else str(value) for value in values]
    # By itself the module leaves a carriage return bare, which its own reader then refuses.
    bare = any("\r" in cell for cell in cells)
    csv.writer(
        line, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    ).writerow(cells)
    return line.getvalue()
