"""AnoMem: representation and memory of the normal learned together, at several scales.

"Anomaly Detection via Multi-Scale Contrasted Memory", arXiv 2211.09041 (2022; extended in IEEE TIP
2026).

Stated: two stages. (1) Memory-augmented contrastive learning at several weighted scales: each has a
bank of learnable prototypes read as a modern Hopfield layer, NT-Xent between one view and the
memory read-out of the other, and a variance term against collapse. (2) A detector of the distance
is trained on the spatial deviation maps between observations and their prototypes. One-class, and
unbalanced with a few labelled anomalies, which are never written to memory.

Ours: ResNet-18 (CIFAR stem up to 64 pixels), scales = stages 2, 3, 4; heads of two layers to 128;
β = 8, τ = 0.2, banks of 256/128/64; all scales weigh the same. NT-Xent is taken over pooled
embeddings and over sampled places that both views show. A labelled anomaly is contrasted with its
other view against read-outs that get no gradient, so that it moves the encoder and not the memory.
Stage 2 is a hypersphere classifier (normals to the centre, anomalies out) against synthetic
negatives (pasted patches; from images also quarter turns; ``synthetic=false`` leaves them out), and
a second one against the labelled anomalies. Score = sum over scales of both learned distances and
of the plain deviation ‖z − m(z)‖², each in deviations of it over the training normals; that of the
labelled anomalies counts from one deviation above the mean. Memory over a frozen teacher's features
(``encoder=teacher``) is ours altogether: few industrial images cannot train a ResNet. Its views are
made on the features (a crop shared by the levels, noise, silenced channels), and shallow levels are
averaged to at most 1,024 positions before the memory reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish._progress import Important
from blemish.methods.anomem.blocks import (
    DeviationHead,
    DeviationScores,
    Kinds,
    PrototypeMemory,
    ResNet,
    nt_xent,
    push_out,
    top_mean,
    used_prototypes,
    variance_penalty,
)
from blemish.methods.anomem.config import SMALL_SIDE, AnoMemConfig
from blemish.methods.anomem.views import (
    Crop,
    ImageView,
    at_places,
    box_mask,
    feature_view,
    shared_places,
    spoil_features,
    spoil_images,
)
from blemish.methods.base import Batch, Method, MethodOutput, ParameterGroup, Stage, StepDecay
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import ChannelStandardiser, MapFusion
from blemish.teachers.teacher import NoTeacher, Teacher

#: Positions at which the memory reads a level at most.
_MOST_POSITIONS = 1024
#: Images per step of the distance stage over a teacher, at most.
_TEACHER_BATCH = 16
#: A memory with a smaller share of its prototypes in use has collapsed.
_COLLAPSED = 0.1


class AnoMem(Method):
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

    config: AnoMemConfig
    config_class: ClassVar[type[MethodConfig]] = AnoMemConfig
    uses_labelled_anomalies: ClassVar[bool] = True
    used: Tensor

    def __init__(self, config: AnoMemConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        # How many images there are is unknown here, so that no encoder named is the teacher, unless
        # AnoMemConfig.settled said otherwise. An encoder of its own leaves the teacher out.
        scratch = config.encoder == "scratch"
        self.uses_teacher = not scratch  # type: ignore[misc]
        super().__init__(config, NoTeacher() if scratch else teacher, input_size)
        c = config
        self.scratch = scratch
        self.encoder: nn.Module = nn.Identity()
        channels, strides = teacher.channels, teacher.strides
        if self.scratch:
            stem = c.stem_stride or (1 if max(input_size) <= SMALL_SIDE else 4)
            network = ResNet(width=c.width, blocks=c.blocks, stem_stride=stem)
            self.encoder, channels = network, network.channels
            strides = (2 * stem, 4 * stem, 8 * stem)
        else:
            teacher.check_levels("scales", c.scales)
        channels, strides = channels[-c.scales :], strides[-c.scales :]
        self.pooling = [_pooling(input_size, stride) for stride in strides]
        self.standardise = ChannelStandardiser((3,) if self.scratch else teacher.channels)
        self.heads = nn.ModuleList(_projection(width, c.channels) for width in channels)
        self.memories = nn.ModuleList(
            PrototypeMemory(count, c.channels, beta=c.beta) for count in c.prototypes[-c.scales :]
        )
        self.detectors = nn.ModuleList(DeviationHead(c.channels) for _ in range(c.scales))
        # Heads of their own: pushed out by the first ones, a few anomalies of one kind would
        # decide what they make of every other kind.
        self.labelled = nn.ModuleList(DeviationHead(c.channels) for _ in range(c.scales))
        for scale in range(c.scales):  # what takes the memory's place in the ablation
            self.register_buffer(f"centre{scale}", torch.zeros(c.channels))
        self.register_buffer("used", torch.zeros(c.scales, dtype=torch.long))
        self.scores = DeviationScores(
            c.scales,
            plain_weight=c.plain_weight,
            labelled_weight=c.labelled_weight,
            top_share=c.top_share or (1.0 if self.scratch else 0.02),
        )
        self.fusion = MapFusion(
            [
                (input_size[0] // (stride * by), input_size[1] // (stride * by))
                for stride, by in zip(strides, self.pooling, strict=True)
            ],
            input_size,
            c.sigma if min(input_size) > 128 else 0.0,
        )
        self.view = ImageView(smallest=0.3, blur=max(input_size) > SMALL_SIDE)

    # ── embedding and memory ────────────────────────────────────────────────────────────────

    def inputs(self, batch: Batch) -> list[Tensor]:
        """What views are made of: the images, or the teacher's standardised levels."""
        if not self.scratch:
            return self._pooled(self.standardise(self.levels(batch)))
        if batch.images is None:
            raise ValueError("an encoder from scratch needs images, not features")
        return [batch.images.float()]

    def maps(self, inputs: list[Tensor]) -> list[Tensor]:
        """The encoder's maps ``(N, C_s, H_s, W_s)`` of images or of a teacher's levels."""
        return self._pooled(self.encoder(self.standardise(inputs)[0])) if self.scratch else inputs

    def _pooled(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The deepest scales, shallow ones averaged to fewer positions."""
        return [
            F.avg_pool2d(one, by) if by > 1 else one
            for one, by in zip(maps[-self.config.scales :], self.pooling, strict=True)
        ]

    def read(self, z: Tensor, scale: int) -> Tensor:
        """The memory's read-out of unit vectors ``(…, d)``."""
        if not self.config.memory:
            return getattr(self, f"centre{scale}").expand_as(z)
        return self.bank(scale)(z)

    def bank(self, scale: int) -> PrototypeMemory:
        """The memory of a scale."""
        found = self.memories[scale]
        assert isinstance(found, PrototypeMemory)
        return found

    def embeddings(self, maps: list[Tensor]) -> list[Tensor]:
        """Unit vectors ``z_s`` at every position ``(N, H_s, W_s, d)``."""
        return [
            F.normalize(head(features), dim=1).permute(0, 2, 3, 1)
            for head, features in zip(self.heads, maps, strict=True)
        ]

    def deviations(self, maps: list[Tensor]) -> list[Tensor]:
        """``z_s − m_s(z_s)`` at every position ``(N, d, H_s, W_s)``."""
        found = enumerate(self.embeddings(maps))
        return [(z - self.read(z, scale)).permute(0, 3, 1, 2) for scale, z in found]

    # ── training ────────────────────────────────────────────────────────────────────────────

    def stages(self) -> list[Stage]:
        c = self.config
        learned = (self.encoder, self.heads, *((self.memories,) if c.memory else ()))

        # The distance is learned at every position, and a teacher's levels have hundreds.
        second_batch = c.batch_size if self.scratch else min(c.batch_size, _TEACHER_BATCH)

        return [
            Stage(
                name,
                (ParameterGroup(modules, c.learning_rate, clip_norm=5.0),),
                steps,
                batch,
                schedule=StepDecay(c.decay_at),
                needs_images=self.scratch,
                anomaly_share=c.anomaly_share,
            )
            for name, modules, steps, batch in (
                ("memory", learned, c.steps, c.batch_size),
                ("distance", (self.detectors, self.labelled), c.second_steps, second_batch),
            )
        ]

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.scratch:
            self.standardise.fit((b.images,) for b in batches if b.images is not None)
        else:
            self.standardise.fit(self.levels(batch) for batch in batches)

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        inputs = self.inputs(batch)
        labels = batch.labels if batch.labels is not None else torch.zeros(len(inputs[0]))
        normal = (labels == 0).to(inputs[0].device)
        if stage.name == "memory":
            return self.memory_loss(inputs, normal)
        return self.distance_loss(inputs, normal)

    def memory_loss(self, inputs: list[Tensor], normal: Tensor) -> dict[str, Tensor]:
        """Stage 1: contrast one view with the memory's read-out of the other, at every scale.

        ``normal`` ``(N,)`` bool is false for labelled anomalies.
        """
        first, crop = self._view(inputs)
        second, other = self._view(inputs)
        places = shared_places(crop, other, self.config.positions)  # (N, P, 2)
        scales = []
        for scale, (one, two) in enumerate(zip(self.maps(first), self.maps(second), strict=True)):
            z1, z2 = self._embed(one, scale, crop, places), self._embed(two, scale, other, places)
            scales.append(self.contrast(z1, z2, normal, scale))
        contrast, variance, used = (torch.stack(part).mean() for part in zip(*scales, strict=True))
        if not self.config.memory:
            return {"contrast": contrast, "total": contrast}
        total = contrast + self.config.variance_weight * variance
        # Used: the share of prototypes that won a read.
        return {"contrast": contrast, "total": total, "variance": variance, "used": used}

    def _view(self, inputs: list[Tensor]) -> tuple[list[Tensor], Crop]:
        if not self.scratch:
            return feature_view(inputs, smallest=0.6)
        view, crop = self.view(inputs[0])
        return [view], crop

    def _embed(self, maps: Tensor, scale: int, crop: Crop, places: Tensor) -> Tensor:
        """Unit embeddings ``(1 + P, N, d)``: pooled first, then at places of the image."""
        local = at_places(maps, crop.to_view(places))  # (N, P, C)
        vectors = torch.cat([maps.mean((2, 3))[:, None], local], 1).transpose(0, 1)
        flat = vectors.flatten(0, 1)[..., None, None]  # (P'·N, C, 1, 1)
        z = self.heads[scale](flat).flatten(1).unflatten(0, vectors.shape[:2])
        return F.normalize(z, dim=-1)

    def contrast(
        self, z1: Tensor, z2: Tensor, normal: Tensor, scale: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """NT-Xent and variance term of one scale, and the share of prototypes in use.

        ``z1`` and ``z2`` are unit embeddings of two views ``(P', N, d)``.
        """
        tau = self.config.temperature
        n1, n2 = z1[:, normal], z2[:, normal]
        m1, m2 = (self.read(n, scale) for n in (n1, n2))
        t1, t2 = (F.normalize(m, dim=-1) for m in (m1, m2)) if self.config.memory else (n1, n2)
        loss = nt_xent(n1, t2, temperature=tau) + nt_xent(n2, t1, temperature=tau)
        if not bool(normal.all()):
            # Anomalies are told from each other and from what is normal. They meet the memory's
            # read-outs without gradient: they move the encoder, never the prototypes.
            a1, a2 = z1[:, ~normal], z2[:, ~normal]
            others = torch.cat([t1, t2], 1).detach()
            share = len(a1[0]) / len(normal)
            for one, two in ((a1, a2), (a2, a1)):
                loss = loss + share * nt_xent(one, two, temperature=tau, others=others)
        with torch.no_grad():
            centre = getattr(self, f"centre{scale}")
            centre.lerp_(n1.mean((0, 1)).to(centre.dtype), 0.05)
            used = used_prototypes(self.bank(scale).weights(n1)).float().mean()
        variance = torch.stack([variance_penalty(m.flatten(0, 1)) for m in (m1, m2)]).mean()
        return 0.5 * loss, variance, used

    def distance_loss(self, inputs: list[Tensor], normal: Tensor) -> dict[str, Tensor]:
        """Stage 2: normals to the centre, anomalies out; encoder and memory stay as they are."""
        self.encoder.eval()
        good = [level[normal] for level in inputs]
        deviations = self._frozen_deviations(good)
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


def _projection(inputs: int, outputs: int) -> nn.Module:
    """A projection head of two layers, for vectors at positions."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(), nn.Conv2d(outputs, outputs, 1))


def _pooling(size: tuple[int, int], stride: int) -> int:
    """By how much a level is averaged so that the memory reads no more positions than it should."""
    by = 1
    while (size[0] // (stride * by)) * (size[1] // (stride * by)) > _MOST_POSITIONS:
        by *= 2
    return by
