"""Blocks of AnoMem: ResNet, Hopfield memory, contrastive losses, distance heads, scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.nn.reverse_distillation import ResidualBlock, conv_bn_relu

#: Per scale: the learned distance, the plain deviation, the distance taught by labelled anomalies.
Kinds = tuple[Tensor, Tensor, Tensor]
LABELLED = 2
#: Deviations above the mean of good images from which the labelled distance counts. It was taught
#: by a few anomalies of few kinds; what it says of anything else is noise of the size of one.
_COUNTS_FROM = 1.0


class ResNet(nn.Module):
    """ResNet (He et al., CVPR 2016) of basic blocks; gives the maps of its stages 2, 3 and 4.

    Args:
        width: Channels of stage 1; each later stage doubles them. ResNet-18 has 64.
        blocks: Blocks per stage. ResNet-18 has 2.
        stem_stride: 1 = the CIFAR stem, one 3×3 convolution; 2 = the same with stride 2;
            4 = the standard stem, a 7×7 convolution and a max-pooling.

    Shapes: ``(N, 3, H, W)`` → three maps ``(N, width·2^k, H/s, W/s)`` with s = 2, 4, 8 times the
    stem's stride.
    """

    def __init__(self, *, width: int = 64, blocks: int = 2, stem_stride: int = 1) -> None:
        super().__init__()
        if stem_stride == 4:
            self.stem = nn.Sequential(
                conv_bn_relu(3, width, kernel=7, stride=2), nn.MaxPool2d(3, 2, 1)
            )
        else:
            self.stem = conv_bn_relu(3, width, stride=stem_stride)
        self.channels = tuple(width * 2**k for k in (1, 2, 3))
        self.stages = nn.ModuleList()
        for k, (before, after) in enumerate(pairwise((width, width, *self.channels))):
            first = ResidualBlock(before, after, stride=2 if k else 1)
            rest = (ResidualBlock(after, after, stride=1) for _ in range(blocks - 1))
            self.stages.append(nn.Sequential(first, *rest))

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class PrototypeMemory(nn.Module):
    """A bank of learnable prototypes ``X (K, d)`` read as a modern Hopfield layer.

    One step of the retrieval dynamics ``z ↦ softmax(β z Xᵀ) X`` (Ramsauer et al., "Hopfield
    Networks is All You Need", ICLR 2021). A stored pattern that is far enough from the others is
    (nearly) a fixed point of it; anything else is drawn towards the patterns it resembles.

    Args:
        prototypes: Their number K.
        channels: Their dimension d.
        beta: Inverse temperature β of the read-out; higher reads fewer prototypes at a time.

    Shapes: ``z (…, d)`` of unit length → ``(…, d)``.
    """

    def __init__(self, prototypes: int, channels: int, *, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, channels), dim=1))

    def patterns(self) -> Tensor:
        """The prototypes at unit length ``(K, d)``."""
        return F.normalize(self.prototypes, dim=1)

    def weights(self, z: Tensor) -> Tensor:
        """How much each prototype counts in the read-out: ``(…, d)`` → ``(…, K)``, sum 1."""
        return torch.softmax(self.beta * (z @ self.patterns().T), dim=-1)

    def forward(self, z: Tensor) -> Tensor:
        return self.weights(z) @ self.patterns()


def used_prototypes(weights: Tensor) -> Tensor:
    """Which prototypes count most in at least one read: weights ``(…, K)`` → ``(K,)`` bool."""
    used = torch.zeros(weights.shape[-1], dtype=torch.bool, device=weights.device)
    used[weights.flatten(0, -2).argmax(1)] = True
    return used


def nt_xent(
    anchors: Tensor, targets: Tensor, *, temperature: float, others: Tensor | None = None
) -> Tensor:
    """NT-Xent (Chen et al., "SimCLR", ICML 2020) of anchors against their targets.

    ``−log(p_i / (Σ_j p_ij + Σ_{j≠i} q_ij + Σ_k r_ik))``, the mean over i, with
    ``p_ij = exp(⟨a_i, t_j⟩/τ)``, ``q_ij = exp(⟨a_i, a_j⟩/τ)``, ``r_ik = exp(⟨a_i, o_k⟩/τ)`` and
    ``p_i = p_ii``.

    Args:
        anchors: ``(…, N, d)`` of unit length.
        targets: ``(…, N, d)`` of unit length; the i-th belongs to the i-th anchor.
        temperature: τ.
        others: ``(…, M, d)`` of unit length: further negatives for every anchor.
    """
    to_targets = anchors @ targets.transpose(-1, -2) / temperature  # (…, N, N)
    among = anchors @ anchors.transpose(-1, -2) / temperature  # (…, N, N)
    itself = torch.eye(anchors.shape[-2], dtype=torch.bool, device=anchors.device)
    candidates = [to_targets, among.masked_fill(itself, -torch.inf)]
    if others is not None:
        candidates.append(anchors @ others.transpose(-1, -2) / temperature)
    positive = to_targets.diagonal(dim1=-2, dim2=-1)  # (…, N)
    return (torch.cat(candidates, -1).logsumexp(-1) - positive).mean()


def variance_penalty(readouts: Tensor) -> Tensor:
    """``mean_d max(0, 1 − std_d √d)`` of ``(N, d)``: read-outs of a batch must not be all alike.

    A batch spread evenly over the unit sphere has a deviation of ``1/√d`` in every dimension and
    pays nothing; one of identical read-outs pays 1. After VICReg (Bardes et al., ICLR 2022).
    """
    # The small term keeps the gradient finite where all are alike.
    std = (readouts.var(0, unbiased=False) + 1e-4).sqrt()  # (d,)
    return (1.0 - std * readouts.shape[-1] ** 0.5).clamp_min(0.0).mean()


class UsualDeviation(nn.Module):
    """Takes off the mean deviation that good images have at each place.

    What the memory cannot say of the collar is the same on every good shirt, and no anomaly. The
    mean is over all images that :meth:`add` was given.

    Shapes: ``(N, d, H, W)`` → the same.
    """

    mean: Tensor
    images: Tensor

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, *size))
        self.register_buffer("images", torch.zeros(()))

    def add(self, deviations: Tensor) -> None:
        """Let good images count in the mean."""
        self.images += len(deviations)
        self.mean += (deviations - self.mean).sum(0) / self.images

    def forward(self, deviations: Tensor) -> Tensor:
        return deviations - self.mean


class DeviationHead(nn.Module):
    """Distance from the centre for every position of a deviation map.

    ``d = √(1 + ‖e‖²) − 1`` (pseudo-Huber) of a small convolution's output e: 0 at the centre,
    growing linearly far from it (Ruff et al., "Rethinking Assumptions in Deep Anomaly Detection",
    2020; Liznerski et al., "Explainable Deep One-Class Classification", ICLR 2021).

    Shapes: ``(N, C, H, W)`` → ``(N, 1, H, W)``, at least 0.
    """

    def __init__(self, channels: int, *, hidden: int = 32, outputs: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, outputs, 1),
        )

    def forward(self, deviation: Tensor) -> Tensor:
        # Deviations of unit vectors are a fraction of 1 per channel; at this scale they are O(1).
        e = self.body(deviation * deviation.shape[1] ** 0.5)
        return (1.0 + e.square().sum(1, keepdim=True)).sqrt() - 1.0


def push_out(distances: Tensor) -> Tensor:
    """``−log(1 − exp(−d))``: large where an anomaly lies near the centre."""
    # Beyond 20 nothing is left to gain but gradients of 1e-9 and less, slow on a CPU.
    return -torch.log(-torch.expm1(-distances.clamp(1e-4, 20.0)))


def top_mean(maps: Tensor, share: float) -> Tensor:
    """Mean of the highest ``share`` of each map's positions, of one at least.

    Shapes: ``(N, 1, H, W)`` → ``(N,)``.
    """
    flat = maps.flatten(1)  # (N, H·W)
    count = max(1, round(share * flat.shape[1]))
    return flat.mean(1) if count == flat.shape[1] else flat.topk(count, 1).values.mean(1)


class DeviationScores(nn.Module):
    """Puts every kind of distance at every scale in deviations over good images, and adds them.

    Args:
        scale_weights: λ_s of each scale; divided by their sum.
        plain_weight: Of the plain deviation, beside the learned distance.
        labelled_weight: Of the labelled distance; it counts once :meth:`has_labels` was called.
        top_share: Share of a map that makes its score.
    """

    mean: Tensor
    std: Tensor
    labels_seen: Tensor

    def __init__(
        self,
        scale_weights: Sequence[float],
        *,
        plain_weight: float,
        labelled_weight: float,
        top_share: float,
    ) -> None:
        super().__init__()
        scales = len(scale_weights)
        self.scale_shares = [weight / sum(scale_weights) for weight in scale_weights]
        self.weights = (1.0, plain_weight, labelled_weight)
        self.top_share = top_share
        # Over good images: of the score and of the map; by kind and scale.
        self.register_buffer("mean", torch.zeros(2, 3, scales))
        self.register_buffer("std", torch.ones(2, 3, scales))
        # A number and no flag, so that a graph of it has no branches.
        self.register_buffer("labels_seen", torch.zeros(()))

    def has_labels(self) -> None:
        """Let the labelled distance count from now on."""
        self.labels_seen.fill_(1.0)

    def moments(self, scales: Sequence[Kinds]) -> Tensor:
        """Per image: score, mean and mean square of each kind of map ``(N, 3, 3, S)``."""
        per_scale = []
        for kinds in scales:
            flat = torch.stack([kind.flatten(1) for kind in kinds], 1)  # (N, 3, H·W)
            score = torch.stack([top_mean(kind, self.top_share) for kind in kinds], 1)  # (N, 3)
            per_scale.append(torch.stack([score, flat.mean(2), flat.square().mean(2)], 1))
        return torch.stack(per_scale, 3)

    def fit(self, moments: Iterable[Tensor]) -> None:
        """Take mean and deviation from the :meth:`moments` of good images."""
        score, map_mean, map_square = torch.cat(list(moments)).double().unbind(1)  # (N, 3, S) each
        self.mean.copy_(torch.stack([score.mean(0), map_mean.mean(0)]))
        spread = map_square.mean(0) - map_mean.mean(0).square()
        std = torch.stack([score.var(0, unbiased=False), spread]).clamp_min(0).sqrt()
        # What hardly differs between good images would turn rounding into an alarm.
        self.std.copy_(torch.maximum(std, 0.01 * self.mean.abs()).clamp_min(1e-6))

    def forward(self, scales: Sequence[Kinds]) -> tuple[Tensor, list[Tensor]]:
        """Scores ``(N,)``, and of every scale the map ``(N, 1, H_s, W_s)`` of all its kinds."""
        scores, maps = [], []
        for scale, kinds in enumerate(scales):
            parts = []
            for kind, values in enumerate(kinds):
                weight: float | Tensor = self.weights[kind] * self.scale_shares[scale]
                low, map_low = self.mean[:, kind, scale]
                unit, map_unit = self.std[:, kind, scale]
                top = top_mean(values, self.top_share)
                if kind == LABELLED:
                    weight = weight * self.labels_seen
                    top = (top - low - _COUNTS_FROM * unit).clamp_min(0)
                    above = (values - map_low - _COUNTS_FROM * map_unit).clamp_min(0)
                else:
                    # The score is not centred: that would shift every image alike, and cost
                    # digits near zero.
                    above = values - map_low
                scores.append(weight * top / unit)
                parts.append(weight * above / map_unit)
            maps.append(sum(parts[1:], start=parts[0]))
        return torch.stack(scores).sum(0), maps
