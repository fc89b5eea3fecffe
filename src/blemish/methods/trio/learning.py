"""Learning on: a product, or more good pictures of one, for a trio that is fitted.

The pictures that it was fitted on are not needed: what they left is enough (:mod:`growth`). Which
product a picture shows is settled anew, from the mean features of all, which the file keeps.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from blemish._progress import Important
from blemish.errors import ConfigError
from blemish.methods.base import OutOfFold
from blemish.methods.trio.collected import Collected
from blemish.methods.trio.growth import put_beside, put_in_place, remember, widen
from blemish.methods.trio.place_gaussian import FOLDS

if TYPE_CHECKING:
    from blemish.methods.trio.look import OneLook

#: Modules that hold something for every group.
_BY_GROUP = ("standardise", "gaussian", "layout", "scores", "weights")
#: New pictures of a product whose scores have as much say in its unit as what it was.
_PRIOR = 10.0
#: Share of the pictures that may seem to show another product before it is said.
_STRAYS = 0.1

Learned = tuple[OutOfFold | None, list[str]]


def check_learnable(trio: OneLook) -> None:
    """Refuse a trio whose file lacks what learning on needs."""
    _known(trio)


def learn_product(trio: OneLook, new: OneLook, seen: Collected, product: str) -> Learned:
    """Fit ``new`` on the pictures of a product and put it beside the others, left as they are.

    Returns what the new pictures score by each other, and what the user should know.
    """
    new.fit(seen)
    codes, _ = new.product.known()
    notes = [*new.notes(), *_taken_for(trio, torch.cat(codes), product)]
    put_product_beside(trio, new, product)
    return new.out_of_fold(), notes


def put_product_beside(trio: OneLook, new: OneLook, product: str) -> None:
    """Put the groups of a trio that is fitted on one product behind another's, as one more."""
    groups, parts = _known(trio)
    codes, own_parts = new.product.known()
    for name in (*_BY_GROUP, *_memories(trio)):
        put_beside(trio.get_submodule(name), new.get_submodule(name))
    shows = torch.cat([_shows(trio), torch.tensor([len(trio.products)] * len(codes))])
    _settle(trio, [*groups, *codes], [*parts, *own_parts], shows)
    trio.products = (*trio.products, product)


def learn_more(trio: OneLook, new: OneLook, seen: Collected, product: str) -> Learned:
    """Add pictures of a product that the trio knows; ``new`` is an unfitted one of one group."""
    groups, parts = _known(trio)
    generator, looks = seen.generator, seen.groups()  # of tiles there may be a coarse one besides
    found = looks[0]._replace(
        features=torch.cat([look.features for look in looks]),
        image=torch.cat([look.image for look in looks]),
        part=torch.cat([look.part for look in looks]),
    )
    codes = new.codes(found.features)
    notes = _taken_for(trio, codes, product)
    shows = _shows(trio)
    strange = shows != trio.products.index(product)
    squares = trio.product.squares(codes).masked_fill(strange.to(codes.device), torch.inf)
    unseen = []
    nearest = squares.argmin(1)
    for group in nearest.unique().tolist():
        own = torch.nonzero(nearest == group)[:, 0]
        known = len(parts[group].unique())
        part = found.part[own.cpu()].unique(return_inverse=True)[1]
        which = torch.full_like(own, group)
        features = trio.standardised(found.features[own].float(), which)
        memory = remember(
            trio.memory,
            group,
            features,
            part,
            rows=trio.config.rows,
            pool=trio.config.pool,
            generator=generator,
        )
        few = known < FOLDS
        place = widen(trio.gaussian, group, trio.wide(features).flatten(2), part, few=few)
        trio.weights.grow(group, known, known + len(part.unique()))
        local, shown = (trio.weights.local(own, place, which) for own in memory)
        quarters = widen(trio.layout, group, trio.region_means(features), part, few=few)
        both = torch.stack([local.amax(1), quarters.amax(1)], 1)
        branches = _in_new_unit(trio, group, both)
        unseen.append(trio.unseen(found.image[own.cpu()], shown, branches, group))
        groups[group] = torch.cat([groups[group], codes[own]])
        parts[group] = torch.cat([parts[group], part + parts[group].max() + 1])
    _settle(trio, groups, parts, shows)
    return OutOfFold.joined(unseen), notes


def _in_new_unit(trio: OneLook, group: int, both: Tensor) -> Tensor:
    """Take the unit of a group's scores from new pictures' ``(n, 2)``; returns these in it.

    The richer the memory, the lower all scores: what is kept of the old pictures, in deviations of
    good pictures as they were measured then, goes on to agree with the new ones, in deviations of
    good pictures as they are measured now.
    """
    scores, share = trio.scores, len(both) / (len(both) + _PRIOR)
    z = (both - scores.middle[group]) / scores.scale[group]
    middle = share * z.median(0).values
    scale = (share * z.var(0, correction=0) + 1 - share).sqrt()
    own = {
        "middle": scores.middle[group] + scores.scale[group] * middle,
        "scale": scores.scale[group] * scale,
    }
    put_in_place(scores, group, own)
    return (z - middle) / scale


def _memories(trio: OneLook) -> list[str]:
    return [
        f"memory.{part}.{k}" for part in ("banks", "usual") for k in range(len(trio.memory.banks))
    ]


def _known(trio: OneLook) -> tuple[list[Tensor], list[Tensor]]:
    groups, parts = trio.product.known()
    if not all(map(len, groups)):
        raise ConfigError(
            "This model was fitted by an earlier version, which kept too little of the good images "
            "to add to it. Fit again, with all images: blemish fit"
        )
    return groups, parts


def _shows(trio: OneLook) -> Tensor:
    """Place of the product that each group shows; those of an only product are its kinds."""
    shows = trio.product.shows.cpu()
    return shows if trio.recognises else torch.zeros_like(shows)


def _settle(trio: OneLook, groups: list[Tensor], parts: list[Tensor], shows: Tensor) -> None:
    trio.product.fit(groups, parts)
    trio.product.shows = shows.to(groups[0].device)


def _taken_for(trio: OneLook, codes: Tensor, product: str) -> list[str]:
    """A sentence about pictures of ``product`` that seem to show another."""
    if not trio.recognises:
        return []
    names = (*trio.products, "no product that it knew")  # the last for -1
    own = product if product in trio.products else names[-1]
    seen = Counter(names[k] for k in trio.product(codes)[1].tolist())
    return [
        Important(
            f"{count} of the {len(codes)} images of {product} look like {name} to the model as it "
            "was. If they show another product, learn them under its name: --product."
        )
        for name, count in seen.items()
        if name != own and count > _STRAYS * len(codes)
    ]
