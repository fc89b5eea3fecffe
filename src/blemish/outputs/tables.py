"""Predictions as lines of a CSV or JSON-lines file, and what an earlier run wrote there."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from blemish.calibration.limits import Calibration
from blemish.errors import ConfigError
from blemish.outputs.line_sink import LineSink, WrittenLine
from blemish.outputs.tally import Judged
from blemish.results import Prediction, Verdict

_LOOK = ("look_left", "look_top", "look_right", "look_bottom")


class CsvSink(LineSink):
    """Predictions as CSV, UTF-8, with a header.

    Columns: path, product, verdict, score, p_value, per branch its raw score ``branch_<name>`` and
    ``branch_<name>_verdict``, with branches also the box to look at (``look_left`` …) where one
    objects that has no map, n_regions, then box, area and peak of the region with the highest peak,
    error, which is empty unless there is no prediction, and where it was given the model. What is
    not known is left empty.

    Args:
        path: The file to write, in an existing folder.
        branches: Names of the method's branches, as in ``Calibration.branch_names``: the columns
            must be known before the first prediction is.
        model: Digest of the model that judges, for a column of its own.
        append: Go on behind what is there; see :func:`blemish.outputs.resume.take_up`.

    Raises:
        ConfigError: On entering, the folder does not exist or the file may not be written.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from blemish.outputs.tables import CsvSink
        >>> from blemish.results import Prediction
        >>> p = Prediction(Path("a.png"), "nut", 0.25, np.zeros((4, 4), "f4"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with CsvSink(Path(folder) / "out.csv") as sink:
        ...         sink.write(p)
        ...     print((Path(folder) / "out.csv").read_text().splitlines()[1])
        a.png,nut,,0.25,,0,,,,,,,
    """

    def __init__(
        self,
        path: str | Path,
        *,
        branches: Sequence[str] = (),
        model: str = "",
        append: bool = False,
    ) -> None:
        super().__init__(path, model=model, append=append)
        self.branches = tuple(branches)
        self.columns = (
            *("path", "product", "verdict", "score", "p_value"),
            *(f"branch_{name}{what}" for name in self.branches for what in ("", "_verdict")),
            *(_LOOK if self.branches else ()),
            *("n_regions", "region_left", "region_top", "region_right", "region_bottom"),
            *("region_area", "region_peak", "error"),
            *(["model"] if model else []),
        )

    def header(self) -> str:
        return _csv_line(self.columns)

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
            branches.append(float(p.branches[name]) if name in p.branches else None)
            branches.append(p.branch_verdicts.get(name))
        if self.branches:
            branches += p.explanation.box if p.explanation else [None] * len(_LOOK)
        return _csv_line(
            [
                *("" if p.path is None else p.path, p.product, p.verdict, float(p.score)),
                p.p_value,
                *branches,
                len(p.regions),
                *((*region.box, region.area, region.peak) if region else [None] * 6),
                _complaint(p),
                *self._models,
            ]
        )

    def _failure(self, path: Path, error: str) -> str:
        known = len(self._models) + 2
        return _csv_line([path, *[None] * (len(self.columns) - known), error, *self._models])

    @property
    def _models(self) -> list[str]:
        return [self.model] if self.model else []

    def _parse(self, lines: Iterator[str]) -> Iterator[WrittenLine]:
        taken: list[str] = []

        def watched() -> Iterator[str]:
            for line in lines:
                taken.append(line)
                yield line

        torn = False
        for number, cells in enumerate(self._cells(watched())):
            text = "".join(taken)  # a name with a line break in it takes several lines
            taken.clear()
            if number == 0:  # the header, which read() has compared
                continue
            if torn:
                raise self._foreign(f"row {number - 1} has not {len(self.columns)} columns")
            torn = len(cells) != len(self.columns)  # excused for the last row: it was cut short
            if not torn:
                yield self._written(text, dict(zip(self.columns, cells, strict=True)))

    def _cells(self, lines: Iterator[str]) -> Iterator[list[str]]:
        try:
            yield from csv.reader(lines)
        except csv.Error as error:
            raise self._foreign(f"a row is no CSV ({error})") from error

    def _written(self, text: str, row: dict[str, str]) -> WrittenLine:
        try:
            judged = Judged(
                path=Path(row["path"]),
                product=row["product"] or None,
                verdict=_verdict(row["verdict"] or None),
                score=float(row["score"] or "nan"),
                p_value=float(row["p_value"]) if row["p_value"] else None,
                branches={b: float(v) for b in self.branches if (v := row[f"branch_{b}"])},
                branch_verdicts={
                    b: verdict
                    for b in self.branches
                    if (verdict := _verdict(row[f"branch_{b}_verdict"] or None)) is not None
                },
                areas=int(row["n_regions"] or 0),
            )
        except ValueError as error:
            raise self._foreign(f"a row holds {error}") from error
        failed = not row["score"] or bool(row["error"])
        return WrittenLine(text, None if failed else judged, row.get("model", ""))


class JsonLinesSink(LineSink):
    """Predictions as JSON lines, UTF-8: one object per image with all regions and branches.

    Keys: path, product, verdict, score, p_value, branches (name to score, p_value, verdict),
    regions (box, area, peak; the highest peak first), of a method with branches explanation
    (branch, box, sentence; null where none objects that has no map) and where it was given model.
    Without a prediction: path, error, model.

    Args:
        path: The file to write, in an existing folder.
        calibration: Judges the branches; without it they have scores only.
        model: Digest of the model that judges, for a key of its own.
        append: Go on behind what is there; see :func:`blemish.outputs.resume.take_up`.

    Raises:
        ConfigError: On entering, the folder does not exist or the file may not be written.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from blemish.outputs.tables import JsonLinesSink
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with JsonLinesSink(Path(folder) / "out.jsonl") as sink:
        ...         sink.fail(Path("a.png"), "not an image")
        ...     print((Path(folder) / "out.jsonl").read_text(), end="")
        {"path": "a.png", "error": "not an image"}
    """

    def __init__(
        self,
        path: str | Path,
        *,
        calibration: Calibration | None = None,
        model: str = "",
        append: bool = False,
    ) -> None:
        super().__init__(path, model=model, append=append)
        self.calibration = calibration

    def _row(self, prediction: Prediction) -> str:
        p = prediction
        branches: dict[str, dict[str, Any]] = {
            name: {"score": _finite(score)} for name, score in p.branches.items()
        }
        if self.calibration is not None:
            finite = {name: float(s) for name, s in p.branches.items() if math.isfinite(s)}
            for name, judged in self.calibration.judge_branches(finite, p.product).items():
                branches[name].update(judged._asdict())
        row: dict[str, Any] = {
            "path": None if p.path is None else str(p.path),
            "product": p.product,
            "verdict": p.verdict,
            "score": _finite(p.score),
            "p_value": p.p_value,
            "branches": branches,
            "regions": [
                {"box": list(r.box), "area": r.area, "peak": _finite(r.peak)} for r in p.regions
            ],
        }
        if p.branches:
            row["explanation"] = None if p.explanation is None else asdict(p.explanation)
        complaint = _complaint(p)
        return self._line({**row, "error": complaint} if complaint else row)

    def _failure(self, path: Path, error: str) -> str:
        return self._line({"path": str(path), "error": error})

    def _opening(self) -> str:
        return '{"path": '

    def _line(self, row: dict[str, Any]) -> str:
        return _json_line({**row, "model": self.model} if self.model else row)

    def _parse(self, lines: Iterator[str]) -> Iterator[WrittenLine]:
        for number, text in enumerate(lines, 1):
            try:
                row = json.loads(text)
                failed = "error" in row
                judged = Judged(
                    path=Path(row["path"]),
                    product=row.get("product"),
                    verdict=_verdict(row.get("verdict")),
                    score=math.nan if failed else float(row["score"]),
                    p_value=row.get("p_value"),
                    branches={
                        name: float(branch["score"])
                        for name, branch in row.get("branches", {}).items()
                        if branch["score"] is not None
                    },
                    branch_verdicts={
                        name: verdict
                        for name, branch in row.get("branches", {}).items()
                        if (verdict := _verdict(branch.get("verdict"))) is not None
                    },
                    areas=len(row.get("regions", ())),
                )
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise self._foreign(f"line {number} is none of its rows") from error
            yield WrittenLine(text, None if failed else judged, row.get("model", ""))


def _complaint(prediction: Prediction) -> str:
    """A reason why the row must not be taken for a judged image; usually empty."""
    return "" if math.isfinite(prediction.score) else f"the score is {prediction.score}"


def _finite(value: float) -> float | None:
    """A number JSON can hold: it knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def _verdict(text: object) -> Verdict | None:
    for verdict in (*get_args(Verdict), None):
        if text == verdict:
            return verdict
    raise ValueError(f"the verdict {text!r}")


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    cells = ["" if value is None else str(value) for value in values]
    # By itself the module leaves a carriage return bare, which its own reader then refuses.
    bare = any("\r" in cell for cell in cells)
    csv.writer(
        line, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    ).writerow(cells)
    return line.getvalue()


def _json_line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
