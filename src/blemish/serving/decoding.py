"""Image decoding behind HTTP: what cannot be read is refused, with the status that says why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.reading import OnNote, read_image_bytes
from blemish.errors import ImageError, TooManyPixelsError, UnknownFormatError
from blemish.serving.limits import RefusalError


def decoded(
    content: bytes, name: str, *, bit_depth: int, most: int, on_note: OnNote | None = None
) -> NDArray[np.uint8]:
    """The pixels ``(H, W, 3)`` of an image file; refused (413, 415 or 422) where there are none.

    Args:
        content: The file.
        name: As its sender calls it, for messages.
        bit_depth: Bits used in 16-bit files.
        most: Pixels of the largest image that is accepted.
        on_note: As for :func:`blemish.data.images.reading.read_image`.
    """
    try:
        return read_image_bytes(
            content, name, bit_depth=bit_depth, max_pixels=most, on_note=on_note
        )
    except UnknownFormatError as error:
        raise RefusalError(415, "not_an_image", str(error)) from error
    except TooManyPixelsError as error:
        found = str(error).partition(" Expected ")[0]
        raise RefusalError(
            413,
            "too_many_pixels",
            f"{found} This server takes at most {most:,}: shrink or crop the picture, or start the "
            "server with a larger --max-megapixels.",
        ) from error
    except ImageError as error:
        raise RefusalError(422, "damaged_image", str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # a crafted header can raise nearly anything in a reader
        raise RefusalError(
            422, "damaged_image", f"Cannot read {name}: {type(error).__name__}."
        ) from error
