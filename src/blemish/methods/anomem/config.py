"""Settings of AnoMem, and the rule by which its encoder follows the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from blemish.methods.settings import (
    Count,
    NotNegative,
    Positive,
    Presets,
    Range,
    Share,
    TrainedConfig,
)

#: Where nothing else is asked, an encoder is trained from scratch on images up to this many pixels
#: a side …
SMALL_SIDE = 64
#: … when there are at least this many good ones.
ENOUGH_IMAGES = 1000

_Two = Annotated[int, Range(2)]
# With fewer input channels a 1×1 convolution of stride 2 makes oneDNN 3.12 (torch 2.13) write past
# its buffer on processors without AVX-512, and the process dies.
_Width = Annotated[int, Range(8)]


@dataclass(frozen=True)
class AnoMemConfig(TrainedConfig):
    """Settings of AnoMem.

    Of what the paper states, ``paper`` brings back the encoder trained from scratch; two stages,
    memory, contrast and variance term are in every preset. Its widths, lengths and weights of the
    scales are not stated in the text at hand; equal weights and synthetic negatives are ours.

    Example:
        >>> from blemish.methods.anomem.config import AnoMemConfig
        >>> AnoMemConfig().settled([(28, 28)] * 6000).encoder
        'scratch'
        >>> AnoMemConfig().settled([(800, 800)] * 200).encoder
        'teacher'
    """

    presets: ClassVar[Presets] = {"light": {}, "paper": {"encoder": "scratch"}}

    batch_size: Count = 64  # images per step of both stages
    distance_steps: Count | None = None  # of the distance stage; none: half of steps
    learning_rate: Positive = 1e-3  # Adam's step size in both stages
    decay_at: Share = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    # teacher: frozen; scratch: a ResNet of its own; none: by the images
    encoder: Literal["teacher", "scratch"] | None = None
    width: _Width = 64  # scratch: channels of the ResNet's first stage
    blocks: Count = 2  # scratch: blocks per stage; 2 = ResNet-18
    # scratch: 1 CIFAR stem, 2, 4 standard stem; none: 1 up to 64 px, else 4
    stem_stride: Literal[1, 2, 4] | None = None
    scales: Annotated[int, Range(1, 3)] = 3  # deepest scales in use
    prototypes: tuple[_Two, _Two, _Two] = (256, 128, 64)  # per scale, shallow to deep
    channels: Count = 128  # dimension of embeddings and prototypes
    beta: Positive = 8.0  # inverse temperature of the memory's read-out
    temperature: Positive = 0.2  # of NT-Xent
    variance_weight: NotNegative = 1.0  # λ_V, weight of the variance term
    positions: Count = 4  # places per image and scale at which the memory is also trained
    memory: bool = True  # false: the same network without memory (ablation)
    synthetic: bool = True  # teach the distance with synthetic negatives too (declared)
    # labelled anomalies added to a batch, relative to its size
    anomaly_share: Annotated[float, Range(0, 1, above=True, below=True)] = 0.15
    plain_weight: NotNegative = 1.0  # weight of the plain deviation beside the learned distance
    labelled_weight: NotNegative = 1.0  # weight of the distance that labelled anomalies taught
    # share of a map that makes its score; none: all (scratch), 0.02 (teacher)
    top_share: Share | None = None
    sigma: Positive = 4.0  # Gaussian over the map, pixels of the input; none up to 128 pixels

    @property
    def second_steps(self) -> int:
        """Optimiser steps of the distance stage."""
        return self.distance_steps or max(1, self.steps // 2)

    def settled(self, sizes: Sequence[tuple[int, int]]) -> AnoMemConfig:
        if self.encoder is not None:
            return self
        small = max(map(max, sizes)) <= SMALL_SIDE
        # A few hundred pictures teach a network of eleven million weights nothing, and an ImageNet
        # teacher sees little in pictures of 28 pixels.
        scratch = small and len(sizes) >= ENOUGH_IMAGES
        return replace(self, encoder="scratch" if scratch else "teacher")

    def input_side(self, longest: int, most: int = 256) -> int:
        if self.encoder == "scratch":  # it has no size it is used to
            return min(most, -(-longest // 32) * 32)
        return super().input_side(longest, most)
