"""AnoMem: representation and memory of the normal learned together; over a teacher, ours.

"Anomaly Detection via Multi-Scale Contrasted Memory", arXiv 2211.09041 (2022; extended in IEEE TIP
2026).

Stated: two stages. (1) Memory-augmented contrastive learning at several weighted scales: each has a
bank of learnable prototypes read as a modern Hopfield layer, NT-Xent between one view and the
memory read-out of the other, and a variance term against collapse. (2) A detector of the distance
is trained on the spatial deviation maps between observations and their prototypes. One-class, and
unbalanced with a few labelled anomalies, which are never written to memory.

Ours: a narrow ResNet (``paper``: ResNet-18, CIFAR stem), scales = stages 2, 3, 4; heads of two
layers to 128; β = 8, τ = 0.2, banks of 256/128/64; equal weights of the scales. NT-Xent is taken
over pooled embeddings and over sampled places that both views show. A labelled anomaly is
contrasted with its other view against read-outs that get no gradient, so that it moves the encoder
and not the memory.
Stage 2 is a hypersphere classifier (normals to the centre, anomalies out) against synthetic
negatives (pasted patches; from images also quarter turns and stretches; ``synthetic=false`` leaves
them out), and a second one against the labelled anomalies. From scratch both see deviations less
their mean over good images at the place. Score = sum over scales of both learned distances and
of the plain deviation ‖z − m(z)‖², each in deviations of it over the training normals; that of the
labelled anomalies counts from one deviation above the mean. Memory over a frozen teacher's features
(``encoder=teacher``) is ours altogether: few industrial images cannot train a ResNet. Its views are
made on the features (a crop shared by the levels, noise, silenced channels), and shallow levels are
averaged to at most 1,024 positions before the memory reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from blemish._progress import Important
from blemish.methods.anomem.blocks import (
    DeviationHead,
    DeviationScores,
    Kinds,
    UsualDeviation,
    push_out,
    top_mean,
    used_prototypes,
)
from blemish.methods.anomem.config import AnoMemConfig
from blemish.methods.anomem.memory import ContrastedMemory
from blemish.methods.anomem.views import box_mask, spoil_features, spoil_images
from blemish.methods.base import Batch, MethodOutput, ParameterGroup, Stage, StepDecay
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import MapFusion
from blemish.teachers.teacher import Teacher

#: Images per step of the distance stage over a teacher, at most.
_TEACHER_BATCH = 16
#: A memory with a smaller share of its prototypes in use has collapsed.
_COLLAPSED = 0.1


class AnoMem(ContrastedMemory):
    """AnoMem (2022). See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.config import AnoMemConfig
        >>> from blemish.methods.anomem.model import AnoMem
        >>> from blemish.teachers.teacher import build_teacher
        >>> config = AnoMemConfig(encoder="scratch", width=8, blocks=1)
        >>> method = AnoMem(config, build_teacher(weights="random"), (32, 32)).eval()
        >>> tuple(method(torch.zeros(2, 3, 32, 32)).anomaly_map.shape)
        (2, 1, 32, 32)
    """

    config_class: ClassVar[type[MethodConfig]] = AnoMemConfig
    uses_labelled_anomalies: ClassVar[bool] = True
    used: Tensor

    def __init__(self, config: AnoMemConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        super().__init__(config, teacher, input_size)
        c = config
        self.detectors = nn.ModuleList(DeviationHead(c.channels) for _ in range(c.scales))
        # Heads of their own: pushed out by the first ones, a few anomalies of one kind would
        # decide what they make of every other kind.
        self.labelled = nn.ModuleList(DeviationHead(c.channels) for _ in range(c.scales))
        self.register_buffer("used", torch.zeros(c.scales, dtype=torch.long))
        self.scores = DeviationScores(
            c.weights_in_use,
            plain_weight=c.plain_weight,
            labelled_weight=c.labelled_weight,
            top_share=c.top_share or (1.0 if self.scratch else 0.02),
        )
        self.fusion = MapFusion(
            self.map_sizes, input_size, c.sigma if min(input_size) > 128 else 0.0
        )

    # ── training ────────────────────────────────────────────────────────────────────────────

    def stages(self) -> list[Stage]:
        c = self.config
        learned = (self.encoder, self.heads, *((self.memories,) if c.memory else ()))

        # The distance is learned at every position, and a teacher's levels have hundreds.
        second_batch = c.batch_size if self.scratch else min(c.batch_size, _TEACHER_BATCH)
        first, second = c.lengths(second_batch)
        return [
            Stage(
                name,
                (ParameterGroup(modules, c.learning_rate, clip_norm=c.clip_norm),),
                length.steps,
                batch,
                length.epochs,
                steps_within=length.within,
                schedule=StepDecay(c.decay_at),
                needs_images=self.scratch,
                anomaly_share=c.anomaly_share,
            )
            for name, modules, length, batch in (
                ("memory", learned, first, c.batch_size),
                ("distance", (self.detectors, self.labelled), second, second_batch),
            )
        ]

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        inputs = self.inputs(batch)
        labels = batch.labels if batch.labels is not None else torch.zeros(len(inputs[0]))
        normal = (labels == 0).to(inputs[0].device)
        if stage.name == "memory":
            return self.memory_loss(inputs, normal)
        return self.distance_loss(inputs, normal)

    def distance_loss(self, inputs: list[Tensor], normal: Tensor) -> dict[str, Tensor]:
        """Stage 2: normals to the centre, anomalies out; encoder and memory stay as they are."""
        self.encoder.eval()
        good = [level[normal] for level in inputs]
        with torch.no_grad():
            raw = self.raw_deviations(self.maps(good))
            for usual, deviation in zip(self.usual, raw, strict=True):
                if isinstance(usual, UsualDeviation):
                    usual.add(deviation)
            deviations = self.less_usual(raw)
        losses = {"normal": self._pull(self.detectors, deviations)}
        if self.config.synthetic:
            if self.scratch:
                images, boxes = spoil_images(good[0])
                spoilt = [images]
            else:
                spoilt, boxes = spoil_features(good)
            losses["synthetic"] = self._push_boxes(spoilt, boxes)
        if not bool(normal.all()):
            self.scores.has_labels()
            pushed = self.distances([level[~normal] for level in inputs], self.labelled)
            tops = [push_out(self._top(distance)).mean() for distance in pushed]
            losses["labelled"] = torch.stack(tops).mean()
            losses["not_labelled"] = self._pull(self.labelled, deviations)
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses

    def distances(self, inputs: list[Tensor], heads: nn.ModuleList | None = None) -> list[Tensor]:
        """Learned distances ``(N, 1, H_s, W_s)``; no gradient reaches encoder or memory."""
        heads = self.detectors if heads is None else heads
        return _detected(heads, self._frozen_deviations(inputs))

    def _frozen_deviations(self, inputs: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return self.deviations(self.maps(inputs))

    def _top(self, distance: Tensor) -> Tensor:
        """The images' distances ``(N,)``: of the positions that make the score."""
        return top_mean(distance, self.scores.top_share)

    def _pull(self, heads: nn.ModuleList, deviations: list[Tensor]) -> Tensor:
        """Mean of the images' distances and of all positions'."""
        distances = _detected(heads, deviations)
        return torch.stack([0.5 * (self._top(d).mean() + d.mean()) for d in distances]).mean()

    def _push_boxes(self, spoilt: list[Tensor], boxes: Tensor) -> Tensor:
        """What lies inside the boxes is pushed out; a box between all positions counts nothing."""
        pushed = []
        for distance in self.distances(spoilt):
            mask = box_mask(boxes, (distance.shape[2], distance.shape[3]))
            size = mask.sum((1, 2, 3))  # (N,)
            inside = (distance * mask).sum((1, 2, 3)) / size.clamp_min(1.0)
            seen = (size > 0).float()
            pushed.append((push_out(inside) * seen).sum() / seen.sum().clamp_min(1.0))
        return torch.stack(pushed).mean()

    # ── what decides the score ──────────────────────────────────────────────────────────────

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        rows: list[Tensor] = []
        banks = [self.bank(scale) for scale in range(self.config.scales)]
        used = [torch.zeros_like(bank.prototypes[:, 0], dtype=torch.bool) for bank in banks]
        for batch in batches:
            maps = self.maps(self.inputs(batch))
            rows.append(self.scores.moments(self._kinds(maps)))
            for bank, read, z in zip(banks, used, self.embeddings(maps), strict=True):
                read |= used_prototypes(bank.weights(z))
        self.scores.fit(rows)
        self.used.copy_(torch.stack([u.sum() for u in used]))

    def _kinds(self, maps: list[Tensor]) -> list[Kinds]:
        """Per scale the learned distance, the plain deviation and the labelled distance."""
        return [
            (detect(deviation), deviation.square().sum(1, keepdim=True), labelled(deviation))
            for detect, labelled, deviation in zip(
                self.detectors, self.labelled, self.deviations(maps), strict=True
            )
        ]

    def forward(self, images: Tensor) -> MethodOutput:
        maps = self.maps(self.inputs(Batch(images)))
        score, of_scales = self.scores(self._kinds(maps))
        return MethodOutput(self.fusion(of_scales), score, {})

    def notes(self) -> list[str]:
        if not self.config.memory:
            return []
        sizes = [len(self.bank(scale).prototypes) for scale in range(self.config.scales)]
        counts = [(int(used), size) for used, size in zip(self.used, sizes, strict=True)]
        shown = ", ".join(f"{used}/{count}" for used, count in counts)
        said = [f"Memory: {shown} prototypes in use, shallow to deep."]
        if any(used < _COLLAPSED * count for used, count in counts):
            said.append(
                Important(
                    "The memory has collapsed: nearly all prototypes are idle. Train longer, with "
                    "a larger batch_size or variance_weight, or with fewer prototypes."
                )
            )
        return said


def _detected(heads: nn.ModuleList, deviations: list[Tensor]) -> list[Tensor]:
    """What the heads of all scales make of deviations: ``(N, 1, H_s, W_s)`` each."""
    return [detect(d) for detect, d in zip(heads, deviations, strict=True)]
