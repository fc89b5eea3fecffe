"""Weights of the trio's measures by product, and their choice by a few labelled defects.

A plant that has some defects knows which measure sees them. Candidate weights, each some halvings
or doublings away from the usual ones, are compared by the p-values that they give the defects among
the good pictures, which others measure; a choice is taken only where defects that had no part in
it gain clearly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product as pairs
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from blemish.methods.base import Batch
from blemish.methods.trio.blocks import UsualScore
from blemish.nn.joint_score import soft_maximum
from blemish.nn.picture_groups import GroupBuffers

if TYPE_CHECKING:
    from blemish.methods.trio.look import OneLook

#: The memory's usual share of a patch's oddness: from this, of next to no good pictures,
_FEW_SHARE = 0.9
#: to this, of any number: how places vary is learned from many, what patches look like from few.
_MANY_SHARE = 0.5
#: Independent good pictures of which it is the mean of both.
_BETWEEN = 30
#: Deviations of a place beyond which their root counts: the tail of its distances is far longer
#: than that of the memory's, so that the oddest of good pictures would be odd by their place alone.
_LONG = 4.0
#: What the odds of that share are multiplied by, and how many steps that is.
_ODDS = {1 / 9: 2, 1 / 3: 1, 1.0: 0, 3.0: 1, 9.0: 2}
#: What the layout's weight is multiplied by, and how many steps that is: never by nothing, so that
#: one kind of defect does not blind the trio to another.
_FACTORS = {0.5: 1, 1.0: 0, 2.0: 1, 4.0: 2}
#: Every step must lower the product of the p-values by more than this factor.
_STEP = 1.5
#: To be taken, a choice must lower the product of the left-out defects' p-values by this factor,
_CLEAR = 5.0
#: and the sum of what each gains be so many times its error, the root of the sum of squares. Of
#: defects that no measure sees, one set in ten then changes the weights.
_SURE = 1.5
#: Defects of a product below which nothing is chosen.
FEWEST = 3


class Measures(NamedTuple):
    """What the trio's measures say of pictures of one group, in deviations of good ones."""

    memory: Tensor  # (n, P)
    place: Tensor  # (n, P)
    layout: Tensor  # (n,), of the quarter that is oddest
    plain: Tensor  # (n, P), the memory's as the map has it

    def of(self, rows: Tensor) -> Measures:
        """Those of some of the pictures."""
        return Measures(*(values[rows] for values in self))

    def local(self, share: float) -> Tensor:
        """Oddness of patches ``(n, P)``, of which so much is the memory's."""
        return oddness(self.memory, self.place, share)

    def shown(self, share: float) -> Tensor:
        """The same ``(n, P)``, as the map has it."""
        return oddness(self.plain, self.place, share)

    def branches(self, share: float) -> Tensor:
        """Structural and logical scores ``(n, 2)``, not yet in the unit of good pictures."""
        return torch.stack([self.local(share).amax(1), self.layout], 1)


class Good(NamedTuple):
    """Good pictures of one group, each measured by the others."""

    measures: Measures  # by those of the other folds
    part: Tensor  # (n,) number of the part that it shows
    image: Tensor  # (n,) position among all pictures
    alone: Measures  # by all, without the picture's own rows

    @property
    def unseen(self) -> bool:
        """Whether others measure them; the only part of a product measures itself."""
        return len(self.part.unique()) > 1

    def apart(self, layout: Tensor, share: float) -> Tensor:
        """Scores ``(n,)`` by the weights, of each without its own rows alone."""
        unit = UsualScore(2).to(layout.device)
        return soft_maximum(unit.fit([self.alone.branches(share)], [self.part])[0], layout)


