"""Run outputs: everything a run writes of its predictions, and the tally shown at its end."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich import box
from rich.table import Table
from rich.text import Text

from blemish._progress import Progress, printable
from blemish.data.images.reading import read_image
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError, ImageError
from blemish.outputs.csv_jsonl import CsvSink, JsonLinesSink, LineSink, VerdictRow
from blemish.outputs.resume import Done, take_up
from blemish.results import Prediction, Verdict

if TYPE_CHECKING:
    from typing_extensions import Self

    from blemish.data.images.image_list import Arrivals
    from blemish.inspector import Inspector
    from blemish.outputs.pictures import MaskSink, OverlaySink

#: Reasons kept to be shown at the end; all of them stand in the files.
MOST_REASONS = 50
#: Seconds between two looks at a folder; more where a look takes long, as with many files.
EVERY = 0.1

_SEVERITY: dict[Verdict | None, int] = {"defect": 0, "unsure": 1, "ok": 2, None: 3}
_STYLES: dict[Verdict | None, str] = {
    "defect": "bold red",
    "unsure": "yellow",
    "ok": "green",
    None: "dim",
}


class Outputs:
    """Writes a model's predictions as they come; to be entered by ``with``.

    Args:
        model: Judges.
        root: Folder from which the pictures' relative paths are taken.
        csv, json: Files of one line per image.
        heatmaps, masks: Folders for pictures.
        resume: Go on behind what an earlier run has written to ``csv`` and ``json``.
        digest: Of the model file, for the lines.
        rows: Number of images kept for the table.

    Attributes:
        tally: Counts and the worst images, those of the earlier run included.
        reasons: Why images could not be judged, the first ones.

    Raises:
        ConfigError: Pictures are asked for and there are no limits, or ``resume`` without a file
            that says what is done; on entering, a file or folder that cannot be written to, or
            with which the run cannot go on.
    """

    def __init__(
        self,
        model: Inspector,
        *,
        root: Path,
        csv: Path | None = None,
        json: Path | None = None,
        heatmaps: Path | None = None,
        masks: Path | None = None,
        resume: bool = False,
        digest: str = "",
        rows: int = 20,
    ) -> None:
        if resume and csv is None and json is None:
            raise ConfigError(
                "--resume needs the file of the earlier run, which says what is done: name it "
                "with --csv or --json."
            )
        self.model = model
        self.resume = resume
        self.tally = Tally(limit=rows)
        self.reasons: list[tuple[Path, str]] = []
        self._done: Done | None = None  # of an earlier run
        self._lines: list[LineSink] = []
        if csv is not None:
            names = model.branch_names
            self._lines.append(CsvSink(csv, branches=names, model=digest, append=resume))
        if json is not None:
            self._lines.append(JsonLinesSink(json, model=digest, append=resume))
        self._masks: MaskSink | None = None
        self._overlays: OverlaySink | None = None
        if masks or heatmaps:
            calibration = model.calibration
            if calibration is None:
                raise ConfigError(
                    "Heat maps and masks need limits, and this model is not calibrated. Run: "
                    "blemish calibrate MODEL GOOD_DIR"
                )
            # Only here: a run that writes lines draws nothing.
            from blemish.outputs.pictures import MaskSink, OverlaySink

            if masks:
                self._masks = MaskSink(masks, root=root)
            if heatmaps:
                self._overlays = OverlaySink(heatmaps, root=root, calibration=calibration)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self.resume:
            self._done = take_up(self._lines, self.tally)
        with ExitStack() as opening:
            for sink in self._lines:
                opening.enter_context(sink)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def left(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples that the earlier run has not judged, in order."""
        if self._done is None:
            return list(samples)
        done, left = self._done.split(samples)
        for sample in done:  # whose pictures keep their names
            for pictures in (self._masks, self._overlays):
                if pictures is not None:
                    pictures.reserve(sample.path)
        return left

    def write(self, prediction: Prediction) -> None:
        """Write one image's pictures and then its lines: a line says that the rest is there."""
        path = prediction.path
        if self._masks is not None:
            self._masks.write(prediction)
        if self._overlays is not None and path is not None:
            try:
                self._overlays.write(prediction, read_image(path, bit_depth=self.model.bit_depth))
            except (ImageError, DataError) as error:  # moved or replaced since it was judged
                self.fail(path, error)
                return
        for sink in self._lines:
            sink.write(prediction)
        self.tally.add(prediction)

    def fail(self, path: Path, error: Exception) -> None:
        """Write down an image that could not be judged."""
        for sink in self._lines:
            sink.fail(path, error)
        self.tally.fail()
        if len(self.reasons) < MOST_REASONS:
            self.reasons.append((path, str(error)))


