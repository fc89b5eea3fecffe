"""One look of the trio: nearest neighbour, position Gaussian and layout at one input size.

What the three measures are, and how they become one score, says :mod:`blemish.methods.trio.model`,
which looks at large pictures twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish._progress import Important
from blemish.methods.base import Batch, Method, MethodOutput, OutOfFold, Stage
from blemish.methods.settings import MethodConfig
from blemish.methods.trio.blocks import Apart, ProductScale, UsualScore
from blemish.methods.trio.collected import Collected, collect
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.learning import check_learnable, learn_more, learn_product
from blemish.methods.trio.memory import PatchMemory
from blemish.methods.trio.pictures import COPY, ProductPictures
from blemish.methods.trio.place_gaussian import PlaceGaussian
from blemish.methods.trio.product_code import ProductCode
from blemish.methods.trio.surface import surface_notes
from blemish.methods.trio.symmetries import most_copies, with_copies
from blemish.methods.trio.weighing import Good, Measures, Weights, weigh
from blemish.nn.anomaly_map import MapFusion
from blemish.nn.joint_score import soft_maximum
from blemish.nn.patch_features import PatchFeatures
from blemish.nn.picture_groups import PictureGroups
from blemish.nn.shrink import Shrink
from blemish.teachers.teacher import Teacher

#: Rows and columns of the layout's regions.
_LAYOUT = 2
#: Good pictures of a product below which the user is told that they are few.
_FEW = 8
#: Largest difference of pictures, in deviations of a channel, that is rounding.
_ALIKE = 0.05
#: Folds of cross-fitting: good pictures up to which there are more, and how many.
_FEWER, _MORE_FOLDS, _FOLDS = 100, 10, 5


class OneLook(Method):
    """Memory, position Gaussian and layout of pictures as large as the network sees them.

    Pictures that come larger are shrunk first: ``comes``, ``(H, W)``, says how large.

    Example:
        >>> import torch
        >>> from blemish.methods.trio.config import TrioConfig
        >>> from blemish.methods.trio.look import OneLook
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = OneLook(TrioConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> output = method(torch.zeros(2, 3, 64, 96))
        >>> tuple(output.anomaly_map.shape), sorted(output.branches)
        ((2, 1, 64, 96), ['logical', 'structural'])
    """

    config: TrioConfig
    config_class: ClassVar[type[MethodConfig]] = TrioConfig
    branch_names: ClassVar[tuple[str, ...]] = ("structural", "logical")
    cross_fits: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    uses_labelled_anomalies: ClassVar[bool] = True

    def __init__(
        self,
        config: TrioConfig,
        teacher: Teacher,
        input_size: tuple[int, int],
        *,
        comes: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(config, teacher, input_size)
        #: ``(H, W)`` of the pictures as they come.
        self.comes = comes = comes or input_size
        self.shrink = None if comes == input_size else Shrink(comes, input_size)
        #: Whether pictures can be turned by quarters.
        self.square = comes[0] == comes[1] and input_size[0] == input_size[1]
        #: ``(H, W)`` at which the teacher sees pictures.
        self.seen = input_size
        self.width = width = sum(teacher.channels)
        #: Channels of the levels, network by network.
        self.widths = [own for network in teacher.networks for own in network]
        grid = _grid(config, teacher)
        sizes = self.level_sizes * len(teacher.networks)
        self.patches = PatchFeatures(sizes, grid=grid, neighbourhood=config.neighbourhood)
        # Patches without what is around them; the same where there is nothing around.
        self.alone = PatchFeatures(sizes, grid=grid, neighbourhood=1)
        self.kinds = 2 if config.neighbourhood > 1 else 1
        height, across = self.patches.size
        self.product = ProductCode(width)
        self.standardise = ProductScale(width)
        self.memory = PatchMemory([*map(sum, teacher.networks)] * self.kinds, self.patches.size)
        self.gaussian = PlaceGaussian(width, height * across)
        self.regions = (min(_LAYOUT, height), min(_LAYOUT, across))
        self.layout = PlaceGaussian(width, self.regions[0] * self.regions[1])
        self.scores = UsualScore(len(self.branch_names))
        self.weights = Weights(config.layout_weight)
        self.fusion = MapFusion([self.patches.size], input_size, config.sigma)
        self.looks = False  # whether whole pictures are seen beside their tiles
        self._notes: list[str] = []
        self._good: list[Good] = []  # of the last fit, by group
        self._out_of_fold: OutOfFold | None = None

    def stages(self) -> list[Stage]:
        return []

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        raise ValueError("the trio trains nothing, so there is no loss")

    @property
    def each(self) -> list[OneLook]:
        """All looks at a picture, this one first."""
        return [self]

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        for look, seen in zip(self.each, collect(self.each, batches), strict=True):
            look.fit(seen)

    def fit(self, seen: Collected) -> None:
        """:meth:`fit_statistics` of good pictures that were collected."""
        generator = seen.generator
        self.products = seen.products
        self.looks, self._notes = seen.looks, seen.notes(_FEW)
        groups = []
        for own in seen.groups():
            group, notes = with_copies(self, own, generator)
            groups.append(group)
            self._notes += notes
        if len(self.products) == 1 and self.config.groups > 1:
            groups = [kind for group in groups for kind in self._kinds(group)]
        parts = [group.part for group in groups]
        kept = [group.features for group in groups]
        shows = [self.products.index(group.product) for group in groups] if self.looks else None
        self.product.fit([self.codes(features) for features in kept], parts, shows)
        self.standardise.fit([group.moments for group in groups], self.widths)
        for g, features in enumerate(kept):
            for own in features.split(64):
                place = torch.full((len(own),), g, device=own.device)
                own.copy_(self.standardised(own.float(), place))
        if any(len(f) > 1 and float((f - f[:1]).abs().amax()) < _ALIKE for f in kept):
            self._notes.append(
                Important(
                    "The good images of a product are all the same to the network, so that any "
                    "picture may be a defect. Give ones of different parts; for 16-bit images, "
                    "name the bits in use (--bit-depth)."
                )
            )
        self.weights.reset([len(part.unique()) for part in parts])
        folds = [self.folds(part) for part in parts]
        alone, unseen = self._fit(kept, parts, folds, generator)
        if self.config.layout_weight > 0:
            size, name = self.patches.size, self.teacher.name
            self._notes += surface_notes(self.gaussian, groups, size, name)
        # Limits are for pictures as they come: copies have no say in them.
        came = [torch.nonzero(group.image != COPY)[:, 0] for group in groups]
        self._good = [
            Good(new.of(own), group.part[own], group.image[own], apart.of(own))
            for group, own, new, apart in zip(groups, came, unseen, alone, strict=True)
        ]
        self._take_unit()

    def folds(self, part: Tensor) -> Tensor:
        """Fold ``(n,)`` of each picture of a group, those of one part in the same."""
        number = part.unique(return_inverse=True)[1]
        return number % min(int(number.max()) + 1, _FOLDS if len(part) > _FEWER else _MORE_FOLDS)

    def _fit(
        self,
        kept: list[Tensor],
        parts: list[Tensor],
        folds: list[Tensor],
        generator: torch.Generator,
    ) -> tuple[list[Measures], list[Measures]]:
        """Fit every measure on standardised :meth:`features` of the parts ``(n,)``.

        Returns what they say of the pictures, each without its own rows and moments; and what
        measures say that were fitted without their fold. Only so are they as new to what measures
        them as a new picture is to the whole model: a memory that loses one picture's rows has a
        hole just there, and the distances that are usual among fewer pictures are longer.
        """
        places = [self.wide(f).flatten(2) for f in kept]
        quarters = [torch.cat([self.region_means(s.float()) for s in f.split(64)]) for f in kept]
        both = zip(
            self.memory.fit(
                kept, parts, folds, generator, rows=self.config.rows, pool=self.config.pool
            ),
            self.gaussian.cross_fit(places, parts, folds),
            self.layout.cross_fit(quarters, parts, folds),
            strict=True,
        )
        alone, unseen = (
            [Measures(m.odd, p, q.amax(1), m.plain) for m, p, q in zip(*each, strict=True)]
            for each in both
        )
        return alone, unseen

    def weigh(self, batches: Iterable[Batch]) -> None:
        self._notes += weigh(self, self._good, batches)
        self._take_unit()

    def _take_unit(self) -> None:
        """Bring the scores to the unit of good pictures, by the weights as they are."""
        shares = self.weights.memory.tolist()
        raw = [own.measures.branches(w) for own, w in zip(self._good, shares, strict=True)]
        self.scores.fit(raw, [own.part for own in self._good])
        # One unit for them and for new pictures: ranks among them are what limits are made of, and
        # with units of their own the odd ones would stand farther out than new ones as odd.
        branches = [
            self.scores(own, torch.full((len(own),), g, device=own.device))
            for g, own in enumerate(raw)
        ]
        found = []
        for g, (own, share) in enumerate(zip(self._good, shares, strict=True)):
            # A product's only part is measured by no other, which says nothing of a new one.
            new = slice(None) if own.unseen else slice(0)
            shown = own.measures.shown(share)[new]
            apart = own.apart(self.weights.layout[g], share)[new]
            unseen = self.unseen(own.image[new], shown, branches[g][new], g)
            found.append(unseen._replace(apart=apart))
        self._out_of_fold = OutOfFold.joined(found)

    def learn(self, batches: Iterable[Batch], product: str) -> None:
        known = self.products  # which a file has once, whatever looks there are
        for look in self.each:
            look.products = known
            check_learnable(look)  # before the work
        learn = learn_more if product in known else learn_product
        new = [look.unfitted() for look in self.each]
        for look, one, seen in zip(self.each, new, collect(new, batches), strict=True):
            look._out_of_fold, look._notes = learn(look, one, seen, product)

    def unfitted(self) -> OneLook:
        """One like this for one product, whose kinds of picture are not told apart."""
        new = OneLook(replace(self.config, groups=1), self.teacher, self.seen, comes=self.comes)
        return new.to(self.gaussian.mean.device)

    def unseen(self, image: Tensor, shown: Tensor, branches: Tensor, group: int) -> OutOfFold:
        """What a group's pictures score, measured by others, given patches and branches."""
        maps = [self._map(some).flatten(1) for some in shown.split(64)]
        return OutOfFold(
            image,
            soft_maximum(branches, self.weights.layout[group]),
            torch.cat([some.amax(1) for some in maps]),
            torch.cat([some.median(1).values for some in maps]),
            {name: branches[:, i] for i, name in enumerate(self.branch_names)},
        )

    def out_of_fold(self) -> OutOfFold | None:
        return self._out_of_fold

    def levels(self, batch: Batch) -> tuple[Tensor, ...]:
        if self.shrink is None or batch.images is None:
            return super().levels(batch)
        return tuple(self.teacher(self.shrink(batch.images)))

    def forward(self, images: Tensor) -> MethodOutput:
        return self.measure(self.levels(Batch(images=images)))

    def measure(self, levels: Sequence[Tensor], group: Tensor | None = None) -> MethodOutput:
        """Anomaly map and scores of pictures, given the teacher's levels.

        Their groups ``(N,)`` are told from the pictures, unless they are given.
        """
        features = self.features(levels)
        codes = self.codes(features)  # (N, D)
        own, product, rival = self.product(codes)  # (N,) each
        return self.judged(features, codes, (own if group is None else group, product, rival))

    def judged(
        self, features: Tensor, codes: Tensor, shown_by: tuple[Tensor, Tensor, Tensor]
    ) -> MethodOutput:
        """The same of :meth:`features` and :meth:`codes`, by group, product and rival ``(N,)``."""
        group, product, rival = shown_by
        memory, place, quarters = self.deviations(features, group)
        local, shown = (self.weights.local(own, place, group) for own in memory)
        strange = self.product.strange(codes, local, group)
        branches = self.scores(torch.stack([local.amax(1), quarters.amax(1)], 1), group)  # (N, 2)
        return MethodOutput(
            self._map(shown),
            self.weights.score(branches, group),
            {name: branches[:, i] for i, name in enumerate(self.branch_names)},
            quarters.view(-1, 1, *self.regions),
            product.masked_fill(strange, -1) if self.recognises else None,
            rival.masked_fill(strange, -1) if self.recognises else None,
        )

    def features(self, levels: Sequence[Tensor]) -> Tensor:
        """Patches with their neighbourhood and, behind these, alone ``(N, S·D, h, w)``."""
        levels = self.teacher.by_network(levels)
        wide = self.patches(levels)
        return wide if self.kinds == 1 else torch.cat([wide, self.alone(levels)], 1)

    def wide(self, features: Tensor) -> Tensor:
        """Those with their neighbourhood ``(N, D, h, w)`` of :meth:`features`."""
        return features[:, : self.width]

    def codes(self, features: Tensor) -> Tensor:
        """Mean features ``(N, D)``, of many pictures few in full precision at a time."""
        if torch.compiler.is_exporting():
            return self.wide(features).mean((2, 3))
        return torch.cat([self.wide(some).float().mean((2, 3)) for some in features.split(64)])

    def standardised(self, features: Tensor, group: Tensor) -> Tensor:
        """:meth:`features` in deviations of their product's channels."""
        own = features.split(self.width, 1)
        return torch.cat([self.standardise(some, group) for some in own], 1)

    def deviations(self, features: Tensor, group: Tensor) -> tuple[Apart, Tensor, Tensor]:
        """By memory and by place ``(N, P)``, by layout ``(N, regions)``, of :meth:`features`."""
        return self._deviations(self.standardised(features, group), group)

    def _deviations(self, features: Tensor, group: Tensor) -> tuple[Apart, Tensor, Tensor]:
        return (
            self.memory(features, group),
            self.gaussian(self.wide(features).flatten(2), group),
            self.layout(self.region_means(features), group),
        )

    @property
    def recognises(self) -> bool:
        # Of one product the groups are kinds of picture, which have no names.
        return len(self.products) > 1

    def most_copies(self, good: int) -> int:
        return most_copies(good, self.config.turned, square=self.square)

    def notes(self) -> list[str]:
        return self._notes

    def _map(self, shown: Tensor) -> Tensor:
        """Anomaly map ``(N, 1, H, W)`` of the oddness of patches ``(N, P)``."""
        return self.fusion([shown.view(-1, 1, *self.patches.size)])

    def region_means(self, features: Tensor) -> Tensor:
        """Mean features ``(N, D, regions)`` of the regions, of :meth:`features`."""
        (height, across), (rows, columns) = self.patches.size, self.regions
        return F.avg_pool2d(self.wide(features), (height // rows, across // columns)).flatten(2)

    def _kinds(self, group: ProductPictures) -> list[ProductPictures]:
        """The kinds of picture that are clearly apart, all as one where there are none."""
        codes = self.codes(group.features)
        codes = (codes - codes.mean(0)) / codes.std(0, correction=0).clamp_min(1e-6)
        kinds = PictureGroups(codes.shape[1])
        kinds.fit(codes, most=self.config.groups)
        member = kinds(codes.cpu()).argmax(1)
        chosen = [torch.nonzero(member == k)[:, 0] for k in member.unique().tolist()]
        if any((group.image[own] == COPY).all() for own in chosen):
            return [group]  # of copies alone nothing is known that would be usual
        return [
            group._replace(
                features=group.features[own.to(group.features.device)],
                image=group.image[own],
                part=group.part[own],
            )
            for own in chosen
        ]


def _grid(config: TrioConfig, teacher: Teacher) -> int:
    """Position of the teacher's level whose grid the patches lie on."""
    if config.grid is not None:
        teacher.check_levels("grid", config.grid)
        return config.grid - 1
    strides = teacher.strides
    return min(range(len(strides)), key=lambda level: abs(math.log2(strides[level] / 16)))