class Weights(GroupBuffers):
    """How much the memory counts in a patch's oddness, and the layout in the score, by group.

    Shapes: groups ``(N,)``; deviations ``(N, P)`` → oddness ``(N, P)``; branches ``(N, 2)`` →
    scores ``(N,)``.
    """

    memory: Tensor  # (G,), the rest is the place's
    layout: Tensor  # (G,)

    def __init__(self, layout: float) -> None:
        super().__init__()
        self._layout = layout
        self.register_buffer("memory", torch.full((1,), _MANY_SHARE))
        self.register_buffer("layout", torch.full((1,), layout))

    def reset(self, counts: Sequence[int]) -> None:
        """The usual weights of groups of so many independent good pictures each."""
        self.memory = self.memory.new_tensor([usual_share(count) for count in counts])
        self.layout = self.layout.new_full((len(counts),), self._layout)

    def grow(self, group: int, before: int, now: int) -> None:
        """Follow a group's number of good pictures, unless labelled defects chose its weight."""
        if abs(float(self.memory[group]) - usual_share(before)) < 1e-6:
            self.memory[group] = usual_share(now)

    def local(self, memory: Tensor, place: Tensor, group: Tensor) -> Tensor:
        """Oddness of patches by what memory and place say."""
        return oddness(memory, place, self.memory.index_select(0, group)[:, None])

    def score(self, branches: Tensor, group: Tensor) -> Tensor:
        """Soft maximum of structural and weighted logical scores."""
        return soft_maximum(branches, self.layout.index_select(0, group))


def oddness(memory: Tensor, place: Tensor, share: Tensor | float) -> Tensor:
    """Oddness of patches by the deviations of memory and place, of which so much is the memory's.

    Example:
        >>> import torch
        >>> from blemish.methods.trio.weighing import oddness
        >>> oddness(torch.tensor([2.0, 2.0]), torch.tensor([3.0, 9.0]), 0.5).tolist()
        [2.5, 4.0]
    """
    return share * memory + (1 - share) * torch.minimum(place, (_LONG * place.clamp_min(0)).sqrt())


def usual_share(count: int) -> float:
    """The memory's share of a patch's oddness, given so many independent good pictures."""
    return _MANY_SHARE + (_FEW_SHARE - _MANY_SHARE) * _BETWEEN / (_BETWEEN + count)


def weigh(trio: OneLook, good: Sequence[Good], batches: Iterable[Batch]) -> list[str]:
    """Choose the weights of every product of which there are labelled defects.

    Args:
        trio: Fitted, its weights the usual ones.
        good: Its good pictures, by group.
        batches: The labelled defects.

    Returns:
        What the user should know, a sentence each.
    """
    found, strays = _measured(trio, batches)
    notes = [] if found is None else _weigh_products(trio, good, *found)
    if strays:
        one = strays == 1
        notes.append(
            f"{strays} labelled defect{'s show' if not one else ' shows'}, to the model, another "
            f"product than {'its' if one else 'their'} own or none, and weigh{'s' * one} nothing."
        )
    return notes


def _weigh_products(
    trio: OneLook, good: Sequence[Good], measures: Measures, group: Tensor
) -> list[str]:
    layout = trio.config.layout_weight
    notes = []
    shows = trio.product.shows.cpu() if trio.recognises else torch.zeros(len(good)).long()
    for place, name in enumerate(trio.products):
        own = [g for g in torch.nonzero(shows == place)[:, 0].tolist() if good[g].unseen]
        defects = [Measures(*(values[group == g] for values in measures)) for g in own]
        count = sum(len(some.layout) for some in defects)
        if count:
            usual = trio.weights.memory[own]
            choice = choose([good[g] for g in own], defects, layout, usual)
            trio.weights.memory[own] = shifted(usual, choice.odds)
            trio.weights.layout[own] = choice.factor * layout
            notes.append(sentence(name, count, choice, layout, float(usual.mean())))
    return notes


def _measured(
    trio: OneLook, batches: Iterable[Batch]
) -> tuple[tuple[Measures, Tensor] | None, int]:
    """Measures and groups ``(n,)`` of pictures, and how many do not show their product."""
    found, groups, strays = [], [], 0
    for batch in batches:
        features = trio.features(trio.levels(batch))
        group, shown, _ = trio.product(trio.codes(features))
        if trio.recognises:
            names = batch.products or ("",) * len(group)
            seen = [*trio.products, None]  # -1 is the last
            fits = [
                seen[k] is not None and name in (seen[k], "")
                for k, name in zip(shown.tolist(), names, strict=True)
            ]
            strays += fits.count(False)
            if not any(fits):
                continue
            kept = torch.tensor(fits, device=group.device)
            features, group = features[kept], group[kept]
        memory, place, quarters = trio.deviations(features, group)
        found.append(Measures(memory.odd, place, quarters.amax(1), memory.plain))
        groups.append(group)
    if not found:
        return None, strays
    together = Measures(*map(torch.cat, zip(*found, strict=True)))
    return (together, torch.cat(groups)), strays


