"""Given picture: whatever form a program holds one in, told apart by rules or refused.

An array's axes say nothing of themselves, so that (3, H, W) may be one colour picture or three grey
ones. What a shape leaves open is asked back; it is never guessed.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish._names import unknown_name_message
from blemish.data.images.preprocess import to_rgb
from blemish.data.images.reading import OnNote, image_to_rgb, read_image_bytes
from blemish.data.images.sixteen_bit import depth_note
from blemish.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

#: The order of an array's channels; ``rgb`` takes grey and alpha as they come.
Channels = Literal["rgb", "bgr", "gray"]
#: A picture in memory: a file's content, an open file, Pillow's, NumPy's or PyTorch's.
InMemory: TypeAlias = "bytes | bytearray | memoryview | IO[bytes] | Image.Image | NDArray | Tensor"

#: Numbers of channels: grey, RGB, RGBA.
_COUNTS = (1, 3, 4)
_NAME = "the picture given"


def is_array(given: object) -> bool:
    """True for NumPy's and PyTorch's arrays, without importing the latter."""
    return isinstance(given, np.ndarray) or _is_tensor(given)


def is_encoded(given: object) -> bool:
    """True for a file's content, an open file and a picture of Pillow's."""
    return isinstance(given, bytes | bytearray | memoryview | Image.Image) or hasattr(given, "read")


def pixels_of(
    given: InMemory,
    *,
    channels: Channels = "rgb",
    bit_depth: int = 16,
    on_note: OnNote | None = None,
) -> NDArray[np.uint8]:
    """One picture in memory as RGB, the right way up: ``(H, W, 3)`` uint8, contiguous.

    Args:
        given: The content of an image file, or the file opened for bytes, which is read from its
            beginning; a picture of Pillow's, whose EXIF orientation is applied as for a file; an
            array or tensor ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)``, of the types of
            :func:`~blemish.data.images.preprocess.to_rgb`.
        channels: Order of an array's channels: ``bgr`` for what OpenCV reads, ``gray`` for one
            channel alone. Files and Pillow's pictures say it themselves.
        bit_depth: Bits in use in 16-bit values.
        on_note: As for :func:`~blemish.data.images.reading.read_image`.

    Raises:
        ImageError: The content is no image that can be read.
        DataError: An array of another shape or type, or one whose shape leaves open what it is.
        ConfigError: An order of channels that is unknown, or given for what says it itself.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.given_picture import pixels_of
        >>> pixels_of(np.zeros((3, 40, 60), np.uint8)).shape
        (40, 60, 3)
        >>> pixels_of(np.full((2, 2, 3), (255, 0, 9), np.uint8), channels="bgr")[0, 0].tolist()
        [9, 0, 255]
    """
    if channels not in get_args(Channels):
        raise ConfigError(
            unknown_name_message("order of channels", str(channels), get_args(Channels))
        )
    if is_array(given):
        array = _channels_last(given, channels)
        pixels = to_rgb(array, bit_depth=bit_depth)
        if on_note is not None and array.dtype == np.uint16:
            note = depth_note(int(array.max()), bit_depth)
            if note is not None:
                on_note(note)
        return pixels
    refuse_channels(channels)
    if isinstance(given, Image.Image):
        return image_to_rgb(given, Path(_NAME), bit_depth, on_note)
    if isinstance(given, bytes | bytearray | memoryview):
        return read_image_bytes(bytes(given), _NAME, bit_depth=bit_depth, on_note=on_note)
    return read_image_bytes(_content(given), _NAME, bit_depth=bit_depth, on_note=on_note)


def refuse_channels(channels: Channels) -> None:
    """Only an array can have its channels in another order than it says."""
    if channels != "rgb":
        raise ConfigError(
            f"channels={channels!r} says how an array is laid out, and what was given is none: "
            "files and pictures of Pillow's say it themselves. Leave it out."
        )


def one_or_many(given: NDArray[Any] | Tensor) -> list[NDArray[Any] | Tensor]:
    """The pictures in an array or tensor, where it may hold one or several.

    Raises:
        DataError: ``(3, H, W)`` or ``(4, H, W)`` of an array: one picture with its channels first,
            or as many grey ones. A tensor's channels come first by custom.
    """
    shape = tuple(given.shape)
    if len(shape) < 3 or (len(shape) == 3 and (shape[2] in _COUNTS or shape[0] == 1)):
        return [given]
    if len(shape) == 3 and shape[0] in _COUNTS:
        if _is_tensor(given):
            return [given]
        raise DataError(
            f"An array of shape {shape} is either one picture with its channels first or "
            f"{shape[0]} grey ones. For the one: inspect(image), or predict([image]); for the "
            "grey ones: predict(images[..., None])."
        )
    return list(given)


def _channels_last(given: Any, channels: Channels) -> NDArray[Any]:
    """``(H, W[, C])`` in the order that ``to_rgb`` expects."""
    tensor = _is_tensor(given)
    array: NDArray[Any] = _from_torch(given) if tensor else given
    shape = array.shape
    if array.ndim == 3:
        first, last = shape[0] in _COUNTS, shape[2] in _COUNTS
        if first and last and not tensor:
            raise DataError(
                f"An array of shape {shape} may have its channels first or last. Where it is "
                "(C, H, W), give image.transpose(1, 2, 0); a picture (H, W, C) needs more rows "
                "than that."
            )
        if first:
            array = array.transpose(1, 2, 0)
    elif array.ndim == 4:
        raise DataError(
            f"One picture was expected, and an array of shape {shape} is a batch. Give one of "
            "them, or all to predict()."
        )
    count = array.shape[2] if array.ndim == 3 else 1
    if channels == "gray" and count != 1:
        raise DataError(
            f"channels='gray' was said, and an array of shape {shape} has {count} channels. Give "
            "(H, W), or leave channels out for RGB."
        )
    if channels == "bgr" and count in (3, 4):
        array = array[..., [2, 1, 0, *range(3, count)]]
    return array


def _is_tensor(given: object) -> bool:
    return type(given).__module__.partition(".")[0] == "torch" and hasattr(given, "detach")


def _from_torch(given: Any) -> NDArray[Any]:
    tensor = given.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has none
        tensor = tensor.float()
    array: NDArray[Any] = tensor.numpy()
    return array


def _content(file: Any) -> bytes:
    """All of an open file: who has just written into a buffer stands at its end."""
    if callable(getattr(file, "seekable", None)) and file.seekable():
        file.seek(0)
    try:
        content = file.read()
    except UnicodeDecodeError:  # opened for text, and an image is none
        content = ""
    if not isinstance(content, bytes):
        raise DataError(
            f"What was given reads as {type(content).__name__}, not as bytes. Open image files "
            "with mode 'rb'."
        )
    return content
