"""Contrasted memory: AnoMem's first stage, the representation and its prototypes at every scale.

An encoder, a projection head and a bank of prototypes per scale, and the loss that trains the three
together: one view is contrasted with what the memory reads for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.anomem.blocks import (
    PrototypeMemory,
    ResNet,
    UsualDeviation,
    nt_xent,
    used_prototypes,
    variance_penalty,
)
from blemish.methods.anomem.config import SMALL_SIDE, AnoMemConfig
from blemish.methods.anomem.views import Crop, ImageView, at_places, feature_view, shared_places
from blemish.methods.base import Batch, Method
from blemish.nn.anomaly_map import ChannelStandardiser
from blemish.nn.precision import as_numbers
from blemish.teachers.teacher import NoTeacher, Teacher

#: Positions at which the memory reads a level at most.
_MOST_POSITIONS = 1024


class ContrastedMemory(Method):
    """Base of AnoMem: what its first stage trains, and the deviations that the second one reads."""

    config: AnoMemConfig

    def __init__(self, config: AnoMemConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        # How many images there are is unknown here, so that no encoder named is the teacher, unless
        # AnoMemConfig.settled said otherwise. An encoder of its own leaves the teacher out.
        scratch = config.encoder == "scratch"
        self.uses_teacher = not scratch  # type: ignore[misc]
        super().__init__(config, NoTeacher() if scratch else teacher, input_size)
        c = config
        self.scratch = scratch
        usual = scratch if c.usual is None else c.usual
        self.encoder: nn.Module = nn.Identity()
        channels, strides = teacher.channels, teacher.strides
        if self.scratch:
            stem = c.stem_stride or (2 if max(input_size) <= SMALL_SIDE else 4)
            network = ResNet(width=c.width, blocks=c.blocks, stem_stride=stem)
            self.encoder, channels = network, network.channels
            strides = (2 * stem, 4 * stem, 8 * stem)
        else:
            teacher.check_levels("scales", c.scales)
        channels, strides = channels[-c.scales :], strides[-c.scales :]
        self.pooling = [_pooling(input_size, stride) for stride in strides]
        #: ``(H_s, W_s)`` of the deviation maps.
        self.map_sizes = [
            (input_size[0] // (stride * by), input_size[1] // (stride * by))
            for stride, by in zip(strides, self.pooling, strict=True)
        ]
        self.standardise = ChannelStandardiser((3,) if self.scratch else teacher.channels)
        self.heads = nn.ModuleList(_projection(width, c.channels) for width in channels)
        self.memories = nn.ModuleList(
            PrototypeMemory(count, c.channels, beta=c.beta) for count in c.prototypes[-c.scales :]
        )
        for scale in range(c.scales):  # what takes the memory's place in the ablation
            self.register_buffer(f"centre{scale}", torch.zeros(c.channels))
        #: What good images deviate by at each place; an identity where it is not taken off.
        self.usual = nn.ModuleList(
            UsualDeviation(c.channels, size) if usual else nn.Identity() for size in self.map_sizes
        )
        self.view = ImageView(smallest=0.3, flip=c.mirror, blur=max(input_size) > SMALL_SIDE)

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.scratch:
            self.standardise.fit((b.images,) for b in batches if b.images is not None)
        else:
            self.standardise.fit(self.levels(batch) for batch in batches)

    def inputs(self, batch: Batch) -> list[Tensor]:
        """What views are made of: the images, or the teacher's standardised levels."""
        if not self.scratch:
            return self._pooled(self.standardise(self.levels(batch)))
        if batch.images is None:
            raise ValueError("an encoder from scratch needs images, not features")
        return [as_numbers(batch.images)]

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
        """:meth:`raw_deviations`, less what is usual at each place."""
        return self.less_usual(self.raw_deviations(maps))

    def less_usual(self, raw: list[Tensor]) -> list[Tensor]:
        """What good images deviate by at each place taken off."""
        return [usual(deviation) for usual, deviation in zip(self.usual, raw, strict=True)]

    def raw_deviations(self, maps: list[Tensor]) -> list[Tensor]:
        """``z_s − m_s(z_s)`` at every position ``(N, d, H_s, W_s)``."""
        found = enumerate(self.embeddings(maps))
        return [(z - self.read(z, scale)).permute(0, 3, 1, 2) for scale, z in found]

    def memory_loss(self, inputs: list[Tensor], normal: Tensor) -> dict[str, Tensor]:
        """Stage 1: contrast one view with the memory's read-out of the other, at every scale.

        ``(Σ_s λ_s contrast_s + λ_V Σ_s variance_s) / Σ_s λ_s``, the divisor so that the clipping
        of gradients means the same whatever the weights are. ``normal`` ``(N,)`` bool is false for
        labelled anomalies.
        """
        first, crop = self._view(inputs)
        second, other = self._view(inputs)
        places = shared_places(crop, other, self.config.positions)  # (N, P, 2)
        scales = []
        for scale, (one, two) in enumerate(zip(self.maps(first), self.maps(second), strict=True)):
            z1, z2 = self._embed(one, scale, crop, places), self._embed(two, scale, other, places)
            scales.append(self.contrast(z1, z2, normal, scale))
        contrasts, variances, used = (torch.stack(part) for part in zip(*scales, strict=True))
        weights = contrasts.new_tensor(self.config.weights_in_use)
        contrast = (weights * contrasts).sum() / weights.sum()
        variance = variances.sum() / weights.sum()
        if not self.config.memory:
            return {"contrast": contrast, "total": contrast}
        total = contrast + self.config.variance_weight * variance
        # Used: the share of prototypes that won a read.
        return {"contrast": contrast, "total": total, "variance": variance, "used": used.mean()}

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


def _projection(inputs: int, outputs: int) -> nn.Module:
    """A projection head of two layers, for vectors at positions."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(), nn.Conv2d(outputs, outputs, 1))


def _pooling(size: tuple[int, int], stride: int) -> int:
    """By how much a level is averaged so that the memory reads no more positions than it should."""
    by = 1
    while (size[0] // (stride * by)) * (size[1] // (stride * by)) > _MOST_POSITIONS:
        by *= 2
    return by
