"""Duplicate detection: pictures that are equal byte for byte, or of one part taken twice.

Each would measure the other as if it were a new part, and find it perfect. Equal ones are told by
their digest, near-equal ones by their thumbnails: far nearer to each other than a product's
pictures are to their next few. On thirteen products, photographed and computed, this finds two
commutators that were taken from another position once more and two sister solar cells, and no two
pictures of different parts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish._progress import Progress
from blemish.data.images.open_file import open_file
from blemish.data.images.preprocess import to_rgb
from blemish.data.images.reading import read_image_bytes
from blemish.data.sample import Sample
from blemish.errors import ImageError

#: Side of the grey thumbnails that are compared, in pixels.
_SIDE = 32
#: Share of the usual distance below which two pictures show one part.
_NEAR = 0.14
#: Which of the nearest pictures is usual: a part may well be there two or three times.
_USUAL = 4
#: Pictures of a product below which nothing is usual.
_FEWEST = 12
_DRAWN = 256  # pictures that the usual distance is measured on


class Look(NamedTuple):
    """What a picture is compared by: digest of its content, and thumbnail."""

    digest: bytes
    thumbnail: NDArray[np.float32]  # (1024,) grey

    @classmethod
    def of(cls, content: bytes, rgb: NDArray[np.uint8]) -> Look:
        """The look of pixels ``(H, W, 3)`` that were read from ``content``."""
        grey = Image.fromarray(rgb).convert("L")
        small = grey.resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return cls(digest_of(content), np.asarray(small, np.float32).ravel())


def digest_of(content: bytes) -> bytes:
    """What equal contents have in common, 32 bytes."""
    return hashlib.sha256(content).digest()


def content_of(sample: Sample, *, bit_depth: int = 16) -> bytes:
    """The bytes of a sample's file; of one in memory those of its pixels, and their shape.

    Raises:
        ImageError: The file cannot be opened.
    """
    if sample.image is not None:
        rgb = to_rgb(sample.image, bit_depth=bit_depth)
        return rgb.tobytes() + repr(rgb.shape).encode()
    with open_file(sample.path) as file:
        return file.read()


def alike_together(
    samples: Sequence[Sample], *, near: bool = True, progress: Progress, bit_depth: int = 16
) -> tuple[list[Sample], list[str]]:
    """Samples of which equal and near-equal ones of a product have one group, and what was found.

    Groups of which a picture is equal to one of another become one. A file that cannot be read is
    left as it is.

    Args:
        samples: Good samples of any number of products.
        near: Whether near-equal ones count as alike too.
        progress: Where progress is shown.
        bit_depth: Bits used in 16-bit images.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish._progress import Progress
        >>> from blemish.data.equal_pictures import alike_together
        >>> from blemish.data.sample import Sample
        >>> pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 8), np.uint8)
        >>> pictures = [
        ...     Sample(Path(f"{k}.png"), "nut", "train", 0, image=pixels[k % 3]) for k in range(4)
        ... ]
        >>> found, said = alike_together(pictures, progress=Progress(quiet=True))
        >>> [sample.together for sample in found], said[0][:51]
        (['0.png', None, None, '0.png'], 'nut: 1 good image is another one byte for byte (3.p')
    """

    return together(samples, looks_of(samples, progress=progress, bit_depth=bit_depth), near=near)


def looks_of(
    samples: Sequence[Sample], *, progress: Progress, bit_depth: int = 16
) -> list[Look | None]:
    """What samples are compared by, in their order; ``None`` of a file that cannot be read."""

    def look(sample: Sample) -> Look | None:
        try:
            return _look(sample, bit_depth)
        except ImageError:
            return None  # said where it is read to be learned

    with ThreadPoolExecutor(4) as readers:
        found = readers.map(look, samples)
        return list(progress.track(found, "Comparing images", len(samples)))


def together(
    samples: Sequence[Sample], looks: Sequence[Look | None], *, near: bool = True
) -> tuple[list[Sample], list[str]]:
    """As :func:`alike_together`, of pictures whose looks are known; ``None`` for those unread."""
    found = list(samples)
    said: list[str] = []
    for product in dict.fromkeys(s.product for s in samples):
        rows = [r for r, s in enumerate(samples) if s.product == product and looks[r] is not None]
        own = [look for row in rows if (look := looks[row]) is not None]
        first: dict[bytes, int] = {}
        equal = [(first.setdefault(look.digest, at), at) for at, look in enumerate(own)]
        equal = [(one, other) for one, other in equal if one != other]
        distinct = sorted(first.values())
        pairs = [
            (distinct[one], distinct[other])
            for one, other in (_near([own[at].thumbnail for at in distinct]) if near else ())
        ]
        chosen = [samples[row] for row in rows]
        of = f"{product}: " if product else ""
        if equal:
            said.append(f"{of}{_equal_said(chosen, equal)}")
        merged = _merged(chosen, [*equal, *pairs])
        if any(
            chosen[one].together is None or chosen[one].together != chosen[other].together
            for one, other in pairs
        ):
            said.append(f"{of}{_near_said(chosen, pairs)}")
        for row, sample in zip(rows, merged, strict=True):
            found[row] = sample
    return found, said


def _look(sample: Sample, bit_depth: int) -> Look:
    content = content_of(sample, bit_depth=bit_depth)
    if sample.image is not None:
        return Look.of(content, to_rgb(sample.image, bit_depth=bit_depth))
    return Look.of(content, read_image_bytes(content, str(sample.path), bit_depth=bit_depth))


def _near(thumbnails: Sequence[NDArray[np.float32]]) -> Iterator[tuple[int, int]]:
    """Pairs of pictures that are far nearer to each other than is usual."""
    count = len(thumbnails)
    if count < _FEWEST:
        return
    points = np.stack(thumbnails)  # (N, 1024)
    mean = points.mean(1)
    order = np.argsort(mean, kind="stable")
    points, mean = points[order], mean[order]
    drawn = np.random.default_rng(0).permutation(count)[:_DRAWN]
    to_next = [np.partition(_distances(points, points[at]), _USUAL)[_USUAL] for at in drawn]
    limit = _NEAR * float(np.median(to_next))
    for at in range(count):
        # The difference of the means is never above the distance.
        last = int(np.searchsorted(mean, mean[at] + limit, "right"))
        apart = _distances(points[at + 1 : last], points[at])
        for other in np.flatnonzero(apart < limit):
            one, two = sorted((int(order[at]), int(order[at + 1 + other])))
            yield one, two


def _distances(points: NDArray[np.float32], point: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root mean square differences ``(N,)``, in grey levels."""
    found: NDArray[np.float32] = np.sqrt(np.square(points - point).mean(1))
    return found


