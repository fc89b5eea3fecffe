"""Pixel checks: what pictures and masks say of themselves when they are compared with each other.

A picture that is read by the wrong depth, turned to its negative, in another order of channels, or
of another part altogether, trains and is judged without complaint. Nothing here changes a pixel:
each finding is a sentence with what to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish._progress import Important
from blemish.data.images.sixteen_bit import likely_bits
from blemish.data.sample import Sample

_SIDE = 16  # of the small copies that are compared
_FEWEST = 5  # pictures of which one can be unlike the others
_GREY_VALUES = 4  # between good and marked: more are borders and not numbers of kinds
_COMPARED = 5000  # pictures of train and of test, at most
_NEAR = 1.0  # grey values between small copies: JPEG changes less, other parts more
_SHOWN = 3

Small = NDArray[np.float32]  # (16, 16, 3)


def small_copy(pixels: NDArray[np.uint8]) -> Small:
    """``(H, W, 3)`` uint8 to ``(16, 16, 3)``, each the mean of a block."""
    grey = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    copy = Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(copy, np.float32)


@dataclass
class PixelChecks:
    """Takes pictures and masks one by one; :meth:`sentences` says what is odd about them.

    Attributes:
        bit_depth: The bits that 16-bit pictures are taken to use.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.data.pixel_checks import PixelChecks
        >>> from blemish.data.images.sixteen_bit import likely_bits
        >>> from blemish.data.sample import Sample
        >>> checks = PixelChecks()
        >>> for i in range(6):
        ...     pixels = np.full((20, 20, 3), 255 if i == 3 else 100 + i, np.uint8)
        ...     checks.picture(Sample(Path(f"{i}.png"), "nut", "train", 0), pixels)
        >>> checks.sentences()[0][:59]
        'nut: 1 picture is far brighter or darker than the others: 3'
    """

    bit_depth: int = 16
    _samples: list[Sample] = field(default_factory=list)
    _copies: list[Small] = field(default_factory=list)
    _sizes: list[tuple[int, int]] = field(default_factory=list)
    _deep: list[tuple[Path, int]] = field(default_factory=list)
    _paged: list[tuple[Path, int]] = field(default_factory=list)
    _masks: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    _filled: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    _bordered: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def picture(
        self,
        sample: Sample,
        pixels: NDArray[np.uint8],
        *,
        largest: int | None = None,
        frames: int = 1,
    ) -> None:
        """Take a picture; ``largest`` is the largest value of a 16-bit one, as it is stored."""
        self._samples.append(sample)
        self._copies.append(small_copy(pixels))
        self._sizes.append((pixels.shape[0], pixels.shape[1]))
        if largest is not None:
            self._deep.append((sample.path, largest))
        if frames > 1:
            self._paged.append((sample.path, frames))

    def mask(self, path: Path, values: NDArray[np.uint8], product: str) -> None:
        """Take a mask's values ``(H, W)``, as :func:`~blemish.data.images.reading.read_mask`."""
        self._masks[product].append(path)
        if values.size > np.count_nonzero(values) > values.size / 2:
            self._filled[product].append(path)
        between = np.unique(values[(values > 0) & (values < values.max())])
        if values.max() >= 128 and len(between) > _GREY_VALUES:
            self._bordered[product].append(path)

    def sentences(self) -> list[str]:
        """What is odd, most telling first."""
        found: list[str] = [*map(Important, self._depth()), *self._pages()]
        for product in dict.fromkeys(sample.product for sample in self._samples):
            rows = [
                row
                for row, s in enumerate(self._samples)
                if s.product == product and s.is_good and s.split != "test"
            ]
            if len(rows) >= _FEWEST:
                found += self._odd(product, rows)
        for product, masks in self._masks.items():
            found += self._mask_sentences(product, len(masks))
        return found + self._near_doubles()

    def _depth(self) -> list[str]:
        if not self._deep:
            return []
        largest = max(value for _, value in self._deep)
        count, top = len(self._deep), 2**self.bit_depth - 1
        images = f"{count} 16-bit picture{'s' if count > 1 else ''}"
        likely = likely_bits(largest)
        if likely < self.bit_depth:
            return [
                f"The largest value in {images} is {largest:,} of {top:,}: {likely} bits? Give "
                f"--bit-depth {likely}; read with {self.bit_depth} bits they are nearly black."
            ]
        if largest > top:
            return [
                f"The largest value in {images} is {largest:,}, more than {self.bit_depth} bits "
                f"hold ({top:,}): what is above is read as white. Give --bit-depth {likely}."
            ]
        return []

    def _pages(self) -> list[str]:
        if not self._paged:
            return []
        shown = ", ".join(f"{path.name} ({frames})" for path, frames in self._paged[:_SHOWN])
        more = ", …" if len(self._paged) > _SHOWN else ""
        several = "files hold" if len(self._paged) > 1 else "file holds"
        return [
            f"{len(self._paged)} {several} several pages or frames, of which only the first is "
            f"read: {shown}{more}. Save each page as a file of its own to use them all."
        ]

    def _odd(self, product: str, rows: Sequence[int]) -> list[str]:
        copies = np.stack([self._copies[row] for row in rows])  # (N, 16, 16, 3)
        usual: Small = np.median(copies, axis=0)
        brightness = copies.mean(axis=(1, 2, 3)) - usual.mean()
        spread = 1.4826 * float(np.median(np.abs(brightness - np.median(brightness))))
        unlike = np.abs(brightness) > max(32.0, 8 * spread)
        grey, usual_grey = copies.mean(axis=3), usual.mean(axis=2)
        alike = np.array([_correlation(one, usual_grey) for one in grey])
        negative = (alike < -0.5) & (np.median(alike) > 0.5)
        exchanged = _exchanged(copies, usual) & ~negative
        sides = np.array([self._sizes[row] for row in rows], float)
        middle = np.median(sides, axis=0)
        shape = np.log2(sides[:, 0] / sides[:, 1] * middle[1] / middle[0])
        area = np.log2(sides.prod(axis=1) / middle.prod())
        sized = (np.abs(shape) > 0.32) | (np.abs(area) > 2)
        findings = [
            (negative, "the negative of the others", "Is black where the others are white meant?"),
            (exchanged, "like the others with red and blue exchanged", "Save as RGB, not BGR."),
            (unlike & ~negative, "far brighter or darker than the others", "Take it out if it is "
             "none of the good parts."),
            (sized, "of another size or shape than the others", "Is it the same view?"),
        ]  # fmt: skip
        found = []
        for which, what, ask in findings:
            odd = [self._samples[row].path for row, wrong in zip(rows, which, strict=True) if wrong]
            if odd and len(odd) * 5 <= len(rows):  # else there is no usual to be unlike
                names = _names(odd)
                is_ = f"{len(odd)} picture{'s are' if len(odd) > 1 else ' is'}"
                found.append(f"{product}: {is_} {what}: {names}. {ask}")
        return found

    def _mask_sentences(self, product: str, count: int) -> list[str]:
        found = []
        if filled := self._filled[product]:
            found.append(
                f"{product}: {len(filled)} of {count} masks mark more than half of the picture: "
                f"{_names(filled)}. Are they inverted? Every pixel above 0 counts as defect."
            )
        if bordered := self._bordered[product]:
            found.append(
                f"{product}: {len(bordered)} of {count} masks have grey borders: "
                f"{_names(bordered)}. Every pixel above 0 counts as defect, the borders as well; "
                "save masks with two values, without smoothing, where that is too wide."
            )
        return found

    def _near_doubles(self) -> list[str]:
        """Test pictures that are a training picture but for compression or size."""
        found = []
        for product in dict.fromkeys(sample.product for sample in self._samples):
            own = [row for row, s in enumerate(self._samples) if s.product == product]
            train = [row for row in own if self._samples[row].split == "train"][:_COMPARED]
            test = [row for row in own if self._samples[row].split == "test"][:_COMPARED]
            if len(train) < 2 or not test:
                continue
            learned = np.stack([self._copies[row].ravel() for row in train])
            some = range(0, len(train), max(1, len(train) // 200))
            usual = float(np.median([_nearest(learned, learned[i], skip=i)[0] for i in some]))
            pairs = []
            for row in test:
                distance, nearest = _nearest(learned, self._copies[row].ravel())
                here, there = self._samples[row].path, self._samples[train[nearest]].path
                near = distance < min(_NEAR, usual / 3) or distance == 0
                if near and not _same_file(here, there):
                    pairs.append(f"{_short(there)} ≈ {_short(here)}")
            if pairs:
                shown = ", ".join(pairs[:_SHOWN]) + (", …" if len(pairs) > _SHOWN else "")
                found.append(
                    f"{product}: {len(pairs)} test picture{'s are' if len(pairs) > 1 else ' is'} "
                    f"nearly equal to one in train, so figures on test are too good: {shown}."
                )
        return found


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-6 else 0.0


def _exchanged(copies: NDArray[np.float32], usual: Small) -> NDArray[np.bool_]:
    """Which are nearer to the usual picture with red and blue exchanged, and clearly so."""
    means, middle = copies.mean(axis=(1, 2)), usual.mean(axis=(0, 1))  # (N, 3), (3,)
    if abs(middle[0] - middle[2]) < 10:
        return np.zeros(len(copies), bool)
    as_is = np.abs(means - middle).sum(axis=1)
    turned = np.abs(means[:, ::-1] - middle).sum(axis=1)
    return np.asarray(turned < as_is / 2)


def _nearest(
    learned: NDArray[np.float32], one: NDArray[np.float32], *, skip: int = -1
) -> tuple[float, int]:
    """Root mean square distance in grey values to the nearest, and which that is."""
    distances = np.sqrt(((learned - one) ** 2).mean(axis=1))
    if skip >= 0:
        distances[skip] = np.inf
    nearest = int(distances.argmin())
    return float(distances[nearest]), nearest


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()  # which is said elsewhere
    except OSError:
        return True


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _names(paths: Iterable[Path]) -> str:
    listed = [path.name for path in paths]
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")
