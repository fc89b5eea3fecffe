"""Trio: nearest neighbour, position Gaussian and layout of one frozen teacher, as one verdict.

Ours, of known parts: the memory of PatchCore, the Gaussians of PaDiM, a layout.

Three questions about a picture, each answered from good pictures alone and in
closed form: is every patch like some patch seen before (the memory of PatchCore, Roth et al., CVPR
2022); is it what belongs at this place (the Gaussians of PaDiM, Defard et al., ICPR 2021); and do
the quarters of the picture hold, on the whole, what they should (the Mahalanobis distance of mean
features, as of a logical branch)? What makes them one measure is that each is standardised by what
good pictures leave of it: for the row of the memory, for the place, for the product; and always for
pictures that the measure was not fitted on. A patch's oddness is the mean of the first two, the
structural score its maximum; the layout is the logical branch; the score is the soft maximum of
both, in deviations of good pictures.

Each product has its own memory, means and covariance. Which product a picture shows is told from
the picture; where none are named, kinds of picture that are clearly apart are found without labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.methods.base import Batch, Method, MethodOutput, Stage
from blemish.methods.settings import MethodConfig
from blemish.methods.trio.blocks import (
    Moments,
    PlaceGaussian,
    ProductCode,
    ProductScale,
    UsualDistance,
    UsualScore,
    nearest_of_others,
)
from blemish.methods.trio.config import TrioConfig
from blemish.nn.anomaly_map import MapFusion
from blemish.nn.coreset import greedy_k_centre
from blemish.nn.memory_bank import MemoryBank
from blemish.nn.patch_features import PatchFeatures
from blemish.nn.picture_groups import PictureGroups
from blemish.teachers.teacher import Teacher

#: Rows and columns of the layout's regions.
_LAYOUT = 2
#: Good pictures of a product below which the user is told that they are few.
_FEW = 8


class Trio(Method):
    """Memory, position Gaussian and layout. See the module for what they are and where from.

    Example:
        >>> import torch
        >>> from blemish.methods.trio.config import TrioConfig
        >>> from blemish.methods.trio.model import Trio
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = Trio(TrioConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> output = method(torch.zeros(2, 3, 64, 96))
        >>> tuple(output.anomaly_map.shape), sorted(output.branches)
        ((2, 1, 64, 96), ['logical', 'structural'])
    """

    config: TrioConfig
    config_class: ClassVar[type[MethodConfig]] = TrioConfig
    branch_names: ClassVar[tuple[str, ...]] = ("structural", "logical")

    def __init__(self, config: TrioConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        super().__init__(config, teacher, input_size)
        width = sum(teacher.channels)
        self.patches = PatchFeatures(
            self.level_sizes, grid=_grid(config, teacher), neighbourhood=config.neighbourhood
        )
        height, across = self.patches.size
        self.product = ProductCode(width)
        self.standardise = ProductScale(width)
        self.bank = MemoryBank(width)
        self.usual = UsualDistance(self.patches.size)
        self.gaussian = PlaceGaussian(width, height * across)
        self.regions = (min(_LAYOUT, height), min(_LAYOUT, across))
        self.layout = PlaceGaussian(width, self.regions[0] * self.regions[1])
        self.scores = UsualScore(len(self.branch_names))
        self.fusion = MapFusion([self.patches.size], input_size, config.sigma)
        self._notes: list[str] = []

    def stages(self) -> list[Stage]:
        return []

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        raise ValueError("the trio trains nothing, so there is no loss")

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        # The pictures' own numbers: they follow from the training's seed and nothing in between.
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        kept, moments = self._by_product(batches, generator)
        self.product.fit([features.float().mean((2, 3)) for features in kept])
        self.standardise.fit(moments, self.teacher.channels)
        for g, features in enumerate(kept):
            for own in features.split(64):
                own.copy_(self.standardise(own.float(), torch.full((len(own),), g)))
        owners = self._remember(kept, generator)
        measured = [
            (*nearest_of_others(self.bank, g, _queries(features), own), len(own))
            for g, (features, own) in enumerate(zip(kept, owners, strict=True))
        ]
        patchwise = self.usual.fit(measured)
        placewise = self.gaussian.fit(features.float().flatten(2) for features in kept)
        quarters = self.layout.fit(self._regions(features.float()) for features in kept)
        self.scores.fit(
            [
                torch.stack([((a + b) / 2).amax(1), c.amax(1)], 1)
                for a, b, c in zip(patchwise, placewise, quarters, strict=True)
            ]
        )

    def forward(self, images: Tensor) -> MethodOutput:
        features = self.patches(self.teacher(images))  # (N, D, h, w)
        group = self.product(features.mean((2, 3)))  # (N,)
        features = self.standardise(features, group)
        rows = self.usual.of_rows()
        distances, usual = self.bank.nearest(_queries(features), rows, group)  # (N, P), (N, P, 2)
        placewise = self.gaussian(features.flatten(2), group)
        local = (self.usual(distances, usual, group) + placewise) / 2
        quarters = self.layout(self._regions(features), group)  # (N, regions)
        branches = self.scores(torch.stack([local.amax(1), quarters.amax(1)], 1), group)  # (N, 2)
        return MethodOutput(
            self.fusion([local.view(-1, 1, *self.patches.size)]),
            branches.logsumexp(1),
            {name: branches[:, i] for i, name in enumerate(self.branch_names)},
            quarters.view(-1, 1, *self.regions),
        )

    def notes(self) -> list[str]:
        return self._notes

    def _regions(self, features: Tensor) -> Tensor:
        """Mean features ``(N, D, regions)`` of the regions of ``(N, D, h, w)``."""
        (height, across), (rows, columns) = self.patches.size, self.regions
        return F.avg_pool2d(features, (height // rows, across // columns)).flatten(2)

    def _by_product(
        self, batches: Iterable[Batch], generator: torch.Generator
    ) -> tuple[list[Tensor], list[Moments]]:
        """Patch features ``(n, D, h, w)`` float16 and channels' moments, by product or group."""
        found: dict[str, _Pictures] = {}
        for batch in batches:
            levels = self.levels(batch)
            features = self.patches(levels).half()
            for at, name in enumerate(batch.products or [""] * len(features)):
                own = found.setdefault(name, _Pictures(self.config.pictures, generator))
                own.add(features[at], [level[at] for level in levels])
        self._notes = [
            f"{name or 'Training'}: {own.seen} good images only. What is usual, and how much it "
            "varies, is known roughly; a dozen or more find more."
            for name, own in found.items()
            if own.seen < _FEW
        ]
        groups, moments = (
            [torch.stack(p.kept) for p in found.values()],
            [p.moments() for p in found.values()],
        )
        if len(groups) == 1 and self.config.groups > 1:
            groups = self._kinds(groups[0])
            moments *= len(groups)
        return groups, moments

    def _kinds(self, features: Tensor) -> list[Tensor]:
        """The kinds of picture that are clearly apart, all as one where there are none."""
        codes = features.float().mean((2, 3))
        codes = (codes - codes.mean(0)) / codes.std(0, correction=0).clamp_min(1e-6)
        kinds = PictureGroups(codes.shape[1])
        kinds.fit(codes, most=self.config.groups)
        member = kinds(codes.cpu()).argmax(1).to(features.device)
        return [features[member == k] for k in member.unique().tolist()]

    def _remember(self, kept: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Fill the memory; says which picture of its group each row came from."""
        rows, owners = [], []
        for features in kept:
            count, places = len(features), features[0, 0].numel()
            each = min(places, math.ceil(self.config.pool / count))
            order = torch.rand(count, places, generator=generator).topk(each, 1).indices
            drawn = zip(_queries(features), order.to(features.device), strict=True)
            pool = torch.cat([own[at] for own, at in drawn]).float()
            taken = greedy_k_centre(pool, self.config.rows, generator=generator)
            rows.append(pool[taken])
            owners.append(taken // each)
        self.bank.fill(rows)
        return owners


class _Pictures:
    """Good pictures of one product: features of a sample of them, moments of all."""

    def __init__(self, most: int, generator: torch.Generator) -> None:
        self.most, self.generator = most, generator
        self.kept: list[Tensor] = []
        self.seen = 0
        self._sums: Tensor | float = 0.0

    def add(self, features: Tensor, levels: list[Tensor]) -> None:
        flat = [level.double().flatten(1) for level in levels]  # (C_l, H_l·W_l)
        self._sums = self._sums + torch.stack(
            [torch.cat([f.mean(1) for f in flat]), torch.cat([f.square().mean(1) for f in flat])]
        )
        # Reservoir sampling (Vitter, 1985): each picture is as likely to be kept.
        at = self.seen
        if at >= self.most:
            at = int(torch.randint(self.seen + 1, (), generator=self.generator))
        self.seen += 1
        if at == len(self.kept):
            self.kept.append(features)
        elif at < self.most:
            self.kept[at] = features

    def moments(self) -> Moments:
        mean, square = torch.as_tensor(self._sums) / self.seen
        return Moments(mean.float(), (square - mean.square()).clamp_min(0).sqrt().float())


def _queries(features: Tensor) -> Tensor:
    """Patches ``(N, P, D)`` of features ``(N, D, h, w)``."""
    return features.flatten(2).transpose(1, 2)


def _grid(config: TrioConfig, teacher: Teacher) -> int:
    """Position of the teacher's level whose grid the patches lie on."""
    if config.grid is not None:
        teacher.check_levels("grid", config.grid)
        return config.grid - 1
    strides = teacher.strides
    return min(range(len(strides)), key=lambda level: abs(math.log2(strides[level] / 16)))
