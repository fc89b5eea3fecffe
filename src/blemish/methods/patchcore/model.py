"""PatchCore: a memory of good patches, and the distance to the nearest of them.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022.

Stated: features of two middle levels of a frozen ImageNet teacher, averaged over 3×3 neighbours and
joined on the finer one's grid; a memory of all good patches, thinned by greedy k-centre on random
projections to a share of them; the score of a patch is its distance to the nearest row, that of a
picture the largest one, re-weighted by how crowded that row's surroundings are; the map is resized
bilinearly, Gaussian σ = 4. Nothing is trained.
Ours: all levels of the light teacher, on the grid of the one at stride 8, channels standardised; a
number of rows instead of a share, so that time and memory do not grow with the pictures; pictures
are grouped without labels, as products differ, and each group has rows of its own, with which alone
its pictures are compared; the memory is thinned as the pictures come, from patches drawn of each;
the score is not re-weighted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from blemish.errors import ConfigError
from blemish.methods.base import Batch, Method, MethodOutput, Stage
from blemish.methods.patchcore.config import PatchCoreConfig
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import ChannelStandardiser, MapFusion
from blemish.nn.coreset import StreamedCoreset
from blemish.nn.memory_bank import MemoryBank
from blemish.nn.patch_features import PatchFeatures
from blemish.nn.picture_groups import PictureGroups
from blemish.teachers.teacher import Teacher

#: Patches that one group's pool holds before it is thinned, and all groups' together.
_POOL, _POOLS = 2**14, 2**18


class PatchCore(Method):
    """PatchCore (Roth et al., 2022). See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.patchcore.config import PatchCoreConfig
        >>> from blemish.methods.patchcore.model import PatchCore
        >>> from blemish.teachers.teacher import build_teacher
        >>> teacher = build_teacher(weights="random")
        >>> method = PatchCore(PatchCoreConfig(), teacher, (64, 96)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 96)).anomaly_map.shape)
        (2, 1, 64, 96)
    """

    config: PatchCoreConfig
    config_class: ClassVar[type[MethodConfig]] = PatchCoreConfig
    learns: ClassVar[bool] = True

    def __init__(
        self, config: PatchCoreConfig, teacher: Teacher, input_size: tuple[int, int]
    ) -> None:
        super().__init__(config, teacher, input_size)
        self.taken = _taken(config, teacher)
        self.channels = [teacher.channels[level] for level in self.taken]
        grid = self.taken.index(_grid(config, teacher, self.taken))
        self.standardise = ChannelStandardiser(self.channels)
        self.patches = PatchFeatures(
            [self.level_sizes[level] for level in self.taken],
            grid=grid,
            neighbourhood=config.neighbourhood,
        )
        self.groups = PictureGroups(sum(self.channels))
        self.bank = MemoryBank(sum(self.channels))
        self.fusion = MapFusion([self.patches.size], input_size, config.sigma)
        self.pictures = 0  # good ones that the statistics have seen

    def stages(self) -> list[Stage]:
        return []

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        raise ValueError("PatchCore trains nothing, so there is no loss")

    def prepare(self, batches: Iterable[Batch]) -> None:
        means: list[Tensor] = []

        def seen() -> Iterable[list[Tensor]]:
            for batch in batches:
                levels = self.taken_of(self.levels(batch))
                means.append(_means(levels))
                yield levels

        if self.config.standardise:
            self.standardise.fit(seen())
        else:
            for _ in seen():
                pass
        self.pictures = sum(map(len, means))
        if self.config.groups > 1 and means:
            # Standardising and averaging commute, so that one pass is enough.
            columns = torch.cat(means).split(self.channels, 1)
            scaled = self.standardise([column[..., None, None] for column in columns])
            self.groups.fit(torch.cat(scaled, 1).flatten(1), most=self.config.groups)

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        count = len(self.groups.centre)
        none = self.bank.columns.new_zeros(0, sum(self.channels))
        self.bank.fill(self._chosen(batches, [none] * count, self._rows(self.pictures, count)))

    def learn(self, batches: Iterable[Batch], product: str) -> None:
        blocks = [self.bank.rows_of(group) for group in range(self.bank.groups)]
        levels = (self.standardise(self.taken_of(self.levels(batch))) for batch in batches)
        codes = torch.cat([_means(some) for some in levels])
        if product not in self.products and self.config.groups > 1:
            kinds = PictureGroups(codes.shape[1])
            kinds.fit(codes, most=self.config.groups)
            blocks += [blocks[0][:0]] * len(kinds.centre)
            self.groups.centre = torch.cat([self.groups.centre, kinds.centre.to(codes.device)])
        self.products = tuple(dict.fromkeys([*self.products, product]))
        self.bank.fill(self._chosen(batches, blocks, self._rows(len(codes), 1)))

    def _rows(self, pictures: int, groups: int) -> int:
        """Rows of each group that pictures of so many groups may leave."""
        share, each = self.config.share, math.prod(self.patches.size)
        rows = self.config.rows
        return rows if share is None else max(1, math.ceil(share * pictures * each / groups))

    def _chosen(
        self, batches: Iterable[Batch], before: Sequence[Tensor], rows: int
    ) -> list[Tensor]:
        """Rows of every group, of those before and of the patches of more pictures."""
        # The stream's own numbers: they follow from the training's seed and nothing in between.
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        each, bound = math.prod(self.patches.size), min(_POOL, _POOLS // len(before))
        pools = []
        for block in before:
            more = len(block) if self.config.share is not None else 0
            pools.append(StreamedCoreset(rows + more, bound=bound, generator=generator))
            pools[-1].add(block)
        drawn = min(self.config.patches or each, each)
        for batch in batches:
            queries, group = self.embed(self.taken_of(self.levels(batch)))
            for own, g in zip(queries, group.tolist(), strict=True):
                order = torch.randperm(each, generator=generator)[:drawn].to(own.device)
                pools[g].add(own[order])
        return [pool.points() for pool in pools]

    def embed(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Patches ``(N, P, D)`` and the group ``(N,)`` of pictures, given the levels taken."""
        levels = list(self.standardise(levels))
        queries = self.patches(levels).flatten(2).transpose(1, 2)  # (N, P, D)
        return queries, self.groups(_means(levels)).argmax(1)

    def forward(self, images: Tensor) -> MethodOutput:
        return self.measure(self.teacher(images))

    def measure(self, levels: Iterable[Tensor]) -> MethodOutput:
        """Anomaly map and scores of pictures, given the teacher's levels."""
        queries, group = self.embed(self.taken_of(levels))
        distances = self.bank(queries, group)  # (N, P)
        if self.config.reweight is None:
            score = distances.amax(1)
        else:
            place = distances.argmax(1)[:, None, None].expand(-1, 1, queries.shape[2])
            oddest = queries.gather(1, place).squeeze(1)  # (N, D)
            score = self.bank.reweighted(oddest, self.config.reweight, group)
        maps = distances.view(-1, 1, *self.patches.size)
        return MethodOutput(self.fusion([maps]), score, {})

    def taken_of(self, levels: Iterable[Tensor]) -> list[Tensor]:
        known = list(levels)
        return [known[level] for level in self.taken]


def _means(levels: Iterable[Tensor]) -> Tensor:
    """The mean of every channel over the picture ``(N, ΣC)``."""
    return torch.cat([level.float().mean((2, 3)) for level in levels], 1)


def _taken(config: PatchCoreConfig, teacher: Teacher) -> list[int]:
    """Positions of the teacher's levels that are compared."""
    if config.levels is None:
        return list(range(len(teacher.channels)))
    teacher.check_levels("levels", max(config.levels))
    if list(config.levels) != sorted(set(config.levels)):
        raise ConfigError(
            f"levels={','.join(map(str, config.levels))}: expected each level once, shallow to "
            f"deep, such as {','.join(map(str, sorted(set(config.levels))))}."
        )
    return [level - 1 for level in config.levels]


def _grid(config: PatchCoreConfig, teacher: Teacher, taken: list[int]) -> int:
    """Position of the teacher's level whose grid the patches lie on."""
    if config.grid is None:
        return min(taken, key=lambda level: abs(math.log2(teacher.strides[level] / 8)))
    if config.grid - 1 not in taken:
        raise ConfigError(
            f"grid={config.grid}: the patches lie on the grid of a level that is compared, one of "
            f"{', '.join(str(level + 1) for level in taken)}."
        )
    return config.grid - 1
