"""Symmetries: turns and mirrorings after which a product's good pictures look as good as before.

Parts that lie in the picture as they fell, textures, cells that look the same from both ends: a
turned copy of a good picture is a good picture then, and few pictures lack just those. Which turns
are such is told from the pictures themselves. Each half of them is compared with the other, with
its patches and with what it has at each place, as it is and turned: a part that always lies alike
is far odder turned, and is left alone.
No picture is interpolated; of other than square inputs only what keeps their shape is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from blemish.data.sample import spread
from blemish.methods.base import Batch
from blemish.methods.trio.blocks import ProductScale
from blemish.methods.trio.memory import again, patches_of
from blemish.methods.trio.pictures import COPY, TOGETHER, ProductPictures

if TYPE_CHECKING:
    from blemish.methods.trio.look import OneLook

Turn = Callable[[Tensor], Tensor]
#: Named ways to turn pictures ``(…, H, W)``; the first three keep the shape of any.
TURNS: dict[str, Turn] = {
    "turned half round": lambda x: x.flip((-2, -1)),
    "mirrored left to right": lambda x: x.flip(-1),
    "mirrored top to bottom": lambda x: x.flip(-2),
    "turned left": lambda x: x.rot90(1, (-2, -1)),
    "turned right": lambda x: x.rot90(3, (-2, -1)),
    "mirrored in one diagonal": lambda x: x.transpose(-2, -1),
    "mirrored in the other": lambda x: x.flip((-2, -1)).transpose(-2, -1),
}
_INVERSE = ("turned left", "turned right")
#: Independent good pictures below which nothing is told of them.
FEWEST = 8
#: Turned pictures may be farther from the others than they are themselves by this many deviations
#: of good pictures: those of products that lie anyhow are by 0.9 at most, others by 1.2 to 140.
_AS_GOOD = 1.0
#: Pictures of a half that are looked at: first these, then all, for most turns are far off.
_LOOKS = (2, 12)
#: Patches of the other half that they are compared with; of each picture one in so many.
_PATCHES, _ONE_IN = 3000, 2


def with_copies(
    trio: OneLook, group: ProductPictures, generator: torch.Generator
) -> tuple[ProductPictures, list[str]]:
    """A product's good pictures, and turned copies up to ``TrioConfig.turned`` of both.

    None are made of pictures that cannot be read again, such as tiles. Returns what the user
    should know, too.
    """
    count, most = len(group.features), trio.config.turned
    if not count == len(group.pixels) < most:
        return group, []
    unit = ProductScale(trio.width).to(group.features.device)
    unit.fit([group.moments], trio.widths)
    known: dict[tuple[str, int], Tensor] = {}  # what was tried is not computed again

    def turned(turn: str, rows: Sequence[int]) -> Tensor:
        asked = [row for row in rows if (turn, row) not in known]
        for at in range(0, len(asked), TOGETHER):
            some = asked[at : at + TOGETHER]
            images = torch.stack([TURNS[turn](group.pixels[row]()) for row in some])
            levels = trio.levels(Batch(images=images.to(group.features.device)))
            own = trio.features(levels).to(group.features.dtype)
            known.update(zip([(turn, row) for row in some], own, strict=True))
        return torch.stack([known[turn, row] for row in rows])

    def standardised(features: Tensor) -> Tensor:
        only = torch.zeros(len(features), dtype=torch.long, device=features.device)
        return unit(trio.wide(features).float(), only)

    turns = symmetries(
        standardised(group.features),
        group.part,
        lambda turn, rows: standardised(turned(turn, rows)),
        square=trio.square,
        generator=again(generator),
    )
    made = copies(count, turns, most)
    if not made:
        return group, []
    of = torch.tensor([row for row, _ in made], device=group.part.device)
    together = group._replace(
        features=torch.cat([group.features, *(turned(turn, [row]) for row, turn in made)]),
        image=torch.cat([group.image, torch.full_like(of, COPY)]),
        part=torch.cat([group.part, group.part[of]]),
    )
    return together, [sentence(group.product, count, len(made), turns)]


def symmetries(
    features: Tensor,
    part: Tensor,
    turned: Callable[[str, Sequence[int]], Tensor],
    *,
    square: bool,
    generator: torch.Generator,
) -> list[str]:
    """Names of the turns that leave a product's good pictures ``(n, D, h, w)`` as good as they are.

    Args:
        features: In deviations of the product's channels.
        part: Which part each picture shows ``(n,)``; views of one part are in one half.
        turned: Gives the features of some of the pictures, turned as named.
        square: Whether the pictures are.
        generator: Draws the patches to compare with.
    """
    half = part.unique(return_inverse=True)[1].to(features.device) % 2
    if int(part.unique().numel()) < FEWEST:
        return []
    patches, places = [], []  # of the other half, and its mean at each place
    for own in (0, 1):
        others = features[half != own].float()
        known = patches_of(others).flatten(0, 1)
        drawn = torch.randperm(len(known), generator=generator)[:_PATCHES]
        patches.append(known[drawn.to(known.device)])
        places.append(others.mean(0))
    rows = [spread(torch.nonzero(half == own)[:, 0].tolist(), _LOOKS[-1]) for own in (0, 1)]

    def apart(pictures: Tensor, own: int) -> Tensor:
        """How far pictures are ``(m, 2)`` from patches of the other half, and from its places."""
        found = []
        for picture in pictures.float():
            some = picture.flatten(1).T[::_ONE_IN]
            nearest = torch.cdist(some, patches[own]).min(1).values.mean()
            found.append(torch.stack([nearest, (picture - places[own]).norm(dim=0).mean()]))
        return torch.stack(found)

    before = [apart(features[own], k) for k, own in enumerate(rows)]
    usual = torch.cat(before)
    deviation = torch.maximum(usual.std(0), 0.02 * usual.mean(0)).clamp_min(1e-6)

    def keep(turns: Sequence[str]) -> bool:
        for looks, limit in zip(_LOOKS, (2 * _AS_GOOD, _AS_GOOD), strict=True):
            farther = [
                apart(turned(turn, own[:looks]), k) - before[k][:looks]
                for turn in turns
                for k, own in enumerate(rows)
            ]
            if float((torch.cat(farther).mean(0) / deviation).max()) > limit:
                return False
        return True

    tried = turns_of(square=square)
    # One turned left is one turned right seen the other way about: both are, or neither.
    apiece = [(turn,) for turn in tried if turn not in _INVERSE]
    asked = [*apiece, _INVERSE] if square else apiece
    kept = {turn for turns in asked if keep(turns) for turn in turns}
    return [turn for turn in tried if turn in kept]


def turns_of(*, square: bool) -> list[str]:
    """Names of the turns that keep the pictures' shape."""
    return list(TURNS)[: None if square else 3]


