"""Image registration: how a picture is turned and shifted against a reference, by correlation.

Coarse to fine, on grey copies: every turn and shift within the range that is searched is tried at
64 pixels, so that no start can be missed, and the best is refined by maximising the enhanced
correlation coefficient (Evangelidis and Psarakis, PAMI 2008) at 128 and 256. Only what both show
counts. OpenCV does the work: it has all three steps, at 0.3 s to import and without torch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blemish.errors import MissingExtraError

#: Pixels of the longer side at which the fine step works; a reference is kept at this size.
SIDE = 256
#: Degrees and shares of the sides that are found from wherever a part lies within them.
TURN, SHIFT = 10.0, 0.1
#: Searched beyond that, so that what lies at the edge is found as well as the rest.
_BEYOND = 1.2
_COARSE = 64
_STEP = 2.0  # degrees between the turns that are tried; ECC finds its way from half of it
_BLUR = 5  # pixels of the Gaussian window that both are smoothed by
_LEAST_SHARED = 0.5  # of the reference, that a picture must show to be compared with it

Grey = NDArray[np.float32]


class Found(NamedTuple):
    """Where a picture lies: turned about its middle by ``angle`` degrees, then shifted.

    A positive angle turns clockwise, as rows count downwards. ``right`` and ``down`` are shares of
    the sides. ``quality`` is the correlation with the reference once that is undone, up to 1.
    """

    angle: float
    right: float
    down: float
    quality: float

    @property
    def in_range(self) -> bool:
        """Whether it lies where it is certain to be found."""
        return abs(self.angle) <= TURN * _BEYOND and max(abs(self.right), abs(self.down)) <= (
            SHIFT * _BEYOND
        )


def opencv() -> Any:
    """OpenCV, or what to install."""
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtraError("Aligning pictures", "align") from error
    return cv2


def resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """``(H, W[, C])`` at a size ``(h, w)``, averaging what is made smaller."""
    if pixels.shape[:2] == size:
        return pixels
    cv2 = opencv()
    small: NDArray[np.uint8] = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return small


def to_grey(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` to grey at a size ``(h, w)``, averaging what is made smaller."""
    cv2 = opencv()
    grey: NDArray[np.uint8] = cv2.cvtColor(resized(pixels, size), cv2.COLOR_RGB2GRAY)
    return grey


def working_size(source: tuple[int, int], side: int = SIDE) -> tuple[int, int]:
    """``(h, w)`` of a picture ``(H, W)``, its longer side ``side``."""
    longer = max(source)
    height, width = (max(8, round(side * own / longer)) for own in source)
    return height, width


def turning(angle: float, right: float, down: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """``(2, 3)``: from a pixel ``(x, y)`` of the reference to that of a picture of one size."""
    height, width = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = middle - turn @ middle + [right * width, down * height]
    return np.concatenate([turn, shift[:, None]], 1)


def register(
    reference: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    looked_at: NDArray[np.bool_] | None = None,
) -> Found:
    """Where a picture lies against a reference.

    Args:
        reference: ``(h, w)`` uint8.
        picture: The same.
        looked_at: ``(h, w)`` bool, what of the reference counts; ``None``: all of it.
    """
    cv2 = opencv()
    size = reference.shape[0], reference.shape[1]
    mask = np.full(size, 255, np.uint8)
    if looked_at is not None:  # what is blurred into it must not show either
        mask = cv2.erode(looked_at.astype(np.uint8) * 255, np.ones((_BLUR, _BLUR), np.uint8))
    best = _coarse(reference, picture, mask)
    for side in (SIDE // 2, SIDE):
        best = _refined(reference, picture, mask, best, working_size(size, side))
    return best


def _coarse(
    reference: NDArray[np.uint8], picture: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> Found:
    """The best of all turns and shifts that are tried."""
    cv2 = opencv()
    size = working_size((reference.shape[0], reference.shape[1]), _COARSE)
    small, other, own = (resized(one, size) for one in (reference, picture, mask))
    height, width = size
    tall, wide = (max(1, math.ceil(SHIFT * _BEYOND * side)) for side in size)
    padded = cv2.copyMakeBorder(other, tall, tall, wide, wide, cv2.BORDER_REPLICATE)
    best = Found(0.0, 0.0, 0.0, -1.0)
    steps = math.ceil(TURN * _BEYOND / _STEP)
    for angle in (np.arange(-steps, steps + 1) * _STEP).tolist():
        back = turning(angle, 0, 0, size)
        template = cv2.warpAffine(small, back, (width, height), borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(own, back, (width, height), borderMode=cv2.BORDER_REPLICATE)
        found = cv2.matchTemplate(
            padded, template, cv2.TM_CCOEFF_NORMED, mask=(inside > 127).astype(np.float32)
        )
        found = np.where(np.isfinite(found), found, -1.0)
        row, column = np.unravel_index(int(found.argmax()), found.shape)
        quality = float(found[row, column])
        if quality > best.quality:
            best = Found(angle, (int(column) - wide) / width, (int(row) - tall) / height, quality)
    return best


def _refined(
    reference: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    start: Found,
    size: tuple[int, int],
) -> Found:
    """The nearest place of the highest correlation, or the start where that is none worse."""
    cv2 = opencv()
    small, other, own = (resized(one, size) for one in (reference, picture, mask))
    own = np.where(own > 254, 255, 0).astype(np.uint8)
    whole = np.full(size, 255, np.uint8)
    matrix = turning(start.angle, start.right, start.down, size).astype(np.float32)
    enough = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-5)
    start = start._replace(quality=_quality(small, other, own, start))
    try:
        _, matrix = cv2.findTransformECCWithMask(
            small, other, own, whole, matrix, cv2.MOTION_EUCLIDEAN, enough, _BLUR
        )
    except cv2.error:  # there is no such place: nothing that both show
        return start
    found = _read(matrix.astype(np.float64), size)
    found = found._replace(quality=_quality(small, other, own, found))
    return found if found.quality >= start.quality else start


def _read(matrix: NDArray[np.float64], size: tuple[int, int]) -> Found:
    """The inverse of :func:`turning`."""
    height, width = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    right, down = matrix[:, :2] @ middle + matrix[:, 2] - middle
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return Found(angle, float(right / width), float(down / height), -1.0)


def _quality(
    reference: NDArray[np.uint8], picture: NDArray[np.uint8], mask: NDArray[np.uint8], at: Found
) -> float:
    """Correlation of what both show, smoothed; −1 where that is too little or without contrast."""
    cv2 = opencv()
    size = reference.shape[0], reference.shape[1]
    matrix = turning(at.angle, at.right, at.down, size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    both = (reference.astype(np.float32), picture.astype(np.float32))
    one, other = (cv2.GaussianBlur(each, (_BLUR, _BLUR), 0) for each in both)
    back = cv2.warpAffine(other, matrix, size[::-1], flags=flags, borderValue=(-1.0,))
    counts = (mask > 0) & (back >= 0)
    if counts.sum() < _LEAST_SHARED * max(1, (mask > 0).sum()):
        return -1.0
    a, b = one[counts].astype(np.float64), back[counts].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else -1.0
