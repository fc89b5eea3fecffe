"""Good records: what calibration keeps of good images, each known by the very bytes judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish._progress import Progress
from blemish.calibration import CalibrationRecord, image_identity
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import Loaded, load_input
from blemish.errors import CalibrationError, ImageError
from blemish.inspection.good_groups import GoodGroups
from blemish.inspection.pipeline import OnError
from blemish.results import Prediction

Judge = Callable[..., Iterable[tuple[Sample, Prediction]]]


def good_records(
    judge: Judge, groups: GoodGroups, *, progress: Progress, on_error: OnError | None
) -> list[CalibrationRecord]:
    """Judge good images for their limits.

    Args:
        judge: :meth:`blemish.inspector.Inspector.judge_samples` of the model.
        groups: Good images, and the groups that they are of.
        progress: Where progress is shown.
        on_error: Called for each unreadable image; ``None`` raises.

    Raises:
        CalibrationError: There are images, and none of them can be read.
        ImageError: An image cannot be read and ``on_error`` is ``None``.
    """
    unread: list[ImageError] = []
    known: dict[Path, str] = {}  # by its content, that of the very file that is judged

    def load(sample: Sample, preprocessing: Preprocessing) -> Loaded:
        def seen(content: bytes, pixels: NDArray[np.uint8]) -> None:
            known[sample.path] = image_identity(sample.path.name, content)
            groups.look(sample, content, pixels)

        return load_input(sample, preprocessing, seen=seen)

    def note(path: Path, error: ImageError) -> None:
        unread.append(error)
        if on_error is None:
            raise error
        on_error(path, error)

    samples = groups.samples
    pairs = judge(samples, calibration=None, on_error=note, load=load)
    records = groups.name(
        (sample, CalibrationRecord.of(prediction, known.get(sample.path, ""), sample.product))
        for sample, prediction in progress.track(pairs, "Calibrating", len(samples))
    )
    if unread and not records:
        raise CalibrationError(
            f"None of the {len(samples)} images could be read, so that no limit can be set: "
            f"{unread[0]}"
        )
    return records