class Choice(NamedTuple):
    """Weights, and p-values of the defects: by the usual ones, by these, and left out."""

    odds: float  # of the memory's usual share, so many times
    factor: float  # of the layout's usual weight
    before: float
    after: float
    left_out: float  # each by weights that the others choose; all three geometric means


def choose(
    good: Sequence[Good], defects: Sequence[Measures], layout: float, usual: Tensor
) -> Choice:
    """The weights of a product, by its labelled defects.

    A candidate is as good as the product of the p-values that it gives the defects is low, with a
    penalty for every step from the usual weights. Leave-one-out decides whether that is believed:
    each defect is measured by the weights that the others choose, and these p-values must be
    clearly lower than by the usual weights, together and one with another.

    Args:
        good: Good pictures of the product's groups, each measured by others.
        defects: Its labelled defects, group by group as ``good``.
        layout: The layout's usual weight.
        usual: The memory's usual share ``(groups,)``.
    """
    candidates = list(pairs(_ODDS, _FACTORS))
    steps = torch.tensor([_ODDS[o] + _FACTORS[f] for o, f in candidates])
    rows = []
    for odds in _ODDS:
        unit = UsualScore(2).to(good[0].part.device)
        shares = shifted(usual, odds).tolist()
        own = [g.measures.branches(share) for g, share in zip(good, shares, strict=True)]
        fine = torch.cat(unit.fit(own, parts_of(good)))
        found = torch.cat(
            [
                unit(d.branches(share), _all(g, d))
                for g, (d, share) in enumerate(zip(defects, shares, strict=True))
            ]
        )
        for factor in _FACTORS:
            weight = factor * layout
            rows.append(_log_p(soft_maximum(fine, weight), soft_maximum(found, weight)))
    log_p = torch.stack(rows).cpu()  # (C, n)
    at = candidates.index((1.0, 1.0))
    gain = log_p[at] - log_p  # (C, n)
    penalty = math.log(_STEP) * steps
    best = int((gain.sum(1) - penalty).argmax())
    without = (gain.sum(1, keepdim=True) - gain - penalty[:, None]).argmax(0)  # (n,)
    one_out = gain.gather(0, without[None])[0]
    needed = max(math.log(_CLEAR), _SURE * float(one_out.square().sum().sqrt()))
    if gain.shape[1] < FEWEST or float(one_out.sum()) < needed:
        best = at
    before, after = (float(log_p[row].mean().exp()) for row in (at, best))
    left_out = float((log_p[at] - one_out).mean().exp())
    return Choice(*candidates[best], before, after, left_out)


def parts_of(good: Sequence[Good]) -> list[Tensor]:
    """Which part each group's good pictures show, group by group."""
    return [own.part for own in good]


def shifted(share: Tensor, odds: float) -> Tensor:
    """Shares ``(n,)`` whose odds are so many times those of the given ones."""
    return odds * share / (odds * share + 1 - share)


def sentence(product: str, count: int, choice: Choice, layout: float, usual: float) -> str:
    """What labelled defects did to a product's weights, for the user; ``usual`` is the memory's."""
    who = f"{product or 'Training'}: {count} labelled defect{'s' * (count != 1)}"
    lie = f"beyond {1 - choice.before:.0%} of good images"
    if count < FEWEST:
        return f"{who} cannot weigh the measures ({FEWEST} can). They lie {lie}."
    if (choice.odds, choice.factor) == (1.0, 1.0):
        return f"{who} leave the weights as they are. They lie {lie}; no others are clearly better."
    said = []
    if choice.factor != 1:
        said.append(f"the layout counts {layout * choice.factor:g} instead of {layout:g}")
    if choice.odds != 1:
        share = float(shifted(torch.tensor(usual), choice.odds))
        said.append(f"the memory {share:.0%} of a patch's oddness instead of {usual:.0%}")
    return (
        f"{who}: {', '.join(said)}. They lie beyond {1 - choice.after:.0%} of good images instead "
        f"of {1 - choice.before:.0%} (each left out of the choice: {1 - choice.left_out:.0%}). "
        f"With {count} that says little of other kinds."
    )


def _log_p(good: Tensor, defects: Tensor) -> Tensor:
    """Logarithm of the conformal p-values ``(n,)`` of defects among good pictures ``(m,)``."""
    as_high = (good >= defects[:, None]).sum(1)
    return ((1 + as_high) / (1 + len(good))).double().log()


def _all(group: int, pictures: Measures) -> Tensor:
    return torch.full((len(pictures.layout),), group, device=pictures.layout.device)
