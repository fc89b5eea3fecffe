"""Good records: what calibration keeps of good images, each known by the very bytes judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish._progress import Important, Progress
from blemish.calibration import Calibration, CalibrationRecord, image_identity
from blemish.calibration.good_scores import known_as, same_image
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import Loaded, learnable_input
from blemish.errors import CalibrationError, ImageError
from blemish.inspection.good_groups import GoodGroups
from blemish.inspection.pipeline import OnError
from blemish.results import UNKNOWN_PRODUCT, Prediction

Judge = Callable[..., Iterable[tuple[Sample, Prediction]]]


#: Share of the pictures that show a product below which they move nobody's limits.
_STRAYS = 0.1


def good_records(
    judge: Judge,
    groups: GoodGroups,
    *,
    progress: Progress,
    on_error: OnError | None,
    recognise: bool = False,
) -> list[CalibrationRecord]:
    """Judge good images for their limits.

    Of no named product they are of the one that the model takes them for, where ``recognise`` asks
    for it: as :meth:`predict` judges them. Strays calibrate nothing.

    Args:
        judge: :meth:`blemish.inspector.Inspector.judge_samples` of the model.
        groups: Good images, and the groups that they are of.
        progress: Where progress is shown.
        on_error: Called for each unreadable image; ``None`` raises.
        recognise: Whether the model may say which product an image shows.

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

        return learnable_input(sample, preprocessing, seen=seen)

    def note(path: Path, error: ImageError) -> None:
        unread.append(error)
        if on_error is None:
            raise error
        on_error(path, error)

    samples = groups.samples
    pairs = judge(samples, calibration=None, on_error=note, load=load)
    shown: dict[int, str] = {}  # of images of no named product, which they show without a doubt

    def record(sample: Sample, prediction: Prediction) -> CalibrationRecord:
        product = sample.product
        if recognise and not product:
            clear = prediction.recognised not in (None, UNKNOWN_PRODUCT) and not prediction.rival
            product = shown[id(sample)] = str(prediction.recognised) if clear else ""
        return CalibrationRecord.of(prediction, known.get(sample.path, ""), product)

    judged = [
        (sample, record(sample, prediction))
        for sample, prediction in progress.track(pairs, "Calibrating", len(samples))
    ]
    records = groups.name(_without_strays(judged, shown, groups.notes))
    if unread and not records:
        raise CalibrationError(
            f"None of the {len(samples)} images could be read, so that no limit can be set: "
            f"{unread[0]}"
        )
    return records


def to_exclude(
    samples: Iterable[Sample], calibration: Calibration | None
) -> list[CalibrationRecord]:
    """Records that name the images to take out of limits, of the product that each is behind."""
    there = {
        same_image(image): group.product
        for group in (() if calibration is None else calibration.groups)
        for image in group.images
        if image
    }
    known = [(sample.product, known_as(sample)) for sample in samples]
    return [
        CalibrationRecord(product or there.get(same_image(image)), 0.0, 0.0, image=image)
        for product, image in known
    ]


def _without_strays(
    judged: list[tuple[Sample, CalibrationRecord]], shown: Mapping[int, str], notes: list[str]
) -> list[tuple[Sample, CalibrationRecord]]:
    """Without images that few others are taken for the same as: one of them makes no limit.

    Where none is recognised, they stay, as of no known product.
    """
    counts = Counter(shown.values())
    usual = {name for name, count in counts.items() if name and count > _STRAYS * len(shown)}
    if not usual:
        return [(s, replace(r, product=None) if id(s) in shown else r) for s, r in judged]
    told = ", ".join(f"{counts[name]} show {name}" for name in sorted(usual))
    notes.append(f"Of {len(shown)} images of no named product the model says that {told}.")
    strays = [s for s, _ in judged if id(s) in shown and shown[id(s)] not in usual]
    if strays:
        first = strays[0]
        taken = shown[id(first)] or "no product, or more than one"
        notes.append(
            Important(
                f"{len(strays)} of them, such as {first.path.name} (looks like {taken}), are left "
                "out and move no limit. If they show one product, name it with --product."
            )
        )
    left = {id(sample) for sample in strays}
    return [(sample, record) for sample, record in judged if id(sample) not in left]