def _merged(samples: Sequence[Sample], pairs: Sequence[tuple[int, int]]) -> list[Sample]:
    """The samples, those linked by a pair or by their group all of one group."""
    if not pairs:
        return list(samples)
    root = list(range(len(samples)))

    def find(at: int) -> int:
        while root[at] != at:
            root[at] = root[root[at]]
            at = root[at]
        return at

    by_group: dict[str, int] = {}
    links = list(pairs)
    for at, sample in enumerate(samples):
        if sample.together is not None:
            links.append((by_group.setdefault(sample.together, at), at))
    for one, other in links:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    touched = {find(at) for pair in pairs for at in pair}
    name: dict[int, str] = {}
    for at, sample in enumerate(samples):
        if find(at) in touched and sample.together is not None:
            name.setdefault(find(at), sample.together)
    return [
        replace(sample, group=name.get(find(at), samples[find(at)].path.name))
        if find(at) in touched
        else sample
        for at, sample in enumerate(samples)
    ]


def _equal_said(samples: Sequence[Sample], pairs: Sequence[tuple[int, int]]) -> str:
    one, other = pairs[0]
    named = f"{samples[other].path.name} = {samples[one].path.name}"
    if len(pairs) == 1:
        return f"1 good image is another one byte for byte ({named}); both count once."
    return (
        f"{len(pairs)} good images are others byte for byte ({named}, …); each counts once, and "
        "such pictures stay together."
    )


def _near_said(samples: Sequence[Sample], pairs: Sequence[tuple[int, int]]) -> str:
    one, other = pairs[0]
    more = ", …" if len(pairs) > 1 else ""
    seen = Counter(at for pair in pairs for at in pair)
    return (
        f"{len(seen)} good images show the same as another one, only taken twice "
        f"({samples[other].path.name} ~ {samples[one].path.name}{more}); they stay together as one "
        "group. --group none treats each alone."
    )
