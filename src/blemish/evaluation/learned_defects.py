"""Test contamination: labelled defects that a model has learned from, kept out of its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blemish.calibration.good_scores import known_as, same_image
from blemish.data.sample import Sample

#: Where a model file says what it has learned from.
LEARNED = "labelled_images"


def without_learned(
    samples: Sequence[Sample], training: Mapping[str, Any]
) -> tuple[list[Sample], str]:
    """The samples without the labelled defects that trained, and a sentence where there are some.

    Files are compared by content, wherever they lie; images in memory cannot be.

    Args:
        samples: Test images.
        training: What the model file says of the training.
    """
    learned = {same_image(identity) for identity in training.get(LEARNED, ())}
    if not learned:
        return list(samples), ""
    kept = [s for s in samples if s.is_good or not _is_one_of(s, learned)]
    gone = len(samples) - len(kept)
    said = (
        f"{gone} of the {len(samples)} test images are labelled defects that the model has learned "
        "from, and are left out: of new ones they say nothing."
    )
    return kept, said if gone else ""


def identities(samples: Iterable[Sample]) -> tuple[str, ...]:
    """What labelled defects are known by in a model file; images in memory by nothing."""
    return tuple(filter(None, map(known_as, samples)))


def _is_one_of(sample: Sample, learned: set[str]) -> bool:
    if sample.image is None and not sample.path.is_file():
        return False  # judging says so
    identity = known_as(sample)
    return bool(identity) and same_image(identity) in learned
