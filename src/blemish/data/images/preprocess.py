"""Preprocessing: pixels of any format to RGB, and RGB to the model's input, the one way there is.

Training, prediction, export and serving all call it. No rule depends on the content of an image:
stretching each image to its own minimum and maximum would make two pictures of the same part
incomparable.

- 16-bit: full scale, linear: ``round(value / (2**bit_depth - 1) * 255)``, clipped at 255.
- Float: values in [0, 1], times 255, rounded.
- Grey: repeated to three channels.
- Alpha: composited on black. What is transparent is not part of the picture; the colours programs
  leave under it are arbitrary, and black is what an unlit sensor gives.
- What lies a little differently each time is turned back to a reference, where a model aligns
  pictures (:mod:`blemish.data.images.alignment`).
- What is ignored (:mod:`blemish.data.images.roi`) becomes one colour, before anything is scaled,
  and what lies beside the part is cut off (:mod:`blemish.data.images.crop`), where a model crops.
- Size: an image keeps its aspect ratio. It is scaled to fit the model's input and centred on a
  field of constant colour; or it is seen at its own size, or a stated share of it, in tiles of the
  model's input (:mod:`blemish.data.images.tiles`). Values stay uint8: the teacher's normalisation
  is part of the network, so that an exported model takes the same pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.alignment import Alignment
from blemish.data.images.crop import PartCrop
from blemish.data.images.roi import RegionOfInterest
from blemish.data.images.tiles import TileGrid, Tiling
from blemish.errors import ConfigError, DataError
from blemish.results import PartPose

#: Input sizes are multiples of this: the bottleneck has stride 32.
MULTIPLE = 32
#: A larger side is a slip of the pen or a damaged model file, and would fill the memory.
LARGEST_SIDE = 8192

_EXPECTED = (
    "Expected an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, of uint16, or of "
    "floats in [0, 1]"
)


def to_rgb(array: NDArray[Any], *, bit_depth: int = 16) -> NDArray[np.uint8]:
    """Pixels given directly, checked and brought to RGB by the rules of this module.

    Args:
        array: ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA; uint8, uint16
            or floats in [0, 1].
        bit_depth: Bits in use in a uint16 array: 10, 12 or 14 for cameras that store fewer than
            16; from 8 to 16.

    Returns:
        ``(H, W, 3)`` uint8, contiguous. The input itself where it already is that.

    Raises:
        DataError: Another shape or type, no pixels, values outside the range, or an alpha channel
            that hides every pixel.
        ConfigError: A bit depth outside 8 to 16.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.preprocess import to_rgb
        >>> to_rgb(np.array([[0, 4095]], dtype=np.uint16), bit_depth=12).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    check_bit_depth(bit_depth)
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{_EXPECTED}, found {type(array).__name__}. Convert it with numpy.asarray first."
        )
    _check_shape(array)
    pixels = _to_uint8(array, bit_depth)  # (H, W[, C])
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return grey_to_rgb(pixels.reshape(pixels.shape[:2]))
    if pixels.shape[2] == 4:
        if not pixels[..., 3].any():
            raise DataError(
                "The alpha channel is 0 everywhere, so every pixel is invisible. Expected an "
                "image with something to see: give the array without its alpha channel."
            )
        return composite_on_black(pixels)
    return np.ascontiguousarray(pixels)


def full_scale(values: NDArray[np.uint16], bit_depth: int = 16) -> NDArray[np.uint8]:
    """16-bit values to 8 bits: ``round(v / (2**bit_depth - 1) * 255)``; larger ones are clipped."""
    return _full_scale_table(check_bit_depth(bit_depth))[values]


def grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W)`` repeated to ``(H, W, 3)``."""
    return np.repeat(grey[..., None], 3, axis=2)  # (H, W, 3)


def composite_on_black(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W, 4)`` to ``(H, W, 3)``: each colour times its alpha, rounded."""
    alpha = rgba[..., 3:]  # (H, W, 1)
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    # 255 is odd, so no product lies halfway: adding 127 rounds exactly, within uint16.
    product = rgba[..., :3].astype(np.uint16) * alpha  # (H, W, 3)
    return ((product + 127) // 255).astype(np.uint8)


def check_bit_depth(bit_depth: int) -> int:
    """The bit depth itself, refused where it is not an integer from 8 to 16."""
    if isinstance(bit_depth, bool) or not isinstance(bit_depth, int) or not 8 <= bit_depth <= 16:
        raise ConfigError(
            f"bit_depth is {bit_depth!r}; expected an integer from 8 to 16, the number of bits "
            "the camera really fills (often 10, 12 or 14)."
        )
    return bit_depth


def _check_shape(array: NDArray[Any]) -> None:
    if array.size == 0:
        raise DataError(f"{_EXPECTED}, found an array without pixels, shape {array.shape}.")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        return
    hint = "Check what produced it."
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        hint = "It looks like (C, H, W): use array.transpose(1, 2, 0)."
    elif array.ndim == 4:
        hint = "It looks like a batch: give one image at a time."
    raise DataError(f"{_EXPECTED}, found shape {array.shape}. {hint}")


def _to_uint8(array: NDArray[Any], bit_depth: int) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return full_scale(array, bit_depth)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0.0 and high <= 1.0):  # also catches NaN
            raise DataError(
                f"{_EXPECTED}, found {array.dtype} with values from {low:g} to {high:g}. "
                "Divide by the largest value the source can deliver (255 for 8-bit images)."
            )
        return np.rint(array * 255.0).astype(np.uint8)
    raise DataError(
        f"{_EXPECTED}, found {array.dtype}. Convert it to one of these; which range its values "
        "use cannot be guessed."
    )


@lru_cache(maxsize=16)
def _full_scale_table(bit_depth: int) -> NDArray[np.uint8]:
    values = np.arange(65536) / (2**bit_depth - 1) * 255.0  # (65536,)
    table: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    table.setflags(write=False)
    return table