def most_copies(count: int, most: int, *, square: bool) -> int:
    """How many copies of so many pictures there are if they look as good turned in every way."""
    return len(copies(count, turns_of(square=square), most)) if count >= FEWEST else 0


def copies(count: int, turns: Sequence[str], most: int) -> list[tuple[int, str]]:
    """Which of so many pictures to copy how, so that there are ``most`` at most.

    Every picture is copied once before one is copied twice, and no copy is made twice.

    Example:
        >>> from blemish.methods.trio.symmetries import copies
        >>> copies(2, ["turned left", "turned right"], 5)
        [(0, 'turned left'), (1, 'turned right'), (0, 'turned right')]
    """
    if not turns:
        return []
    wanted = range(max(0, min(most - count, count * len(turns))))
    return [(k % count, turns[(k // count + k % count) % len(turns)]) for k in wanted]


def sentence(product: str, pictures: int, made: int, turns: Sequence[str]) -> str:
    """What was found and done, for the user."""
    *first, last = turns
    how = f"{', '.join(first)} and {last}" if first else last
    if set(turns) == set(TURNS):
        how = "any way round and mirrored"
    return (
        f"{product or 'Training'}: these {pictures} good images look as good {how}; {made} such "
        "copies of them are learned as well. Where a part that lies so is a defect, "
        "--set turned=0 learns none."
    )
