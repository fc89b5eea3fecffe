"""Preprocessing: the one that training, prediction, export and serving all call.

An image keeps its aspect ratio: it is scaled to fit the model's input and centred on a field of
constant colour. Values stay uint8; the teacher's normalisation is part of the network, so that an
exported model takes the same pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.pixels import check_bit_depth, to_rgb
from blemish.data.images.reading import read_image
from blemish.data.sample import Sample
from blemish.errors import ConfigError

#: Input sizes are multiples of this: the bottleneck has stride 32.
MULTIPLE = 32
#: A larger side is a slip of the pen or a damaged model file, and would fill the memory.
LARGEST_SIDE = 8192


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input, and a map the image's size again.

    Attributes:
        height, width: Input size in pixels, multiples of 32.
        fill: Colour around an image of another aspect ratio (grey, near the teacher's mean).
        bit_depth: Bits used in 16-bit files; see :func:`blemish.data.images.reading.read_image`.

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

    def __post_init__(self) -> None:
        for value in (self.height, self.width):
            if not MULTIPLE <= value <= LARGEST_SIDE or value % MULTIPLE:
                raise ConfigError(
                    f"An input size of {self.height}×{self.width} was asked for; height and width "
                    f"must be multiples of {MULTIPLE} up to {LARGEST_SIDE}, such as 256."
                )

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` of the model's input."""
        return (self.height, self.width)

    def placement(self, source: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height, width of an image of size ``(H, W)`` inside the input."""
        scale = min(self.height / source[0], self.width / source[1])
        height = min(self.height, max(1, round(source[0] * scale)))
        width = min(self.width, max(1, round(source[1] * scale)))
        return (self.height - height) // 2, (self.width - width) // 2, height, width

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(H_src, W_src, 3)`` uint8 → ``(H, W, 3)`` uint8."""
        top, left, height, width = self.placement(image.shape[:2])
        resized = image
        if image.shape[:2] != (height, width):
            # Pillow's bicubic filter widens with the scale (antialiasing).
            resized = np.asarray(
                Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
            )
        if (height, width) == self.size:
            return np.ascontiguousarray(resized)
        canvas = np.empty((self.height, self.width, 3), np.uint8)
        canvas[:] = self.fill
        canvas[top : top + height, left : left + width] = resized
        return canvas

    def map_to_source(
        self, anomaly_map: NDArray[np.float32], source: tuple[int, int]
    ) -> NDArray[np.float32]:
        """``(H, W)`` float32 at the input size → ``(H_src, W_src)`` of the source image."""
        top, left, height, width = self.placement(source)
        part = np.ascontiguousarray(anomaly_map[top : top + height, left : left + width])
        if part.shape == source:
            return part
        resized = Image.fromarray(part).resize((source[1], source[0]), Image.Resampling.BILINEAR)
        return np.asarray(resized, dtype=np.float32)

    def load(self, sample: Sample) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """The input ``(H, W, 3)`` of a sample, and the source size ``(H_src, W_src)``."""
        if sample.image is not None:
            pixels = to_rgb(sample.image, bit_depth=self.bit_depth)
        else:
            pixels = read_image(sample.path, bit_depth=self.bit_depth)
        return self(pixels), (pixels.shape[0], pixels.shape[1])

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        return {**asdict(self), "fill": list(self.fill)}

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
        if len(values) != 4 or len(fill) != 3 or any(type(number) is not int for number in numbers):
            raise ConfigError(f"The preprocessing {values} is not one this version knows.")
        return cls(height, width, (fill[0], fill[1], fill[2]), check_bit_depth(depth))


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
