"""Everything a run writes of its predictions: lines, pictures and the tally, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from blemish._progress import Progress
from blemish.calibration.limits import Calibration
from blemish.data.images.image import read_image
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError, ImageError
from blemish.inspector import Inspector
from blemish.outputs.line_sink import LineSink
from blemish.outputs.pictures import MaskSink, OverlaySink
from blemish.outputs.resume import Done, take_up
from blemish.outputs.tables import CsvSink, JsonLinesSink
from blemish.outputs.tally import Tally
from blemish.results import Prediction

if TYPE_CHECKING:
    from typing_extensions import Self

#: Reasons kept to be shown at the end; all of them stand in the files.
MOST_REASONS = 50


@dataclass(frozen=True)
class OutputPlan:
    """What to write, and where.

    Attributes:
        csv, json: Files of one line per image.
        heatmaps, masks: Folders for pictures.
        resume: Go on behind what an earlier run has written to ``csv`` and ``json``.

    Raises:
        ConfigError: ``resume`` without a file that says what is done.

    Example:
        >>> from pathlib import Path
        >>> from blemish.outputs.outputs import OutputPlan
        >>> OutputPlan(csv=Path("verdicts.csv"), resume=True).heatmaps is None
        True
    """

    csv: Path | None = None
    json: Path | None = None
    heatmaps: Path | None = None
    masks: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.resume and self.csv is None and self.json is None:
            raise ConfigError(
                "--resume needs the file of the earlier run, which says what is done: name it "
                "with --csv or --json."
            )


class Outputs:
    """Writes predictions as they come; to be entered by ``with``.

    Args:
        plan: What to write.
        root: Folder from which the pictures' relative paths are taken.
        calibration: The model's limits.
        branches: Names of the method's branches.
        bit_depth: Bits used in 16-bit images.
        model: Digest of the model, for the lines.
        rows: Number of images kept for the table.

    Attributes:
        tally: Counts and the worst images, those of the earlier run included.
        done: What the earlier run has judged.
        reasons: Why images could not be judged, the first ones.

    Raises:
        ConfigError: Pictures are asked for and there are no limits; on entering, a file or folder
            that cannot be written to, or with which the run cannot go on.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.outputs.outputs import OutputPlan, Outputs
        >>> from blemish.results import Prediction
        >>> with Outputs(OutputPlan(), root=Path(".")) as outputs:
        ...     outputs.write(Prediction(None, None, 0.25, np.zeros((4, 4), "f4")))
        >>> outputs.tally.summary()
        '1 image: 1 without verdict'
    """

    def __init__(
        self,
        plan: OutputPlan,
        *,
        root: Path,
        calibration: Calibration | None = None,
        branches: Sequence[str] = (),
        bit_depth: int = 16,
        model: str = "",
        rows: int = 20,
    ) -> None:
        if (plan.masks or plan.heatmaps) and calibration is None:
            raise ConfigError(
                "Heat maps and masks need limits, and this model is not calibrated. Run: "
                "blemish calibrate MODEL GOOD_DIR"
            )
        self.plan = plan
        self.bit_depth = bit_depth
        self.tally = Tally(limit=rows)
        self.done = Done()
        self.reasons: list[tuple[Path, str]] = []
        self._lines: list[LineSink] = []
        if plan.csv is not None:
            self._lines.append(
                CsvSink(plan.csv, branches=branches, model=model, append=plan.resume)
            )
        if plan.json is not None:
            self._lines.append(
                JsonLinesSink(plan.json, calibration=calibration, model=model, append=plan.resume)
            )
        self._masks = MaskSink(plan.masks, root=root) if plan.masks else None
        self._overlays = None
        if plan.heatmaps and calibration:
            self._overlays = OverlaySink(plan.heatmaps, root=root, calibration=calibration)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self.plan.resume:
            self.done = take_up(self._lines, self.tally)
        with ExitStack() as opening:
            for sink in self._lines:
                opening.enter_context(sink)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def left(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples that the earlier run has not judged, in order."""
        done, left = self.done.split(samples)
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
                self._overlays.write(prediction, read_image(path, bit_depth=self.bit_depth))
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
    model: Inspector,
    samples: Sequence[Sample],
    *,
    product: str | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> None:
    """Judge samples and write everything down as it comes; what is done already is passed over.

    Args:
        outputs: Entered.
        model: Judges.
        samples: All images of the run.
        product: Product of samples that do not say theirs.
        batch_size: Images per call of the network.
        progress: Where progress is shown.

    Example: see ``docs/predict.md``.
    """
    left = outputs.left(samples)
    before = len(samples) - len(left)
    with (progress or Progress(quiet=True)).task("Judging", len(samples), done=before) as task:

        def on_error(path: Path, error: ImageError) -> None:
            outputs.fail(path, error)
            task.advance()

        for prediction in model.predict(
            left, product=product, batch_size=batch_size, on_error=on_error
        ):
            outputs.write(prediction)
            task.advance()
