"""Run outputs: everything a run writes of its predictions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from blemish._progress import Progress
from blemish.data.images.reading import read_image
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError, ImageError
from blemish.outputs.csv_jsonl import CsvSink, JsonLinesSink
from blemish.outputs.lines import LineSink
from blemish.outputs.resume import Done, take_up
from blemish.outputs.tally import Tally
from blemish.outputs.unlike_learned import UnlikeLearned
from blemish.results import Prediction
from blemish.stores.urls import absolute

if TYPE_CHECKING:
    from typing_extensions import Self

    from blemish.data.images.image_list import Arrivals
    from blemish.inspector import Inspector
    from blemish.outputs.parts import PartTally
    from blemish.outputs.pictures import MaskSink, OverlaySink

#: Reasons kept to be shown at the end; all of them stand in the files.
MOST_REASONS = 50
#: Seconds between two looks at a folder; more where a look takes long, as with many files.
EVERY = 0.1


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
        deliver: Called with each prediction before its lines are written, so that after a crash it
            is delivered twice rather than never.
        parts: Gathers the pictures by part.

    Attributes:
        tally: Counts and the worst images, those of the earlier run included.
        unlike: Images unlike those that were learned.
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
        deliver: Callable[[Prediction], None] | None = None,
        parts: PartTally | None = None,
    ) -> None:
        if resume and csv is None and json is None:
            raise ConfigError(
                "--resume needs the file of the earlier run, which says what is done: name it "
                "with --csv or --json."
            )
        self.model = model
        self.resume = resume
        self._deliver = deliver
        self.tally = Tally(limit=rows, parts=parts)
        self.unlike = UnlikeLearned()
        self.reasons: list[tuple[Path, str]] = []
        self._done: Done | None = None  # of an earlier run
        self._lines: list[LineSink] = []
        if csv is not None:
            names = model.branch_names
            self._lines.append(
                CsvSink(
                    csv,
                    branches=names,
                    recognises=model.recognises,
                    aligns=model.aligns,
                    model=digest,
                    append=resume,
                )
            )
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
        if self._deliver is not None:
            self._deliver(prediction)
        self.tally.add(prediction)  # which may deliver a part
        for sink in self._lines:
            sink.write(prediction)
        self.unlike.add(prediction)

    def fail(self, path: Path, error: Exception) -> None:
        """Write down an image that could not be judged."""
        for sink in self._lines:
            sink.fail(path, error)
        self.tally.fail(path)
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

    ``product`` is that of samples that do not say theirs; ``None``: as the model recognises it.
    """
    left = outputs.left(samples)
    if outputs.tally.parts is not None:
        outputs.tally.parts.expect(sample.path for sample in left)
    before = len(samples) - len(left)
    with (progress or Progress(quiet=True)).task("Judging", len(samples), done=before) as task:

        def on_error(path: Path, error: ImageError) -> None:
            outputs.fail(path, error)
            task.advance()

        for prediction in outputs.model.predict(
            left,
            product=product,
            batch_size=batch_size,
            on_error=on_error,
            on_tile=lambda done, tiles: task.advance(0, f"tile {done} of {tiles}"),
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
    folders = {str(absolute(path).parent) for path in paths}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise ConfigError(
            "The images have no folder in common. Predict those of each drive by themselves."
        ) from error