class Prepared(NamedTuple):
    """A picture as a model sees it: ``(H, W, 3)`` uint8, and how its part lay if it was aligned."""

    pixels: NDArray[np.uint8]
    pose: PartPose | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input, and a map the image's size again.

    Attributes:
        height, width: Input size in pixels, multiples of 32.
        fill: Colour around an image of another aspect ratio, and of what is ignored (grey, near the
            teacher's mean).
        bit_depth: Bits used in 16-bit files; see :func:`blemish.data.images.reading.read_image`.
        tiling: How an image is cut into inputs; ``None``: it is one, scaled to fit.
        roi: What of an image is looked at; ``None``: all of it.
        alignment: What images are turned back to, before all else; ``None``: they stay as they lie.
        crop: The frame that is seen of an image, once what is ignored is left out; ``None``: all of
            it.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.preprocess import Preprocessing
        >>> prepare = Preprocessing(64, 64)
        >>> prepare(np.zeros((100, 50, 3), np.uint8)).shape
        (64, 64, 3)
        >>> prepare.map_to_source(np.zeros((64, 64), np.float32), (100, 50)).shape
        (100, 50)
    """

    height: int
    width: int
    fill: tuple[int, int, int] = (127, 127, 127)
    bit_depth: int = 16
    tiling: Tiling | None = None
    roi: RegionOfInterest | None = None
    alignment: Alignment | None = None
    crop: PartCrop | None = None

    def __post_init__(self) -> None:
        for value in (self.height, self.width):
            whole = isinstance(value, int) and MULTIPLE <= value <= LARGEST_SIDE
            if not whole or value % MULTIPLE:
                raise ConfigError(
                    f"An input size of {self.height}×{self.width} was asked for; height and width "
                    f"must be multiples of {MULTIPLE} up to {LARGEST_SIDE}, such as 256."
                )
        check_bit_depth(self.bit_depth)
        if self.tiling is not None:
            self.tiling.check(self.size)

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` of the model's input."""
        return (self.height, self.width)

    def frame(self, source: tuple[int, int]) -> tuple[int, int]:
        """``(h, w)`` of what is cropped from an image of size ``(H, W)``."""
        return source if self.crop is None else self.crop.frame(source)

    def seen(self, source: tuple[int, int]) -> tuple[int, int]:
        """``(H, W)`` at which a frame of size ``(H, W)`` is seen, the field around it included.

        That is the model's input, or with tiles no less than one of them.
        """
        if self.tiling is None:
            return self.size
        height, width = self.tiling.scaled(source)
        return max(height, self.height), max(width, self.width)

    def grid(self, canvas: tuple[int, int]) -> TileGrid:
        """The inputs that a canvas ``(H, W)`` is cut into; without tiles it is one."""
        if self.tiling is None:
            return TileGrid(self.size, self.size, (0,), (0,))
        below = 0 if self.tiling.coarse is None else self.height
        return self.tiling.grid((canvas[0] - below, canvas[1]), self.size)

    def inputs(self, source: tuple[int, int]) -> TileGrid:
        """The inputs that a frame of size ``(H, W)`` is cut into."""
        if self.tiling is None:
            return TileGrid(self.size, self.size, (0,), (0,))
        return self.tiling.grid(self.seen(source), self.size)

    def placement(self, source: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height, width of a frame of size ``(H, W)`` in what is :meth:`seen` of it."""
        if self.tiling is None:
            scale = min(self.height / source[0], self.width / source[1])
            height = min(self.height, max(1, round(source[0] * scale)))
            width = min(self.width, max(1, round(source[1] * scale)))
        else:
            height, width = self.tiling.scaled(source)
        tall, wide = self.seen(source)
        return (tall - height) // 2, (wide - width) // 2, height, width

    def __call__(
        self, image: NDArray[np.uint8], product: str = "", *, name: str = "A picture"
    ) -> NDArray[np.uint8]:
        """``(H_src, W_src, 3)`` uint8 → ``(H, W, 3)`` uint8: the input, or the canvas of all.

        Arguments and errors are those of :meth:`prepare`.
        """
        return self.prepare(image, product, name=name).pixels

    def prepare(
        self, image: NDArray[np.uint8], product: str = "", *, name: str = "A picture"
    ) -> Prepared:
        """The input, or the canvas of all, of an image ``(H, W, 3)``, and how its part lay.

        The product says which reference and region of interest are meant, where they differ;
        ``name`` is used in messages. Errors are those of :meth:`RegionOfInterest.looked_at` and
        :meth:`Alignment.align`.
        """
        source, pose = (image.shape[0], image.shape[1]), None
        if self.alignment is not None:
            image, pose = self.alignment.align(image, product, self.roi, name=name)
        if self.roi is not None:
            image = self.roi.without_ignored(image, product, self.fill, name=name)
        if self.crop is not None:
            image, pose = self._cropped(image, product, pose)
            source = (image.shape[0], image.shape[1])
        top, left, height, width = self.placement(source)
        resized = _scaled(image, (height, width))
        grid = self.inputs(source)
        if (height, width) == grid.canvas:
            return Prepared(np.ascontiguousarray(resized), pose)
        canvas = np.empty((*grid.canvas, 3), np.uint8)
        canvas[:] = self.fill
        canvas[top : top + height, left : left + width] = resized
        if grid.coarse:
            top, left, height, width = grid.shrunk
            seen = canvas[: grid.size[0]]
            grid.cut(canvas, grid.tiles)[top : top + height, left : left + width] = _scaled(
                seen, (height, width)
            )
        return Prepared(canvas, pose)

    def _cropped(
        self, image: NDArray[np.uint8], product: str, pose: PartPose | None
    ) -> tuple[NDArray[np.uint8], PartPose]:
        assert self.crop is not None
        (top, left, height, width), fault = self.crop.place(image, product)
        pose = PartPose() if pose is None else pose
        pose = replace(pose, box=(top, left, height, width), fault=pose.fault or fault)
        return image[top : top + height, left : left + width], pose

    def map_to_source(
        self, anomaly_map: NDArray[np.float32], source: tuple[int, int]
    ) -> NDArray[np.float32]:
        """``(H, W)`` float32 at the size seen → ``(H_src, W_src)``, the size of the frame."""
        top, left, height, width = self.placement(source)
        part = np.ascontiguousarray(anomaly_map[top : top + height, left : left + width])
        if part.shape == source:
            return part
        resized = Image.fromarray(part).resize((source[1], source[0]), Image.Resampling.BILINEAR)
        return np.asarray(resized, dtype=np.float32)

    def as_asked(self) -> dict[str, Any]:
        """As the arguments of a detector that would see pictures the same."""
        if self.tiling is None:
            return {"image_size": self.size}
        coarse = self.tiling.coarse is not None
        return {"tile": self.size, **self.tiling.to_json(), "coarse": coarse}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file; what it has none of is left out."""
        values: dict[str, Any] = {
            **{"height": self.height, "width": self.width},
            **{"fill": list(self.fill), "bit_depth": self.bit_depth},
        }
        for name in ("tiling", "roi", "alignment", "crop"):
            own = getattr(self, name)
            if own is not None:
                values[name] = own.to_json()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocessing:
        """The inverse of :meth:`to_json`; :class:`ConfigError` for what is none of its values."""
        try:
            height, width, fill, depth = (
                values[name] for name in ("height", "width", "fill", "bit_depth")
            )
            numbers = [height, width, depth, *fill]
        except (KeyError, TypeError) as error:
            raise ConfigError(f"The preprocessing {values} is not complete.") from error
        tiling = None if "tiling" not in values else Tiling.from_json(values["tiling"])
        roi = None if "roi" not in values else RegionOfInterest.from_json(values["roi"])
        alignment = None
        if "alignment" in values:
            alignment = Alignment.from_json(values["alignment"])
        crop = None if "crop" not in values else PartCrop.from_json(values["crop"])
        found = (tiling, roi, alignment, crop)
        known = len(values) == 4 + sum(own is not None for own in found)
        if not known or len(fill) != 3 or any(type(number) is not int for number in numbers):
            raise ConfigError(f"The preprocessing {values} is not one this version knows.")
        return cls(height, width, (fill[0], fill[1], fill[2]), depth, *found)


def _scaled(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image ``(H, W, 3)`` at another size; itself where it has that."""
    if image.shape[:2] == size:
        return image
    # Pillow's bicubic filter widens with the scale (antialiasing). Columns first, always: left to
    # itself, Pillow 13 begins with the rows of tall pictures, which rounds otherwise in one of
    # seven values, and older ones do not.
    narrow = Image.fromarray(image).resize((size[1], image.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(narrow.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def choose_input_size(sizes: Iterable[Sequence[int]], *, side: int = 256) -> tuple[int, int]:
    """The input size for images of sizes ``(H, W)``, with about ``side``² pixels.

    Square, unless nearly all images share one elongated shape: then a rectangle of that shape
    wastes no pixels on the field around it.

    Example:
        >>> from blemish.data.images.preprocess import choose_input_size
        >>> choose_input_size([(800, 1600)] * 10), choose_input_size([(320, 427), (320, 320)])
        ((192, 352), (256, 256))
    """
    counts = Counter(round(float(np.log2(size[0] / size[1])) * 10) for size in sizes)
    tenth, most = counts.most_common(1)[0] if counts else (0, 0)
    if not most or most < 0.95 * counts.total() or abs(tenth) < 2:
        return (side, side)
    # Beyond this the shorter side would be below the smallest one, and the area grow.
    most_oblong = (side / MULTIPLE) ** 2
    ratio = min(max(2.0 ** (tenth / 10), 1 / most_oblong), most_oblong)

    def fit(value: float) -> int:
        return max(MULTIPLE, round(value / MULTIPLE) * MULTIPLE)

    return fit(side * ratio**0.5), fit(side / ratio**0.5)