def judge_into(
    outputs: Outputs,
    samples: Sequence[Sample],
    *,
    product: str | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> None:
    """Judge samples and write everything down as it comes; what is done already is passed over.

    ``product`` is that of samples that do not say theirs.
    """
    left = outputs.left(samples)
    before = len(samples) - len(left)
    with (progress or Progress(quiet=True)).task("Judging", len(samples), done=before) as task:

        def on_error(path: Path, error: ImageError) -> None:
            outputs.fail(path, error)
            task.advance()

        for prediction in outputs.model.predict(
            left, product=product, batch_size=batch_size, on_error=on_error
        ):
            outputs.write(prediction)
            task.advance()


def watch_into(
    outputs: Outputs,
    arrivals: Arrivals,
    *,
    product: str | None = None,
    batch_size: int = 8,
    on_prediction: Callable[[Prediction], None] = lambda prediction: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> NoReturn:
    """Judge pictures as they arrive and write everything down, until interrupted.

    Pictures that arrive while others are judged wait for the next look and then share batches:
    under load the line gets throughput, otherwise a short latency. ``on_prediction`` is called
    after a prediction is written down, ``on_note`` with what a person at the line should know.

    Raises:
        KeyboardInterrupt: The only way it ends; everything written is whole.
    """
    unreachable = ""
    while True:
        started = time.monotonic()
        ready = arrivals.poll()
        if arrivals.unreachable != unreachable:
            unreachable = arrivals.unreachable
            on_note(f"Cannot look into the folder: {unreachable}" if unreachable else "Back again.")
        looked = time.monotonic() - started
        samples = [Sample(path, "", "test", None) for path in ready]
        left = outputs.left(samples)
        for path in set(ready) - {sample.path for sample in left}:
            arrivals.finish(path)

        def on_error(path: Path, error: ImageError) -> None:
            arrivals.retry(path, str(error))

        judged = outputs.model.predict(
            left, product=product, batch_size=batch_size, on_error=on_error
        )
        with closing(judged) as predictions:  # type: ignore[type-var]
            for prediction in predictions:
                outputs.write(prediction)
                if prediction.path is not None:
                    arrivals.finish(prediction.path)
                on_prediction(prediction)
        for path, reason in arrivals.given_up():
            outputs.fail(path, ImageError(reason))
            on_note(f"Given up: {reason}")
        if not left:
            time.sleep(max(EVERY, 4 * looked))


def common_root(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all these files; those of two drives are a ``ConfigError``."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}  # noqa: PTH100, PTH120
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise ConfigError(
            "The images have no folder in common. Predict those of each drive by themselves."
        ) from error


class Tally:
    """Counts verdicts and keeps the worst ``limit``, in memory that does not grow with the images.

    Attributes:
        verdicts: Number of images by verdict.
        failures: Number of images that could not be judged.
        root: The deepest folder that holds all judged images; ``None`` where there is none.
    """

    def __init__(self, *, limit: int = 20) -> None:
        self.limit = max(limit, 0)
        self.verdicts: Counter[Verdict | None] = Counter()
        self.failures = 0
        self.root: Path | None = None
        self._rootless = False
        self._kept: list[VerdictRow] = []

    def add(self, prediction: Prediction | VerdictRow) -> None:
        """Count one more image."""
        judged = prediction if isinstance(prediction, VerdictRow) else VerdictRow.of(prediction)
        self.verdicts[judged.verdict] += 1
        if judged.path is not None:
            self._widen(judged.path)
        self._kept.append(judged)
        if len(self._kept) >= 2 * self.limit + 16:
            self._kept = self.worst()

    def fail(self) -> None:
        """Count an image that could not be judged."""
        self.failures += 1

    def worst(self) -> list[VerdictRow]:
        """The worst images, at most ``limit``, the worst first."""
        return sorted(self._kept, key=_severity)[: self.limit]

    @property
    def exit_code(self) -> int:
        """0 all ok, 1 a defect or unsure, 2 an image could not be judged."""
        if self.failures:
            return 2
        return 1 if self.verdicts["defect"] or self.verdicts["unsure"] else 0

    def summary(self) -> str:
        """How many images of which verdict, in one line."""
        count = self.verdicts.total()
        parts = [
            f"{self.verdicts[v]} {v or 'without verdict'}" for v in _SEVERITY if self.verdicts[v]
        ]
        text = f"{count} image{'' if count == 1 else 's'}"
        return text + (f": {', '.join(parts)}" if parts else "")

    def table(self) -> Table:
        """The worst images as a table, with a line that sums up all of them.

        Paths are shown below the images' common folder, which stands in the title.
        """
        shown = self.worst()
        root = self.root
        names = ["–" if p.path is None or root is None else _below(p.path, root) for p in shown]
        # A product that is one of the folders is named already.
        products = any(
            p.product is not None and p.product not in Path(name).parts
            for p, name in zip(shown, names, strict=True)
        )
        branches = tuple(dict.fromkeys(name for judged in shown for name in judged.branches))
        table = Table(
            box=box.SIMPLE_HEAD, caption_justify="left", title_justify="left", header_style="bold"
        )
        table.title = None if self.root is None else Text(printable(f"Images in {self.root}"))
        table.add_column("verdict", no_wrap=True)
        table.add_column("image", overflow="fold")
        if products:
            table.add_column("product")
        for name in ("p-value", "score", "areas"):
            table.add_column(name, justify="right", no_wrap=True)
        if branches:
            # Not their scores, which would leave no room for the image's name.
            table.add_column("by", no_wrap=True)
        for p, name in zip(shown, names, strict=True):
            numbers = ["–" if p.p_value is None else f"{p.p_value:.3g}", f"{p.score:.4g}"]
            words = [name, *([p.product or ""] if products else [])]
            # Text, not markup: a file may be called "[red].png".
            table.add_row(
                Text(p.verdict or "–", style=_STYLES[p.verdict]),
                *(Text(printable(word)) for word in (*words, *numbers)),
                Text(str(p.areas)),
                *([_objecting(p)] if branches else []),
            )
        table.caption = self.summary()
        if len(shown) < self.verdicts.total():
            table.caption += f"; the {len(shown)} worst are shown" if shown else "; none shown"
        if self.failures:
            table.caption += f"; {self.failures} could not be judged"
        return table

    def _widen(self, path: Path) -> None:
        """Make :attr:`root` hold this file too."""
        folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120  links stay
        if self.root is None and not self._rootless:
            self.root = Path(folder)
        elif self.root is not None and folder != str(self.root):
            try:
                self.root = Path(os.path.commonpath([str(self.root), folder]))
            except ValueError:  # on different drives
                self.root, self._rootless = None, True


def _severity(judged: VerdictRow) -> tuple[int, float, float, str]:
    """Sorts the worst first: by verdict, then p-value, then score.

    Scores of different products do not compare, so they come last.
    """
    return (
        _SEVERITY[judged.verdict],
        1.0 if judged.p_value is None else judged.p_value,
        -math.inf if math.isnan(judged.score) else -judged.score,
        str(judged.path),
    )


def _objecting(judged: VerdictRow) -> Text:
    """The branches that object, each in its verdict's colour."""
    named = [
        Text(printable(name), _STYLES[branch.verdict])
        for name, branch in judged.branches.items()
        if branch.verdict not in ("ok", None)
    ]
    return Text("\n").join(named)


def _below(path: Path, root: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  links stay as the user named them
    return str(absolute.relative_to(root)) if absolute.is_relative_to(root) else str(path)


def verdict_line(judged: VerdictRow) -> Text:
    """One image on one line: verdict, p-value, score, path."""
    p = "–" if judged.p_value is None else f"{judged.p_value:.3g}"
    line = Text(f"{judged.verdict or '–':<9}", style=_STYLES[judged.verdict])
    line.append(f"p {p:<8}score {judged.score:<9.4g}", style="default")
    return line.append(printable(str(judged.path)), style="default")
