"""Training and calibration split: which good pictures train and which calibrate, groups whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from blemish._progress import Progress
from blemish.data.equal_pictures import looks_of, together
from blemish.data.grouping import count_groups, grouped
from blemish.data.sample import HOLD_OUT_SHARE, DataSet, Sample, hold_out
from blemish.data.sources import ImageSource, labelled_defects
from blemish.errors import DataError


class Sides(NamedTuple):
    """Who trains, who calibrates, and what the user should know of it.

    Attributes:
        kept: Good samples that train.
        held: Good samples that training does not see.
        defects: Labelled defects, which train.
        groups: What the model file says of groups: by product the pattern (``by``), empty for a
            table or what the data set brings, and the ``names`` of those that train.
        notes: One sentence each.
        learned: Digests of the good samples that train, by path.
    """

    kept: list[Sample]
    held: list[Sample]
    defects: list[Sample]
    groups: dict[str, dict[str, Any]]
    notes: list[str]
    learned: dict[Path, bytes]


def sides(
    good: Sequence[Sample],
    validation: Sequence[Sample],
    defects: Sequence[Sample],
    *,
    group: str,
    share: float | None,
    cross_fits: bool,
    seed: int,
    progress: Progress | None = None,
    bit_depth: int = 16,
) -> Sides:
    """Put groups together and take the calibrating ones apart.

    Args:
        good: Good training samples.
        validation: Good samples that the data set sets aside for calibration.
        defects: Labelled defects that train.
        group: As of :func:`blemish.data.grouping.grouped`.
        share: Share of the training samples to hold out where nothing else calibrates; ``None``
            for none where the method cross-fits, else a fifth.
        cross_fits: Whether the method measures its training images by the others.
        seed: Seed of the draw.
        progress: Where progress is shown.
        bit_depth: Bits used in 16-bit images.

    Raises:
        ConfigError: A share or group that cannot be used.
        DataError: A table of groups that cannot be read, or a good image among the defects.
    """
    _check_apart(good, defects)
    found = grouped([*good, *validation, *defects], group)
    known = len(good) + len(validation)
    compared = found.samples[:known]
    looks = looks_of(compared, progress=progress or Progress(quiet=True), bit_depth=bit_depth)
    alike, said = together(compared, looks, near=group != "none")
    # From here on it is known of each, so that nobody guesses again on a part of them.
    settled = [replace(s, group=s.together or "") for s in (*alike, *found.samples[known:])]
    kept, given, labelled = settled[: len(good)], settled[len(good) : known], settled[known:]
    notes = [*found.said, *said]
    trained = _names([*kept, *labelled])
    held = [s for s in given if (s.product, s.together) not in trained]
    if len(held) < len(given):
        notes.append(
            f"{len(given) - len(held)} of {len(given)} good validation images are of groups that "
            "train, and do not calibrate."
        )
    if held and share is not None:
        hold_out([], share, seed)  # an impossible share is refused all the same
        notes.append("The good validation images alone calibrate; no training image was held out.")
    if not held and not (share is None and cross_fits):
        kept, held = hold_out(
            kept, HOLD_OUT_SHARE if share is None else share, seed, training=labelled
        )
    for product in dict.fromkeys(s.product for s in good):
        own = [s for s in settled[: len(good)] if s.product == product]
        if len(own) > 1 and count_groups(own) == 1:
            notes.append(
                f"{product}: all {len(own)} good images are of one group, which nothing measures "
                "as new: none of them calibrates. Give further groups, or name smaller ones with "
                "--group."
            )
    groups: dict[str, dict[str, Any]] = {}
    trains = {id(s) for s in (*kept, *labelled)}
    before = [s for s, now in zip(found.samples, settled, strict=True) if id(now) in trains]
    for product, name in sorted(_names(before)):  # not those named after a file
        entry = groups.setdefault(product, {"by": found.rules.get(product, ""), "names": []})
        entry["names"].append(name)
    pairs = zip(settled[:known], looks, strict=True)
    learned = {s.path: look.digest for s, look in pairs if look is not None and id(s) in trains}
    return Sides(kept, held, labelled, groups, notes, learned)


def check_asked(
    data_set: DataSet, defects: ImageSource | None, group: str, *, bit_depth: int = 16
) -> None:
    """Refuse labelled defects and groups that cannot be meant, before any picture is compared.

    Raises:
        DataError: Defects that are none, or are among the good images; a table of groups that
            cannot be read.
        ConfigError: A group that cannot be used.
    """
    good = [s for s in data_set.samples if s.is_good and s.split != "test"]
    labelled: tuple[Sample, ...] = ()
    if defects is not None:
        labelled = labelled_defects(defects, bit_depth=bit_depth)
    _check_apart(good, labelled)
    grouped([*good, *labelled], group)


def _check_apart(good: Sequence[Sample], defects: Sequence[Sample]) -> None:
    known = {s.path.resolve() for s in good if s.image is None}
    for sample in defects:
        if sample.image is None and sample.path.resolve() in known:
            raise DataError(
                f"{sample.path} is among the good images and among the labelled defects. "
                "Take it out of one of them."
            )


def _names(samples: Sequence[Sample]) -> set[tuple[str, str]]:
    return {(s.product, s.together) for s in samples if s.together is not None}
