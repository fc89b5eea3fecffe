"""Predictions as lines of a CSV or JSON-lines file, and as a table on the terminal."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from blemish.calibration import Calibration
from blemish.errors import ConfigError
from blemish.reporting.line_sink import LineSink
from blemish.reporting.pictures import common_root
from blemish.results import Prediction, Verdict

_SEVERITY: dict[Verdict | None, int] = {"defect": 0, "unsure": 1, "ok": 2, None: 3}
_STYLES: dict[Verdict | None, str] = {
    "defect": "bold red",
    "unsure": "yellow",
    "ok": "green",
    None: "dim",
}


class CsvSink(LineSink):
    """Predictions as CSV, UTF-8, with a header.

    Columns: path, product, verdict, score, p_value, one ``branch_<name>`` per branch (raw score),
    n_regions, then box, area and peak of the region with the highest peak, and error, which is
    empty unless there is no prediction. What is not known is left empty.

    Args:
        path: The file to write, in an existing folder.
        branches: Names of the method's branches, as in ``Calibration.branch_names``: the columns
            must be known before the first prediction is.

    Raises:
        ConfigError: On entering, the folder does not exist or the file may not be written.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from blemish.reporting.tables import CsvSink
        >>> from blemish.results import Prediction
        >>> p = Prediction(Path("a.png"), "nut", 0.25, np.zeros((4, 4), "f4"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with CsvSink(Path(folder) / "out.csv") as sink:
        ...         sink.write(p)
        ...     print((Path(folder) / "out.csv").read_text().splitlines()[1])
        a.png,nut,,0.25,,0,,,,,,,
    """

    def __init__(self, path: str | Path, *, branches: Sequence[str] = ()) -> None:
        super().__init__(path)
        self.branches = tuple(branches)
        self.columns = (
            *("path", "product", "verdict", "score", "p_value"),
            *(f"branch_{name}" for name in self.branches),
            *("n_regions", "region_left", "region_top", "region_right", "region_bottom"),
            *("region_area", "region_peak", "error"),
        )

    def _header(self) -> str:
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
        return _csv_line(
            [
                *("" if p.path is None else p.path, p.product, p.verdict, float(p.score)),
                p.p_value,
                *(float(p.branches[b]) if b in p.branches else None for b in self.branches),
                len(p.regions),
                *((*region.box, region.area, region.peak) if region else [None] * 6),
                _complaint(p),
            ]
        )

    def _failure(self, path: Path, error: str) -> str:
        return _csv_line([path, *[None] * (len(self.columns) - 2), error])


class JsonLinesSink(LineSink):
    """Predictions as JSON lines, UTF-8: one object per image with all regions and branches.

    Keys: path, product, verdict, score, p_value, branches (name to score, p_value, verdict),
    regions (box, area, peak; the highest peak first). Without a prediction: path and error.

    Args:
        path: The file to write, in an existing folder.
        calibration: Judges the branches; without it they have scores only.

    Raises:
        ConfigError: On entering, the folder does not exist or the file may not be written.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from blemish.reporting.tables import JsonLinesSink
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with JsonLinesSink(Path(folder) / "out.jsonl") as sink:
        ...         sink.fail(Path("a.png"), "not an image")
        ...     print((Path(folder) / "out.jsonl").read_text(), end="")
        {"path": "a.png", "error": "not an image"}
    """

    def __init__(self, path: str | Path, *, calibration: Calibration | None = None) -> None:
        super().__init__(path)
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
        row = {
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
        complaint = _complaint(p)
        return _json_line({**row, "error": complaint} if complaint else row)

    def _failure(self, path: Path, error: str) -> str:
        return _json_line({"path": str(path), "error": error})


def terminal_table(
    predictions: Iterable[Prediction], *, limit: int = 20, failures: int = 0
) -> Table:
    """A table for the terminal, the worst image first, with a line that sums up.

    Ordered by verdict, then p-value, then score: scores of different products do not compare.
    Paths are shown below the images' common folder, which stands in the title.

    Args:
        predictions: In any order.
        limit: At most so many rows; the summary counts all.
        failures: Number of images that could not be judged.

    Example:
        >>> import numpy as np
        >>> from blemish.reporting.tables import terminal_table
        >>> from blemish.results import Prediction
        >>> p = Prediction(None, None, 0.25, np.zeros((4, 4), "f4"), verdict="ok", p_value=0.5)
        >>> terminal_table([p]).caption
        '1 image: 1 ok'
    """
    predictions = sorted(
        predictions,
        key=lambda p: (
            _SEVERITY[p.verdict],
            1.0 if p.p_value is None else p.p_value,
            -p.score,
            str(p.path),
        ),
    )
    shown = predictions[: max(limit, 0)]
    products = any(p.product is not None for p in shown)
    branches = tuple(dict.fromkeys(name for p in shown for name in p.branches))
    paths = [p.path for p in predictions if p.path is not None]
    root = common_root(paths) if paths else None
    table = Table(
        box=box.SIMPLE_HEAD, caption_justify="left", title_justify="left", header_style="bold"
    )
    table.title = None if root is None else Text(_printable(f"Images in {root}"))
    table.add_column("verdict", no_wrap=True)
    table.add_column("image", overflow="fold")
    if products:
        table.add_column("product")
    for name in ("p-value", "score", *branches, "areas"):
        table.add_column(name, justify="right", no_wrap=True)
    for p in shown:
        numbers = ["–" if p.p_value is None else f"{p.p_value:.3g}", f"{p.score:.4g}"]
        numbers += [f"{p.branches[b]:.4g}" if b in p.branches else "" for b in branches]
        words = ["–" if p.path is None or root is None else _below(p.path, root)]
        words += [p.product or ""] if products else []
        # Text, not markup: a file may be called "[red].png".
        table.add_row(
            Text(p.verdict or "–", style=_STYLES[p.verdict]),
            *(Text(_printable(word)) for word in (*words, *numbers, str(len(p.regions)))),
        )
    table.caption = _summary(predictions, len(shown), failures)
    return table


def _below(path: Path, root: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  links stay as the user named them
    return str(absolute.relative_to(root)) if absolute.is_relative_to(root) else str(path)


def _summary(predictions: Sequence[Prediction], shown: int, failures: int) -> str:
    count = len(predictions)
    verdicts = Counter(p.verdict for p in predictions)
    parts = [f"{verdicts[v]} {v or 'without verdict'}" for v in _SEVERITY if verdicts[v]]
    text = f"{count} image{'' if count == 1 else 's'}"
    text += f": {', '.join(parts)}" if parts else ""
    if shown < count:
        text += f"; the {shown} worst are shown" if shown else "; none shown"
    if failures:
        text += f"; {failures} could not be judged"
    return text


def _complaint(prediction: Prediction) -> str:
    """A reason why the row must not be taken for a judged image; usually empty."""
    return "" if math.isfinite(prediction.score) else f"the score is {prediction.score}"


def _finite(value: float) -> float | None:
    """A number JSON can hold: it knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        ["" if value is None else value for value in values]
    )
    return line.getvalue()


def _json_line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
