"""Learned images: digests of the good pictures that trained, to tell them when they come back.

What a model has learned scores lower than anything new, and limits from it would be too low. Eight
characters a picture are kept in the model file, 1.2 MB of 150,000.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from blemish._progress import Important
from blemish.calibration import Calibration, CalibrationRecord
from blemish.calibration.good_scores import same_image
from blemish.data.equal_pictures import content_of, digest_of
from blemish.data.sample import Sample
from blemish.errors import CalibrationError, ImageError

#: Where a model file keeps them.
LEARNED_IMAGES = "learned_images"
_BYTES = 6  # of a digest, as many as an image is known by in a calibration


def packed(digests: Iterable[bytes], before: str = "") -> str:
    """Digests as text for the model file, with those that stand there ``before``.

    Example:
        >>> from blemish.inspection.learned_images import packed
        >>> packed([b"twelve bytes", b"another ones"])
        'YW5vdGhldHdlbHZl'
    """
    new = {digest[:_BYTES] for digest in digests} | _unpacked(before)
    return base64.b64encode(b"".join(sorted(new))).decode()


def learned_note(samples: Sequence[Sample], training: Mapping[str, Any]) -> str:
    """A sentence where test images have trained the model; else nothing."""
    learned = _learned(samples, training)
    if not learned:
        return ""
    return Important(
        f"{len(learned)} of the {len(samples)} test images, such as {learned[0][0].path.name}, "
        "have trained the model as good ones, which scores them too low: of new parts they say "
        "nothing. Measure on others."
    )


def not_learned(
    samples: Sequence[Sample], training: Mapping[str, Any], current: Calibration | None
) -> tuple[list[Sample], list[str]]:
    """Good samples that may set limits, and a sentence where some may not.

    An image that trained may where it was measured by the others, in the ``current`` limits.

    Raises:
        CalibrationError: None is left.
    """
    measured = _measured(current)
    learned = [s for s, digest in _learned(samples, training) if digest.hex() not in measured]
    if not learned:
        return list(samples), []
    if len(learned) == len(samples):
        raise _all_learned(len(samples), learned[0].path.name)
    gone = {id(sample) for sample in learned}
    note = Important(
        f"The model was trained on {len(learned)} of the {len(samples)} images, such as "
        f"{learned[0].path.name}, which do not calibrate: what was learned scores lower than what "
        "is new."
    )
    return [sample for sample in samples if id(sample) not in gone], [note]


def records_not_learned(
    records: Sequence[CalibrationRecord], learned: str, current: Calibration | None
) -> list[CalibrationRecord]:
    """As :func:`not_learned`, of images already judged; ``learned`` is what :func:`packed` made.

    Raises:
        CalibrationError: None is left.
    """
    trained = {digest.hex() for digest in _unpacked(learned)} - _measured(current)
    left = [record for record in records if same_image(record.image) not in trained]
    if records and not left:
        raise _all_learned(len(records), records[0].image.rpartition("#")[0])
    return left


def _measured(current: Calibration | None) -> set[str]:
    groups = () if current is None else current.groups
    return {same_image(image) for group in groups for image in group.images if image}


def _all_learned(count: int, first: str) -> CalibrationError:
    given = "the one image given, " if count == 1 else f"all {count} images, such as "
    return CalibrationError(
        f"The model was trained on {given}{first}: what was learned scores lower than what is new, "
        "and limits from it would stop good parts. Give good images that training has not seen, or "
        "set some aside when you train: blemish fit … --hold-out 0.2"
    )


def _unpacked(text: str) -> frozenset[bytes]:
    content = base64.b64decode(text)
    return frozenset(content[at : at + _BYTES] for at in range(0, len(content), _BYTES))


def _learned(samples: Iterable[Sample], training: Mapping[str, Any]) -> list[tuple[Sample, bytes]]:
    """The samples that trained, with their digests; of a file that cannot be read others tell."""
    known = _unpacked(training.get(LEARNED_IMAGES, ""))
    found = []
    for sample in samples if known else ():
        with suppress(ImageError):
            digest = digest_of(content_of(sample))[:_BYTES]
            if digest in known:
                found.append((sample, digest))
    return found
