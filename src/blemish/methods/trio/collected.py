"""Good pictures of a fit, collected batch by batch: a sample of each product's by one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from blemish.methods.base import Batch
from blemish.methods.trio.pictures import TOGETHER, KeptPictures, ProductPictures

if TYPE_CHECKING:
    from blemish.methods.trio.look import OneLook


class Collected:
    """Patch features, and what goes with them, of the pictures of each product, or kind.

    Args:
        look: That sees them.
        seed: Of what is drawn; of each product the same, whatever others there are.
    """

    def __init__(self, look: OneLook, seed: int) -> None:
        self.look, self.seed = look, seed
        self._found: dict[tuple[str, bool], KeptPictures] = {}
        self._number: dict[str, int] = {}  # of each part
        self._seen, self._tiled = 0, False

    @property
    def generator(self) -> torch.Generator:
        """A new generator of the seed."""
        return torch.Generator().manual_seed(self.seed)

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products, in the order of their groups."""
        return tuple(dict.fromkeys(name for name, _ in self._found))

    @property
    def looks(self) -> bool:
        """Whether whole pictures are seen beside their tiles."""
        return any(whole for _, whole in self._found)

    def add(self, batch: Batch) -> None:
        """Take in some pictures."""
        self._tiled |= batch.pictures is not None
        levels = self._levels(batch)
        features = self.look.features(levels).half()
        count, seen = len(features), self._seen
        products = batch.products or ("",) * count
        parts = batch.parts or tuple(map(str, range(seen, seen + count)))
        pictures = batch.pictures or range(seen, seen + count)
        coarse = batch.coarse or (False,) * count
        named = zip(products, parts, pictures, coarse, strict=True)
        for at, (name, part, picture, whole) in enumerate(named):
            empty = KeptPictures(self.look.config.pictures, self.generator)
            own = self._found.setdefault((name, whole), empty)
            where = (seen + at, self._number.setdefault(f"{name}/{part}", len(self._number)))
            read = batch.pixels and partial(batch.pixels, at)
            own.add(features[at], [level[at] for level in levels], where, picture, read)
        self._seen += count

    def _levels(self, batch: Batch) -> list[Tensor]:
        if batch.images is None or batch.images.device.type != "cpu":
            return list(self.look.levels(batch))
        # What the teacher holds of many pictures at a time no processor's cache does.
        some = batch.images.split(TOGETHER)
        each = [self.look.levels(Batch(images=images)) for images in some]
        return [torch.cat(own) for own in zip(*each, strict=True)]

    def groups(self) -> list[ProductPictures]:
        """What was collected, by product."""
        return [
            own.group()._replace(product=name, whole=whole or not self._tiled)
            for (name, whole), own in self._found.items()
        ]

    def notes(self, few: int) -> list[str]:
        """A sentence for every product of fewer good pictures than this."""
        return [
            f"{name or 'Training'}: {own.seen} good images only. What is usual, and how much it "
            "varies, is known roughly; a dozen or more find more."
            for (name, whole), own in self._found.items()
            if own.seen < few and not whole
        ]


def collect(looks: Sequence[OneLook], batches: Iterable[Batch]) -> list[Collected]:
    """What each look has of the same good pictures, which are read once."""
    # The pictures' own numbers: they follow from the training's seed and nothing in between.
    seed = int(torch.randint(2**62, ()))
    collected = [Collected(look, seed) for look in looks]
    for batch in batches:
        for own in collected:
            own.add(batch)
    return collected
