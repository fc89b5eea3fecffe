"""Influential images in a report: the good ones that each limit rests on, as far as they are there.

A report is asked for with a data set, which is mostly the one that was learned from: its good
images are found again by name and content.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blemish.calibration import Calibration
from blemish.calibration.good_scores import known_as, same_image
from blemish.calibration.limit_setters import LimitSetters, image_name, limit_setters
from blemish.data.sample import Sample
from blemish.errors import ImageError
from blemish.report.pictures import small_picture

_MOST = 60  # pictures in all


@dataclass(frozen=True)
class SetterPicture:
    """One good image that a limit rests on.

    Attributes:
        name: Its file's name.
        picture: The image as a data URI, ``None`` where its file is not in the data set.
        size: ``(width, height)`` of the picture.
    """

    name: str
    picture: str | None = None
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ShownSetters:
    """What one product's limit rests on, and its images.

    Attributes:
        setters: What was found.
        pictures: One per image that has a name, the highest score first.
    """

    setters: LimitSetters
    pictures: tuple[SetterPicture, ...]


def shown_setters(
    calibration: Calibration | None, samples: Iterable[Sample], *, bit_depth: int = 16
) -> dict[str, ShownSetters]:
    """By product what its limit rests on; empty without limits, or where no image has a name.

    Args:
        calibration: The limits.
        samples: Where the images are looked for.
        bit_depth: Bits used in 16-bit images.
    """
    named = [] if calibration is None else [s for s in limit_setters(calibration) if s.names]
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.path.name, []).append(sample)
    left = _MOST
    found: dict[str, ShownSetters] = {}
    for setters in named:
        pictures = []
        for image in filter(None, setters.images):
            picture = None
            if left > 0:
                picture = _picture(image, by_name.get(image_name(image), []), bit_depth)
            left -= picture is not None
            pictures.append(picture or SetterPicture(image_name(image)))
        found[setters.product or ""] = ShownSetters(setters, tuple(pictures))
    return found


def _picture(image: str, called: list[Sample], bit_depth: int) -> SetterPicture | None:
    for sample in called:
        try:
            if same_image(known_as(sample)) == same_image(image):
                uri, size = small_picture(sample.path, bit_depth=bit_depth)
                return SetterPicture(image_name(image), uri, size)
        except (OSError, ImageError):
            continue
    return None
