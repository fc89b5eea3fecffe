"""LogicRD: reverse distillation that also sees what is missing, extra or misplaced.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025, DOI 10.11772/j.issn.1001-9081.2025020229.

Stated: reverse distillation keeps its local detection; global semantic enhancement (GSE) turns the
teacher's levels into global representations by cross-hierarchical fusion; a feature compensation
pathway (FCP) gives the student back fine detail; a normal-information-inhibition gate (NII) stops
anomalies from leaking through it; logical anomalies, which do not show in an anomaly map, are
measured by a Mahalanobis distance of features; both branches are judged jointly.
Ours: the trunk is that of RD; GSE joins all levels at the deepest one's
size, fuses them by 1×1 and runs two transformer blocks over the tokens, which gives a code at every
place; their mean, the global code, scales and shifts the student (FiLM); FCP is 1×1 of the
teacher's level to an eighth of its channels, times the gate; the gate and the student train on
feature-space pseudo-anomalies (patches masked or swapped), whose clean feature must be rebuilt, and
the gate is told where they are; the distance is of the joined levels, of the codes, or of both,
averaged over the picture, over its quarters and over theirs, and the part with the largest z-score
counts; codes that are measured train on good features of which parts are swapped, doubled or taken
away, and must stand out; pictures are grouped without labels and each group has its Gaussians with
Ledoit-Wolf covariance and scales from pictures left out of them; the branches' z-scores, by group,
are over good images that no stage saw, and joined by a soft maximum.
Deviation: the joined levels, not the codes, are the default, because they find more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from blemish.methods.base import Batch, MethodOutput, Stage
from blemish.methods.logicrd.blocks import GuidedDecoder, gate_loss
from blemish.methods.logicrd.config import LogicRDConfig
from blemish.methods.logicrd.logical_branch import GoodPictures, LogicalBranch
from blemish.methods.logicrd.mahalanobis import GroupScale
from blemish.methods.logicrd.pseudo_anomalies import at_levels, corrupt_patches, displace_parts
from blemish.methods.logicrd.semantics import GlobalSemantics, join_levels, logic_loss
from blemish.methods.rd.model import RD
from blemish.methods.reconstruction import student_plan
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import fuse_levels
from blemish.nn.joint_score import soft_maximum
from blemish.teachers.teacher import Teacher

#: What the branches look at, by name: "features", the joined levels, and GSE's "codes".
Maps = dict[str, Tensor]


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
    joint_weight: Tensor

    def __init__(
        self, config: LogicRDConfig, teacher: Teacher, input_size: tuple[int, int]
    ) -> None:
        super().__init__(config, teacher, input_size)
        channels, size = teacher.channels, self.level_sizes[-1]
        maps = {"features": (sum(channels), size)}
        self.semantics: GlobalSemantics | None = None
        if config.semantics:
            self.semantics = GlobalSemantics(
                sum(channels),
                size,
                levels=len(channels),
                width=config.code_width,
                measured="codes" in config.descriptions,
            )
            maps["codes"] = (config.code_width, self.semantics.grid)
            self.student = GuidedDecoder(
                channels,
                teacher.strides,
                size,
                plan=student_plan(config, teacher),
                code=config.code_width,
                compensate=config.compensation,
                gated=config.gate,
            )
        self.logic: LogicalBranch | None = None
        if config.logical:
            described = {name: maps[name] for name in config.descriptions}
            self.logic = LogicalBranch(
                sum(channels), described, finest=config.regions, own=config.own_covariance
            )
            self.scale = GroupScale(2)
        else:
            self.held_out_share = 0.0  # type: ignore[misc]  # nothing is brought to one scale
        # Codes are measured against those of the other pictures of a batch.
        self.shares_batches = not config.learns_logic  # type: ignore[misc]
        if config.structural and config.logical:
            # In the file: one whose limits are of branches joined otherwise does not open.
            self.register_buffer("joint_weight", torch.tensor(float(config.logical_weight)))
        else:
            self.branch_names = ()  # type: ignore[misc]  # a single branch is the score itself
        if not config.structural:
            unused = ("bottleneck.", "student.")
            codes = () if "codes" in config.descriptions else ("semantics.",)
            self.training_only = (*unused, *codes)  # type: ignore[misc]

    def trained_modules(self) -> tuple[nn.Module, ...]:
        trunk = super().trained_modules() if self.config.structural else ()
        return trunk if self.semantics is None else (*trunk, self.semantics)

    def stages(self) -> list[Stage]:
        return super().stages() if self.config.structural or self.config.learns_logic else []

    def prepare(self, batches: Iterable[Batch]) -> None:
        means: list[Tensor] = []

        def seen() -> Iterable[tuple[Tensor, ...]]:
            for batch in batches:
                levels = self.levels(batch)
                means.append(torch.cat([level.float().mean((2, 3)) for level in levels], 1))
                yield levels

        if self.config.standardise:
            self.standardise.fit(seen())
        else:
            deque(seen(), maxlen=0)
        if self.logic is not None and means:
            columns = torch.cat(means).split(self.teacher.channels, 1)
            # Standardising and averaging commute, so that one pass is enough.
            scaled = self.standardise([column[..., None, None] for column in columns])
            self.logic.groups.fit(torch.cat(scaled, 1).flatten(1), most=self.config.most_groups)

    def maps(self, levels: tuple[Tensor, ...]) -> Maps:
        """What the branches look at, given the standardised levels."""
        joined = join_levels(levels)  # (N, ΣC, H_L, W_L)
        if self.semantics is None:
            return {"features": joined}
        return {"features": joined, "codes": self.semantics(joined)}

    def reconstruct(
        self, levels: tuple[Tensor, ...], maps: Maps
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The student's levels and the gates' logits, given the standardised levels."""
        squeezed = self.embed(levels)
        if self.semantics is None or not isinstance(self.student, GuidedDecoder):
            return self.student(squeezed), []
        return self.student.guided(squeezed, levels, self.semantics.guides(maps["codes"]))

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        levels = self.standardise(levels)
        return list(zip(levels, self.reconstruct(levels, self.maps(levels))[0], strict=True))

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        clean = self.standardise(self.levels(batch))
        seen, mask = corrupt_patches(clean, share=self.config.corrupted_share)
        maps = self.maps(seen)
        losses: dict[str, Tensor] = {}
        if self.config.structural:
            rebuilt, gates = self.reconstruct(seen, maps)
            changed = at_levels(mask, rebuilt) if self.config.corrupted_share else None
            losses["distill"] = self.distill(clean, rebuilt, changed)
            if gates:
                losses["gate"] = self.config.gate_weight * gate_loss(gates, mask)
        if self.config.learns_logic:
            untouched = ~mask.flatten(1).any(1)
            logic = self.logic_loss({name: own[untouched] for name, own in maps.items()})
            losses["logic"] = self.config.logic_weight * logic
        return {"total": torch.stack(list(losses.values())).sum(), **losses}

    def logic_loss(self, good: Maps) -> Tensor:
        """How little the codes of good pictures change when parts of them change places."""
        assert self.semantics is not None
        assert self.logic is not None
        features = good["features"]
        if not len(features):
            return features.sum()
        changed = displace_parts(features)
        parts, tokens = self.logic.distances["codes"].parts, self.semantics.tokens
        dose = parts(tokens(changed) - tokens(features)).square().mean(2).sqrt()  # (N, P)
        codes = parts(good["codes"]), parts(self.semantics(changed))
        return logic_loss(*codes, dose, self.logic.membership(features))

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        good = GoodPictures(self.logic) if self.logic is not None else None

        def seen() -> Iterable[list[Tensor]]:
            for batch in batches:
                levels = self.standardise(self.levels(batch))
                maps = self.maps(levels)
                if good is not None:
                    good.add(maps)
                if self.config.structural:
                    yield self.map_errors(levels, maps)

        if self.config.structural and self.config.balance:
            self.balance.fit(seen())
        else:
            deque(seen(), maxlen=0)
        if good is not None:
            good.fit()

    def fit_held_out(self, batches: Iterable[Batch]) -> None:
        if self.logic is None:
            return
        peaks, good = [], GoodPictures(self.logic)
        for batch in batches:
            levels = self.standardise(self.levels(batch))
            maps = self.maps(levels)
            good.add(maps)
            if self.config.structural:
                peaks.append(self.score(self.structural_map(levels, maps)))
        member, scores = good.scores()
        if self.config.structural:
            self.scale.fit(torch.stack([torch.cat(peaks), scores], 1), member)

    def map_errors(self, levels: tuple[Tensor, ...], maps: Maps) -> list[Tensor]:
        """Errors of the levels ``(N, 1, H_l, W_l)``, given the standardised ones."""
        rebuilt = self.reconstruct(levels, maps)[0]
        return [self.error(f, s) for f, s in zip(levels, rebuilt, strict=True)]

    def structural_map(self, levels: tuple[Tensor, ...], maps: Maps) -> Tensor:
        """The anomaly map ``(N, 1, H, W)``, given the standardised levels."""
        fused: Tensor = self.fusion(self.balance(self.map_errors(levels, maps)))
        return fused

    def forward(self, images: Tensor) -> MethodOutput:
        levels = self.standardise(tuple(self.teacher(images)))
        maps = self.maps(levels)
        logical = None if self.logic is None else self.logic(maps)
        if logical is not None and not self.config.structural:
            explained = fuse_levels([logical.departure], self.input_size)
            return MethodOutput(explained, logical.score, {}, logical.departure)
        anomaly_map = self.structural_map(levels, maps)
        peak = self.score(anomaly_map)
        if logical is None:
            return MethodOutput(anomaly_map, peak, {})
        z = self.scale(torch.stack([peak, logical.score], 1), logical.membership)  # (N, 2)
        branches = {"structural": z[:, 0], "logical": z[:, 1]}
        score = soft_maximum(z, self.joint_weight)
        return MethodOutput(anomaly_map, score, branches, logical.departure)
