"""Region of interest: the pixels of a picture that are looked at; what is ignored is never seen.

It is a mask in the frame of the source picture, for all products or one for each. Ignored pixels
become one grey before a picture is scaled or cut into tiles, in training as in judging: nothing
that they show reaches the network, so that no score depends on it, to the last bit. Maps are held
at their lowest value there.

Coordinates are those of pictures of the size the region was given for. Over a picture of another
size it is scaled with it; one of another shape is refused, as nobody knows where it belongs there.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ConfigError, DataError, ImageError

#: Largest relative difference of two shapes that are the same.
_ALIKE = 0.02
_MOST_PIXELS = 2**28


@dataclass(frozen=True)
class RegionOfInterest:
    """The pixels that are looked at, of pictures of each product.

    Attributes:
        masks: Name of a product, empty for every one that has none of its own, and its mask: a
            picture of one bit per pixel, in base64.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.roi import RegionOfInterest
        >>> roi = RegionOfInterest.of({"": np.array([[1, 0], [1, 0]], bool)})
        >>> roi.looked_at((4, 4), "").sum(1).tolist()
        [2, 2, 2, 2]
    """

    masks: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, masks: Mapping[str, NDArray[np.bool_]]) -> RegionOfInterest:
        """From masks ``(H, W)`` bool by product, each with some pixel that is looked at."""
        return cls(tuple((name, _packed(mask)) for name, mask in masks.items()))

    @property
    def names_products(self) -> bool:
        """Whether a picture's product must be known before its region is."""
        return any(name for name, _ in self.masks)

    def size(self, product: str) -> tuple[int, int] | None:
        """``(H, W)`` that a product's region was given for; ``None`` where it has none."""
        packed = self._mask(product)
        return None if packed is None else _shape(packed)

    def share(self, product: str) -> float:
        """Share of a product's pictures that is looked at."""
        packed = self._mask(product)
        return 1.0 if packed is None else float(_scaled(packed, _shape(packed)).mean())

    def fits(self, size: tuple[int, int], product: str) -> bool:
        """Whether pictures of size ``(H, W)`` have the shape of those that it was given for."""
        own = self.size(product)
        if own is None:
            return True
        height, width = own[0] * size[1] / own[1], own[1] * size[0] / own[0]
        near = abs(height - size[0]) <= 1 or abs(width - size[1]) <= 1  # rounded by who scaled it
        return near or abs(height / size[0] - 1) <= _ALIKE

    def looked_at(
        self, size: tuple[int, int], product: str, *, name: str = "A picture"
    ) -> NDArray[np.bool_] | None:
        """``(H, W)`` bool, read-only: the pixels of such a picture that are looked at.

        ``None`` where its product has no region, so that all are. ``name`` is used in messages.

        Raises:
            ImageError: The picture has another shape, or is so small that nothing is left of it.
            ConfigError: The product is not named and regions differ by product.
        """
        if not product and self.names_products:
            raise ConfigError(
                "This model looks at other regions for each product, and which one a picture shows "
                f"is recognised too late for that: name it (--product), one of "
                f"{', '.join(name for name, _ in self.masks if name)}."
            )
        packed = self._mask(product)
        if packed is None:
            return None
        if not self.fits(size, product):
            height, width = _shape(packed)
            raise ImageError(
                f"{name} has {size[0]}×{size[1]} pixels (H×W), and the region of interest was "
                f"given for pictures of {height}×{width}: they differ in shape, so that it cannot "
                "be laid over this one. Crop it as those were."
            )
        mask = _scaled(packed, size)
        if not mask.any():
            raise ImageError(
                f"{name} has {size[0]}×{size[1]} pixels (H×W): so small, that its region of "
                "interest has none of them. Give pictures of the size that was trained on."
            )
        return mask

    def at(self, size: tuple[int, int], product: str) -> NDArray[np.bool_] | None:
        """As :meth:`looked_at`, scaled to any size that a picture may be shown at."""
        packed = self._mask(product)
        return None if packed is None else _scaled(packed, size)

    def without_ignored(
        self,
        pixels: NDArray[np.uint8],
        product: str,
        fill: tuple[int, int, int],
        *,
        name: str = "A picture",
    ) -> NDArray[np.uint8]:
        """Pixels ``(H, W, 3)`` of a picture, its ignored ones in the colour ``fill``."""
        mask = self.looked_at((pixels.shape[0], pixels.shape[1]), product, name=name)
        if mask is None:
            return pixels
        filled = np.empty_like(pixels)
        filled[:] = fill
        np.copyto(filled, pixels, where=mask[..., None])
        return filled

    def of_products(self, products: Iterable[str]) -> RegionOfInterest | None:
        """What of it counts for a model of these products; of one alone it need not be named."""
        names = tuple(products)
        if len(names) == 1:
            packed = self._mask(names[0])
            return None if packed is None else RegionOfInterest((("", packed),))
        kept = tuple((name, mask) for name, mask in self.masks if name in ("", *names))
        return RegionOfInterest(kept) if kept else None

    def check_products(self, products: Iterable[str]) -> None:
        """Refuse a region of a product that there is not."""
        names = tuple(products)
        unknown = [name for name, _ in self.masks if name and name not in names]
        if unknown:
            raise ConfigError(
                f"A region of interest was given for the product {unknown[0]!r}; the products are "
                f"{', '.join(names) or 'none'}. Name one of these, or none for all of them."
            )

    def to_json(self) -> dict[str, str]:
        """As plain JSON values, for the model file."""
        return dict(self.masks)

    @classmethod
    def from_json(cls, values: Any) -> RegionOfInterest:
        """The inverse of :meth:`to_json`; :class:`ConfigError` for what is none of its values."""
        try:
            masks = tuple((str(name), str(packed)) for name, packed in values.items())
            if not masks or not all(_scaled(mask, _shape(mask)).any() for _, mask in masks):
                raise ValueError("nothing is looked at")
        except Exception as error:  # a damaged picture can raise nearly anything
            raise ConfigError(f"The region of interest is damaged ({error}).") from error
        return cls(masks)

    def _mask(self, product: str) -> str | None:
        masks = dict(self.masks)
        return masks.get(product, masks.get(""))


def _packed(mask: NDArray[np.bool_]) -> str:
    if mask.ndim != 2 or not mask.any():
        raise DataError(
            f"A region of interest of shape {mask.shape} looks at {int(mask.sum())} pixels; "
            "expected (H, W) with some that are looked at."
        )
    file = io.BytesIO()
    Image.fromarray(mask).convert("1").save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


@lru_cache(maxsize=64)
def _shape(packed: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(packed)), formats=("PNG",)) as image:
        width, height = image.size
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{height}×{width} pixels")
    return height, width


@lru_cache(maxsize=4)  # each as large as a picture
def _scaled(packed: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at a size ``(H, W)``, each pixel as the one of the mask that its middle lies in."""
    if _shape(packed) != size:
        whole = _scaled(packed, _shape(packed))
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int)
            for new, old in zip(size, whole.shape, strict=True)
        )
        mask = whole[rows[:, None], columns]
    else:
        with Image.open(io.BytesIO(base64.b64decode(packed)), formats=("PNG",)) as image:
            mask = np.array(image.convert("L")) > 0
    mask.setflags(write=False)
    return mask
