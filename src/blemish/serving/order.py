"""Order: what a request or a camera wants judged, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from blemish.calibration.parts import PartVerdict
from blemish.inspection.network import NetworkOutput
from blemish.results import Prediction
from blemish.serving.drawing import MapKind, drawn_anew
from blemish.serving.limits import RefusalError

#: Whether to keep a picture that was judged; the network's answer is not held longer than that.
Look = Callable[[NetworkOutput, Prediction], bool]


class Delivery(Protocol):
    """Sends verdicts to the line."""

    def take(
        self,
        prediction: Prediction,
        *,
        part: str | None,
        views: int | None,
        taken: float | None,
        draw: Callable[[], Image.Image],
    ) -> None:
        """That of a picture, with the part it is of and when it was taken.

        ``draw`` gives the overlay where somebody wants it: a client's name for a picture is no
        file.
        """

    def take_part(self, found: PartVerdict) -> None:
        """That of a part of several views."""

    def tell(self, product: str | None, sentence: str) -> None:
        """An alarm: that a product has changed."""


@dataclass(frozen=True)
class Upload:
    """One uploaded file, or a picture of a camera, which is no file yet."""

    name: str  # as the client calls it, made safe to show; never opened
    content: bytes = field(repr=False)  # not yet looked at; empty where there are pixels
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False)  # (H, W, 3)
    taken: float | None = None  # seconds since 1970, where a camera says it

    @cached_property
    def file(self) -> bytes:
        """The content; a camera's picture as PNG, so that it is judged again as it was."""
        return self.content if self.pixels is None else drawn_anew(self.pixels)[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.file).hexdigest()


class Order(BaseModel, frozen=True):
    """What a request wants done with its images, as its query says it."""

    product: str | None = Field(default=None, max_length=200)
    keep: bool = Field(default=False, description="keep them in the history, for the page")
    map: MapKind | None = Field(default=None, description="add a picture of the map")
    name: str | None = Field(default=None, description="of a raw image")
    part: str | None = Field(
        default=None, max_length=120, description="which part it is; goes along with --send"
    )
    views: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="pictures of that part, where they come in several requests; default: those of "
        "this one",
    )


@dataclass(frozen=True)
class Judged:
    """One image of a request, judged."""

    name: str
    prediction: Prediction  # maps at the source image's size taken out
    size: tuple[int, int]  # (H, W) of the source image
    version: int  # number of the calibration it was judged by
    id: int | None  # in the history, where it was kept
    map_png: bytes | None  # the picture of the map that was asked for
    not_kept: RefusalError | None = None  # why it was not kept although that was asked for


@dataclass(frozen=True)
class NotJudged:
    """One image of a request for which there is no answer."""

    name: str
    refusal: RefusalError
