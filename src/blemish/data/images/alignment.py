"""Alignment: parts that lie a little differently each time, turned back to a reference.

The reference of a product is one of its good pictures, kept small in the model file. A picture is
registered to it (:mod:`blemish.data.images.registration`) and turned back at its own size, before
regions of interest, scaling and tiles, in training as in judging. What then comes in from outside
is taken from the reference; what falls out of the frame is not looked at. One whose correlation
with the reference is lower than that of good pictures, or that lies outside the range, cannot be
aligned, and that is what is said of it.
"""

from __future__ import annotations

import base64
import io
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.registration import (
    SHIFT,
    TURN,
    Found,
    opencv,
    register,
    resized,
    to_grey,
    turning,
    working_size,
)
from blemish.data.images.roi import RegionOfInterest
from blemish.errors import ConfigError, ImageError
from blemish.results import PartPose

#: Largest relative difference of two shapes that are the same.
_ALIKE = 0.02
#: Pixels of a reference's longer side: what a network sees of a picture is seldom more.
KEPT = 512
#: Pixels of the longer side at which the light of a picture and a reference are compared.
_LIGHT = 256
#: OpenCV counts the pixels of what it warps in 16 bits.
_LONGEST = 32_000


@dataclass(frozen=True)
class Reference:
    """A good picture that those of its product are registered to.

    Attributes:
        picture: ``(h, w, 3)``, as JPEG in base64.
        limit: Correlation below which a picture cannot be aligned.
        usual: That of the good pictures, in the middle.
        name: The picture's name.
    """

    picture: str
    limit: float
    usual: float
    name: str

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], limit: float, usual: float, name: str) -> Reference:
        """From the picture ``(h, w, 3)`` uint8 itself, at its working size."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=92, subsampling=0)
        return cls(base64.b64encode(file.getvalue()).decode("ascii"), limit, usual, name)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """``(h, w, 3)`` uint8, read-only."""
        return _opened(self.picture)

    @property
    def size(self) -> tuple[int, int]:
        """``(h, w)`` of what is kept."""
        return _size(self.pixels)


@dataclass(frozen=True)
class Alignment:
    """The reference of each product.

    Attributes:
        references: Name of a product, and its reference; ``None`` for those that are not aligned.
            The only product of a model has the empty name: it need not be named.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.alignment import Alignment, Reference
        >>> part = np.zeros((64, 64, 3), np.uint8)
        >>> part[20:40, 16:30] = 200
        >>> reference = Reference.of(part, 0.5, 1.0, "part.png")
        >>> alignment = Alignment((("", reference),))
        >>> _, pose = alignment.align(np.roll(part, 3, 1), "")
        >>> pose.aligned, round(64 * pose.right), round(64 * pose.down)
        (True, 3, 0)
    """

    references: tuple[tuple[str, Reference | None], ...]

    @property
    def names_products(self) -> bool:
        """Whether references differ by product."""
        return any(name for name, _ in self.references)

    def align(
        self,
        pixels: NDArray[np.uint8],
        product: str,
        roi: RegionOfInterest | None = None,
        *,
        name: str = "A picture",
    ) -> tuple[NDArray[np.uint8], PartPose | None]:
        """A picture ``(H, W, 3)`` as the reference of its product lies, and how it lay.

        Where its product is not named, or has none of its own, all are tried and the best counts.
        Of the reference only what ``roi`` looks at counts. A picture that cannot be aligned, or
        whose product is not, stays as it is; the latter has no pose. ``name`` is used in messages.

        Raises:
            ConfigError: The product is not named, and some are aligned and others are not.
            ImageError: It has too many pixels a side.
            MissingExtraError: OpenCV is not installed.
        """
        references = dict(self.references)
        tried = [product] if product in references else list(references)
        if len(tried) > 1 and None in references.values():
            aligned = [name for name, reference in references.items() if reference is not None]
            raise ConfigError(
                f"This model aligns {', '.join(aligned)} and no other product, and which one a "
                "picture shows is recognised too late for that: name it (--product)."
            )
        poses = []
        for of in tried:
            reference = references[of]
            if reference is None:
                return pixels, None
            looked_at = None if roi is None else roi.at(working_size(reference.size), of or product)
            poses.append((_pose(pixels, reference, looked_at, of or product), reference))
        pose, reference = max(poses, key=lambda each: (each[0].aligned, each[0].quality))
        if pose.turned:
            pixels = _turned_back(pixels, pose, reference, name)
        return pixels, pose

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        return {name: own and asdict(own) for name, own in self.references}

    @classmethod
    def from_json(cls, values: Any) -> Alignment:
        """The inverse of :meth:`to_json`.

        Raises:
            ConfigError: They are none of its values.
            MissingExtraError: OpenCV is not installed: better said now than of the first picture.
        """
        opencv()
        try:
            found = tuple(
                (str(name), None if own is None else Reference(**own))
                for name, own in values.items()
            )
            for _, own in found:
                if own is not None and not (max(own.size) <= KEPT and -1 < own.limit < 1):
                    raise ValueError(f"a reference of {own.size} with limit {own.limit}")
        except Exception as error:  # a damaged picture can raise nearly anything
            raise ConfigError(f"The alignment is damaged ({error}).") from error
        return cls(found)


def _pose(
    pixels: NDArray[np.uint8],
    reference: Reference,
    looked_at: NDArray[np.bool_] | None,
    product: str,
) -> PartPose:
    of = f" of {product}" if product else ""
    size, own = _size(pixels), working_size(reference.size)
    if abs(size[0] / size[1] * own[1] / own[0] - 1) > max(_ALIKE, 1.5 / min(own)):
        shape = f"{size[0]}×{size[1]} pixels (H×W)"
        fault = (
            f"It cannot be aligned: its shape, {shape}, is not that of the good pictures{of}, so "
            "it was judged as it lies. Crop it as those were."
        )
        return PartPose(quality=-1.0, limit=reference.limit, fault=fault)
    found = register(to_grey(reference.pixels, own), to_grey(pixels, own), looked_at)
    if found.in_range and found.quality >= reference.limit:
        return PartPose(*found, limit=reference.limit)
    fault = _fault(found, reference, of)
    return PartPose(quality=found.quality, limit=reference.limit, fault=fault)


def _fault(found: Found, reference: Reference, of: str) -> str:
    why = (
        f"its correlation with {reference.name} is {found.quality:.2f}, where good pictures{of} "
        f"have {reference.usual:.2f} and {reference.limit:.2f} is needed"
    )
    if not found.in_range and found.quality >= reference.limit:
        why = (
            f"it fits {reference.name} best turned by {found.angle:.0f}° and shifted by "
            f"{100 * found.right:.0f} and {100 * found.down:.0f} %, beyond the ±{TURN:.0f}° and "
            f"±{100 * SHIFT:.0f} % that are searched"
        )
    return (
        f"It cannot be aligned: {why}. It was judged as it lies, so that its score means little. "
        "Does it show the part, whole, and nearly as it should lie?"
    )


def _turned_back(
    pixels: NDArray[np.uint8], pose: PartPose, reference: Reference, name: str
) -> NDArray[np.uint8]:
    """A picture ``(H, W, 3)`` as the reference lies, of which it shows what it does not reach."""
    if max(pixels.shape[:2]) > _LONGEST:
        raise ImageError(
            f"{name} has {pixels.shape[0]}×{pixels.shape[1]} pixels (H×W): pictures of more than "
            f"{_LONGEST:,} a side cannot be aligned. Give them smaller, or fit without --align."
        )
    cv2, size = opencv(), _size(pixels)
    lie = (pose.angle, pose.right, pose.down)
    back: NDArray[np.uint8] = cv2.resize(
        _in_the_light_of(pixels, lie, reference), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    return cv2.warpAffine(
        pixels,
        turning(*lie, size),
        size[::-1],
        dst=back,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_TRANSPARENT,
    )


def _in_the_light_of(
    pixels: NDArray[np.uint8], lie: tuple[float, float, float], reference: Reference
) -> NDArray[np.uint8]:
    """The reference, as bright as the picture nearby: a seam would be odder than any defect."""
    cv2, size = opencv(), working_size(reference.size, _LIGHT)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = turning(*lie, size)
    own, plain = (resized(one, size).astype(np.float32) for one in (pixels, reference.pixels))
    own = cv2.warpAffine(own, matrix, size[::-1], flags=flags)  # (h, w, 3), dark outside
    seen = cv2.warpAffine(np.ones(size, np.float32), matrix, size[::-1], flags=flags)
    apart = cv2.GaussianBlur(own - plain * seen[..., None], (0, 0), 2)
    apart /= np.maximum(cv2.GaussianBlur(seen, (0, 0), 2), 1e-6)[..., None]
    # Outside, as at the nearest place that is seen: a mean would take in how other things differ.
    outside = (seen < 1).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    there = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    there[nearest[outside == 0]] = apart[outside == 0]
    light = cv2.GaussianBlur(there[nearest], (0, 0), 2)  # (h, w, 3)
    light = cv2.resize(light, reference.size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(reference.pixels + light), 0, 255).astype(np.uint8)


def to_source(
    anomaly_map: NDArray[np.float32],
    looked_at: NDArray[np.bool_] | None,
    pose: PartPose,
    source: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """A frame's map ``(h, w)``, at any size, as one of the whole picture, and what of it counts.

    Args:
        anomaly_map: Of the frame that was looked at.
        looked_at: ``(H, W)`` of the whole picture as the reference lies, at the size of
            :func:`whole_size`; ``None``: all of it.
        pose: How the part lay, and where the frame is.
        source: ``(H, W)`` of the picture.
    """
    if pose.box is not None:
        size = whole_size(_size(anomaly_map), pose, source)
        inside, whole = np.zeros(size, np.bool_), np.full(size, anomaly_map.min(), np.float32)
        top, left = (round(pose.box[n] * size[n] / source[n]) for n in (0, 1))
        frame = (slice(top, top + anomaly_map.shape[0]), slice(left, left + anomaly_map.shape[1]))
        fits = whole[frame].shape
        whole[frame] = anomaly_map[: fits[0], : fits[1]]
        inside[frame] = True
        anomaly_map, looked_at = whole, inside if looked_at is None else inside & looked_at
    if not pose.turned:
        return anomaly_map, looked_at
    cv2, size = opencv(), _size(anomaly_map)
    matrix = turning(pose.angle, pose.right, pose.down, size)
    counts = np.ones(size, np.uint8) if looked_at is None else looked_at.astype(np.uint8)
    moved: NDArray[np.float32] = cv2.warpAffine(
        anomaly_map, matrix, size[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine(counts, matrix, size[::-1], flags=cv2.INTER_NEAREST) > 0
    return moved, inside


def whole_size(frame: tuple[int, int], pose: PartPose, source: tuple[int, int]) -> tuple[int, int]:
    """``(H, W)`` of a whole picture of which the frame is shown at a size ``(h, w)``."""
    if pose.box is None:
        return frame
    height, width = (
        max(shown, round(shown * side / own))
        for shown, side, own in zip(frame, source, pose.box[2:], strict=True)
    )
    return height, width


def box_to_source(
    box: tuple[int, int, int, int], size: tuple[int, int], pose: PartPose
) -> tuple[int, int, int, int]:
    """A box of the reference's frame as one that encloses it in a picture of ``size (H, W)``."""
    if not pose.turned:
        return box
    matrix = turning(pose.angle, pose.right, pose.down, size)
    left, top, right, bottom = box
    # Edges lie half a pixel beyond the middles of what they enclose.
    x, y = np.array([left, right, left, right]) - 0.5, np.array([top, top, bottom, bottom]) - 0.5
    corners = matrix[:, :2] @ np.stack([x, y]) + matrix[:, 2:] + 0.5
    (left, top), (right, bottom) = (
        [int(v) for v in np.rint(ends)] for ends in (corners.min(1), corners.max(1))
    )
    left, top = min(max(left, 0), size[1] - 1), min(max(top, 0), size[0] - 1)
    return left, top, max(left + 1, min(right, size[1])), max(top + 1, min(bottom, size[0]))


def _size(pixels: NDArray[Any]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


@lru_cache(maxsize=64)
def _opened(packed: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(packed)), formats=("JPEG",)) as image:
        if max(image.size) > KEPT:
            raise ValueError(f"a reference of {image.height}×{image.width} pixels")
        pixels = np.array(image.convert("RGB"))
    pixels.setflags(write=False)
    return pixels
