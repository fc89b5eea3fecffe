"""LogicRD: reverse distillation that also sees what is missing, extra or misplaced.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025, DOI 10.11772/j.issn.1001-9081.2025020229.

Stated: reverse distillation keeps its local detection; global semantic enhancement (GSE) turns the
teacher's levels into global representations by cross-hierarchical fusion; a feature compensation
pathway (FCP) gives the student back fine detail; a normal-information-inhibition gate (NII) stops
anomalies from leaking through it; logical anomalies, which do not show in an anomaly map, are
measured by a Mahalanobis distance of features; both branches are judged jointly.
Ours: the trunk is that of RD; GSE joins all levels at the deepest one's
size, fuses them by 1×1 and runs two transformer blocks over the tokens; its code of each level
scales and shifts the student (FiLM); FCP is 1×1 of the teacher's level to an eighth of its
channels, times the gate; the gate and the student train on feature-space pseudo-anomalies (patches
masked or swapped), whose clean feature must be rebuilt, and the gate is told where they are; the
distance is of the joined levels averaged over the picture, over its quarters and over theirs,
beside GSE's codes where ``describe_codes`` says so, and the part with the largest z-score counts;
pictures are grouped without labels and each group has its Gaussians with Ledoit-Wolf covariance;
z-scores, by group, are over good images that no stage saw, and those of the branches are summed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from blemish.methods.base import Batch, MethodOutput, Stage
from blemish.methods.logicrd.blocks import (
    GlobalSemantics,
    GuidedDecoder,
    corrupt_patches,
    gate_loss,
    join_levels,
)
from blemish.methods.logicrd.config import LogicRDConfig
from blemish.methods.logicrd.mahalanobis import (
    GroupedGaussians,
    GroupScale,
    PictureParts,
    RegionalDeparture,
)
from blemish.methods.rd.model import RD
from blemish.methods.reconstruction import student_plan
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import cosine_distance, fuse_levels
from blemish.nn.picture_groups import PictureGroups
from blemish.teachers.teacher import Teacher

#: GSE's code ``(N, D)`` of each student level.
Codes: TypeAlias = list[Tensor]


class LogicRD(RD):
    """Reverse distillation with a logical branch. See the module for what is stated and ours.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.config import LogicRDConfig
        >>> from blemish.methods.logicrd.model import LogicRD
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = LogicRD(LogicRDConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> sorted(method(torch.zeros(2, 3, 64, 96)).branches)
        ['logical', 'structural']
    """

    config: LogicRDConfig
    config_class: ClassVar[type[MethodConfig]] = LogicRDConfig
    branch_names: ClassVar[tuple[str, ...]] = ("structural", "logical")
    held_out_share: ClassVar[float] = 0.1

    def __init__(
        self, config: LogicRDConfig, teacher: Teacher, input_size: tuple[int, int]
    ) -> None:
        super().__init__(config, teacher, input_size)
        channels, size = teacher.channels, self.level_sizes[-1]
        if config.semantics:
            self.semantics = GlobalSemantics(
                sum(channels), size, levels=len(channels), width=config.code_width
            )
            self.student = GuidedDecoder(
                channels,
                teacher.strides,
                size,
                plan=student_plan(config, teacher),
                code=config.code_width,
                compensate=config.compensation,
                gated=config.gate,
            )
        if config.logical:
            self.groups = PictureGroups(sum(channels))
            self.parts = PictureParts(size, finest=config.regions)
            own = config.own_covariance
            self.gaussians = GroupedGaussians(self.parts.count, sum(channels), own=own)
            described = self.parts.count
            if self.codes_described:
                width = config.code_width * len(channels)
                self.code_gaussian = GroupedGaussians(1, width, own=own)
                described += 1
            self.part_scale = GroupScale(described)
            self.departure = RegionalDeparture(sum(channels), size)
            self.scale = GroupScale(2)
        if not (config.structural and config.logical):
            self.branch_names = ()  # type: ignore[misc]  # a single branch is the score itself
        if not config.logical:
            self.held_out_share = 0.0  # type: ignore[misc]  # nothing is brought to one scale
        if not self.trains:
            self.training_only = ("bottleneck.", "student.", "semantics.")  # type: ignore[misc]

    @property
    def trains(self) -> bool:
        """Whether anything is trained: the distance of the teacher's features alone is not."""
        return self.config.structural or self.codes_described

    def stages(self) -> list[Stage]:
        return super().stages() if self.trains else []

    @property
    def codes_described(self) -> bool:
        """Whether GSE's codes are part of the description."""
        return self.config.semantics and self.config.describe_codes

    def trained_modules(self) -> tuple[nn.Module, ...]:
        modules = super().trained_modules()
        return (*modules, self.semantics) if self.config.semantics else modules

    def prepare(self, batches: Iterable[Batch]) -> None:
        means: list[Tensor] = []

        def seen() -> Iterable[tuple[Tensor, ...]]:
            for batch in batches:
                levels = self.levels(batch)
                means.append(torch.cat([level.float().mean((2, 3)) for level in levels], 1).cpu())
                yield levels

        if self.config.standardise:
            self.standardise.fit(seen())
        else:
            for _ in seen():
                pass
        if self.config.logical and means:
            columns = torch.cat(means).split(self.teacher.channels, 1)
            # Standardising and averaging commute, so that one pass is enough.
            scaled = self.standardise([column[..., None, None] for column in columns])
            self.groups.fit(torch.cat(scaled, 1).flatten(1), most=self.config.most_groups)

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        clean = self.standardise(self.levels(batch))
        if not (self.config.semantics and self.config.compensation and self.config.gate):
            return {"total": self.distill(clean, self.reconstruct(clean)[0])}
        seen, mask = corrupt_patches(clean, share=self.config.pseudo_share)
        rebuilt, gates = self.reconstruct(seen)
        distill = self.distill(clean, rebuilt)
        gating = gate_loss(gates, mask)
        total = distill + self.config.gate_weight * gating
        return {"total": total, "distill": distill, "gate": gating}

    def codes(self, levels: tuple[Tensor, ...]) -> Codes:
        """GSE's code ``(N, D)`` of each student level, given the standardised levels."""
        return self.semantics(join_levels(levels))

    def reconstruct(
        self, levels: tuple[Tensor, ...], codes: Codes | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The student's levels and the gates' logits, given the standardised levels."""
        squeezed = self.embed(levels)
        if not isinstance(self.student, GuidedDecoder):
            return self.student(squeezed), []
        return self.student.guided(squeezed, levels, codes or self.codes(levels))

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        levels = self.standardise(levels)
        return list(zip(levels, self.reconstruct(levels)[0], strict=True))

    @staticmethod
    def _errors(levels: tuple[Tensor, ...], rebuilt: list[Tensor]) -> list[Tensor]:
        return [cosine_distance(f, s) for f, s in zip(levels, rebuilt, strict=True)]

    def describe(self, levels: tuple[Tensor, ...], codes: Codes | None = None) -> Described:
        """What the logical branch looks at, given the standardised levels."""
        joined = join_levels(levels)
        whole = None
        if self.codes_described:
            whole = torch.cat(codes or self.codes(levels), 1)[:, None]
        return Described(joined, self.parts(joined), whole, self.groups(joined.mean((2, 3))))

    def part_distances(self, described: Described) -> tuple[Tensor, Tensor]:
        """Mahalanobis distances ``(N, P)`` of the parts, last of the codes; the whitened parts."""
        whitened = self.gaussians.whitened(described.parts, described.membership)
        squared = whitened.square().sum(2)  # (N, P)
        if described.codes is not None:
            of_codes = self.code_gaussian(described.codes, described.membership)
            squared = torch.cat([squared, of_codes], 1)
        return squared.sqrt(), whitened

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        described: list[Described] = []
        sums: Tensor | float = 0.0

        def seen() -> Iterable[list[Tensor]]:
            nonlocal sums
            for batch in batches:
                levels = self.standardise(self.levels(batch))
                codes = self.codes(levels) if self.config.semantics else None
                if self.config.logical:
                    new = self.describe(levels, codes)
                    sums = sums + new.membership.double().T @ new.joined.flatten(1).double()
                    # Only the sum of the features is kept, whatever the number of pictures.
                    described.append(new._replace(joined=new.joined[:, :, :0, :0]))
                if self.config.structural:
                    yield self._errors(levels, self.reconstruct(levels, codes)[0])

        if self.config.structural and self.config.balance:
            self.balance.fit(seen())
        else:
            for _ in seen():
                pass
        if not self.config.logical:
            return
        member = torch.cat([d.membership for d in described])  # (M, K)
        self.gaussians.fit(torch.cat([d.parts for d in described]), member)
        if self.codes_described:
            codes = torch.cat([d.codes for d in described if d.codes is not None])
            self.code_gaussian.fit(codes, member)
        count = member.double().sum(0).clamp_min(1)[:, None]  # (K, 1)
        usual = torch.as_tensor(sums) / count
        self.departure.usual = usual.float().view(-1, *self.departure.usual.shape[1:])

    def fit_held_out(self, batches: Iterable[Batch]) -> None:
        if not self.config.logical:
            return
        distances, peaks, members = [], [], []
        for batch in batches:
            levels = self.standardise(self.levels(batch))
            codes = self.codes(levels) if self.config.semantics else None
            described = self.describe(levels, codes)
            distances.append(self.part_distances(described)[0])
            members.append(described.membership)
            if self.config.structural:
                peaks.append(self.structural_map(levels, codes).flatten(1).amax(1))
        member = torch.cat(members)
        self.part_scale.fit(torch.cat(distances), member)
        if self.config.structural:
            worst = self.part_scale(torch.cat(distances), member).amax(1)
            self.scale.fit(torch.stack([torch.cat(peaks), worst], 1), member)

    def structural_map(self, levels: tuple[Tensor, ...], codes: Codes | None) -> Tensor:
        """The anomaly map ``(N, 1, H, W)``, given the standardised levels."""
        errors = self.balance(self._errors(levels, self.reconstruct(levels, codes)[0]))
        fused: Tensor = self.fusion(errors)
        return fused

    def logical(self, levels: tuple[Tensor, ...], codes: Codes | None) -> LogicalOutput:
        """The logical branch, given the standardised levels."""
        described = self.describe(levels, codes)
        member = described.membership
        distances, whitened = self.part_distances(described)
        z = self.part_scale(distances, member)  # (N, P)
        worst = z[:, : self.parts.count].argmax(1)  # (N,), the oddest part explains
        weights = self.gaussians.pull(whitened, worst, member)  # (N, ΣC)
        places = self.parts.pool.T.index_select(0, worst)  # (N, H_L·W_L)
        departure = self.departure(described.joined, weights, places, member)
        return LogicalOutput(z.amax(1), member, departure)

    def forward(self, images: Tensor) -> MethodOutput:
        levels = self.standardise(tuple(self.teacher(images)))
        config = self.config
        needed = config.structural or self.codes_described
        codes = self.codes(levels) if config.semantics and needed else None
        if not config.structural:
            logical = self.logical(levels, codes)
            anomaly_map = fuse_levels([logical.departure], self.input_size)
            return MethodOutput(anomaly_map, logical.score, {}, logical.departure)
        anomaly_map = self.structural_map(levels, codes)
        peak = anomaly_map.flatten(1).amax(1)
        if not config.logical:
            return MethodOutput(anomaly_map, peak, {})
        logical = self.logical(levels, codes)
        z = self.scale(torch.stack([peak, logical.score], 1), logical.membership)  # (N, 2)
        branches = {"structural": z[:, 0], "logical": z[:, 1]}
        return MethodOutput(anomaly_map, z.sum(1), branches, logical.departure)


class Described(NamedTuple):
    """What the logical branch looks at."""

    joined: Tensor  # (N, ΣC, H_L, W_L) the standardised levels at the deepest one's size
    parts: Tensor  # (N, P, ΣC) their mean over every part of the picture
    codes: Tensor | None  # (N, 1, L·D) GSE's codes, where they are described
    membership: Tensor  # (N, K) the picture's group, one 1 per row


class LogicalOutput(NamedTuple):
    """What the logical branch found."""

    score: Tensor  # (N,) the largest z-score of a part's Mahalanobis distance
    membership: Tensor  # (N, K) the picture's group, one 1 per row
    departure: Tensor  # (N, 1, H_L, W_L) places' shares in the oddest part's distance, smoothed
