"""Crop to the part: a frame of one size around the part, so that it fills the network's input.

The frame lies at a fixed place, where a region of interest says it or pictures are aligned; else
around the part of each picture, which is the largest connected area that stands out against an
even background (background subtraction: the colour of the picture's border, Otsu's threshold).
What lies outside the frame is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.registration import opencv, resized, working_size
from blemish.errors import ConfigError

#: Share of a picture's border that must be background, for it to be an even one.
EVEN = 0.8
#: Share of a picture that a part takes at least.
_LEAST = 0.01
#: Grey values by which a part differs from the background at least.
_STANDS_OUT = 10.0
_BORDER = 0.03  # share of the longer side
#: By this factor a part may be larger than the frame: some is always cut off by the rounding.
_SPARE = 1.02


class Standing(NamedTuple):
    """The part of a picture: its box as shares of the sides, and how even the background is.

    ``even`` is the share of the border that is background, from 0 to 1.
    """

    top: float
    left: float
    bottom: float
    right: float
    even: float

    @property
    def middle(self) -> tuple[float, float]:
        """Down and right, as shares of the sides."""
        return round((self.top + self.bottom) / 2, 4), round((self.left + self.right) / 2, 4)

    @property
    def found(self) -> bool:
        """Whether there is one, before an even background."""
        return self.even >= EVEN and self.bottom > self.top


def find_part(pixels: NDArray[np.uint8]) -> Standing:
    """The largest connected area of a picture ``(H, W, 3)`` that stands out against its border.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.crop import find_part
        >>> picture = np.full((64, 64, 3), 200, np.uint8)
        >>> picture[16:48, 8:40] = 60
        >>> part = find_part(picture)
        >>> part.found, [round(64 * side) for side in part[:4]]
        (True, [16, 8, 48, 40])
    """
    cv2 = opencv()
    size = working_size((pixels.shape[0], pixels.shape[1]))
    small = resized(pixels, size).astype(np.float32)
    ring = np.ones(size, np.bool_)
    wide = max(2, round(_BORDER * max(size)))
    ring[wide:-wide, wide:-wide] = False
    apart = np.abs(cv2.blur(small, (3, 3)) - np.median(small[ring], axis=0)).max(2)  # (h, w)
    grey = np.clip(apart, 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    # A part of several colours has some that are near the background's: no higher than needed.
    noise = 3 * float(np.quantile(apart[ring], 0.9))
    limit = max(_STANDS_OUT, min(float(otsu), noise))
    stands = (apart > limit).astype(np.uint8)
    stands = cv2.morphologyEx(stands, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(stands)
    even = float((apart[ring] <= limit).mean())
    if count < 2:
        return Standing(0.0, 0.0, 0.0, 0.0, even)
    left, top, width, height, area = stats[1 + int(stats[1:, 4].argmax())].tolist()
    if area < _LEAST * size[0] * size[1]:
        return Standing(0.0, 0.0, 0.0, 0.0, even)
    return Standing(
        *(top / size[0], left / size[1]),
        *((top + height) / size[0], (left + width) / size[1]),
        even,
    )


@dataclass(frozen=True)
class PartCrop:
    """A frame around the part.

    Attributes:
        height, width: Shares of a picture's sides.
        middles: Name of a product, empty for every one, and the middle of its frame as shares of
            the sides ``(y, x)``; ``None``: that of the part, wherever a picture shows it.

    Example:
        >>> from blemish.data.images.crop import PartCrop
        >>> PartCrop(0.5, 0.25, (("", (0.5, 0.9)),)).frame((100, 200))
        (50, 50)
    """

    height: float
    width: float
    middles: tuple[tuple[str, tuple[float, float] | None], ...]

    def frame(self, source: tuple[int, int]) -> tuple[int, int]:
        """``(h, w)`` of the frame in a picture of size ``(H, W)``."""
        height, width = (
            min(side, max(1, round(share * side)))
            for share, side in zip((self.height, self.width), source, strict=True)
        )
        return height, width

    def place(
        self, pixels: NDArray[np.uint8], product: str
    ) -> tuple[tuple[int, int, int, int], str]:
        """Top, left, height, width of the frame in a picture ``(H, W, 3)``, and what is wrong.

        The frame never reaches over the border. A part that was not found, or that does not fit, is
        a fault; the frame then lies in the middle of the picture, or around the part's.
        """
        source, fault = (pixels.shape[0], pixels.shape[1]), ""
        middles = dict(self.middles)
        middle = middles.get(product, middles.get(""))
        if middle is None:
            part = find_part(pixels)
            middle = part.middle
            if not part.found:
                middle = (0.5, 0.5)
                fault = (
                    "Its part was not found: nothing stands out against an even background (of the "
                    f"border {100 * part.even:.0f} % are even, {100 * EVEN:.0f} % are needed). The "
                    "middle of it was judged. Does it show the part, alone and whole?"
                )
            elif (
                part.bottom - part.top > self.height * _SPARE
                or part.right - part.left > self.width * _SPARE
            ):
                fault = (
                    "Its part does not fit the frame: it takes "
                    f"{100 * (part.bottom - part.top):.0f} % of the height and "
                    f"{100 * (part.right - part.left):.0f} % of the width, and the frame of the "
                    f"good pictures {100 * self.height:.0f} and {100 * self.width:.0f}. What "
                    "reaches beyond was not judged. Is there something beside it?"
                )
        height, width = self.frame(source)
        top, left = (
            min(max(0, round(at * side - own / 2)), side - own)
            for at, side, own in zip(middle, source, (height, width), strict=True)
        )
        return (top, left, height, width), fault

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        middles = {name: middle and list(middle) for name, middle in self.middles}
        return {"height": self.height, "width": self.width, "middles": middles}

    @classmethod
    def from_json(cls, values: Any) -> PartCrop:
        """The inverse of :meth:`to_json`; :class:`ConfigError` for what is none of its values."""
        try:
            shares = float(values["height"]), float(values["width"])
            middles = tuple(
                (str(name), None if middle is None else (float(middle[0]), float(middle[1])))
                for name, middle in values["middles"].items()
            )
            numbers = [*shares, *(one for _, middle in middles for one in middle or ())]
            if not middles or not all(0 <= number <= 1 for number in numbers) or not all(shares):
                raise ValueError(f"{numbers} are no shares of a picture")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The crop {values} is not one this version knows ({error}).") from (
                error
            )
        return cls(*shares, middles)
