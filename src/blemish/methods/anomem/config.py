"""Settings of AnoMem, and the rule by which its encoder follows the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, NamedTuple

from blemish.errors import ConfigError
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

#: How long the first stage is where neither steps nor epochs are set: passes over the good images,
#: and the fewest and most steps that they may come to.
EPOCHS, STEPS_WITHIN = 20.0, (1000, 10_000)

_Two = Annotated[int, Range(2)]
# With fewer input channels a 1×1 convolution of stride 2 makes oneDNN 3.12 (torch 2.13) write past
# its buffer on processors without AVX-512, and the process dies.
_Width = Annotated[int, Range(8)]


class Length(NamedTuple):
    """Length of a stage: in steps or in epochs, the latter perhaps within bounds of steps."""

    steps: int | None = None
    epochs: float | None = None
    within: tuple[int, int] | None = None


@dataclass(frozen=True)
class AnoMemConfig(TrainedConfig):
    """Settings of AnoMem.

    Of what the paper states, ``paper`` brings back ResNet-18 trained from scratch and the learned
    distance alone as the score; two stages, memory, contrast and variance term are in every preset.
    Its lengths, widths of the memory and weights of the scales are not stated in the text at hand;
    equal weights and synthetic negatives are ours.

    Example:
        >>> from blemish.methods.anomem.config import AnoMemConfig
        >>> AnoMemConfig().settled([(28, 28)] * 6000).encoder
        'scratch'
        >>> AnoMemConfig().settled([(800, 800)] * 200).encoder
        'teacher'
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {
            "encoder": "scratch",
            "width": 64,
            "blocks": 2,
            "stem_stride": 1,
            "mirror": True,
            "usual": False,
            "plain_weight": 0.0,
            "epochs": 100,
            "decay_at": 1.0,
            "clip_norm": None,
        },
    }

    # optimiser steps of the first stage; none = by the number of good images: 20 passes over them,
    # but no fewer than 1,000 steps and no more than 10,000
    steps: Count | None = None  # type: ignore[assignment]
    batch_size: Count = 64  # images per step of both stages
    distance_steps: Count | None = None  # of the distance stage; none: half of the first
    epochs: Positive | None = None  # length in passes over the good images, instead of steps
    learning_rate: Positive = 1e-3  # Adam's step size in both stages
    clip_norm: Positive | None = 5.0  # largest gradient norm; none = no clipping
    decay_at: Share = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    # scratch: a ResNet of its own, as published; teacher: a frozen one's features, which is ours
    # altogether; none: by the images
    encoder: Literal["teacher", "scratch"] | None = None
    width: _Width = 16  # scratch: channels of the ResNet's first stage; ResNet-18 has 64
    blocks: Count = 1  # scratch: blocks per stage; ResNet-18 has 2
    # scratch: 1 CIFAR stem, 2, 4 standard stem; none: 2 up to 64 px, else 4
    stem_stride: Literal[1, 2, 4] | None = None
    scales: Annotated[int, Range(1, 3)] = 3  # deepest scales in use
    # λ_s: how much each scale counts in loss and score, shallow to deep; their ratios decide
    scale_weights: tuple[NotNegative, NotNegative, NotNegative] = (1.0, 1.0, 1.0)
    prototypes: tuple[_Two, _Two, _Two] = (256, 128, 64)  # per scale, shallow to deep
    channels: Count = 128  # dimension of embeddings and prototypes
    beta: Positive = 8.0  # inverse temperature of the memory's read-out
    temperature: Positive = 0.2  # of NT-Xent
    variance_weight: NotNegative = 1.0  # λ_V, weight of the variance term
    positions: Count = 4  # places per image and scale at which the memory is also trained
    mirror: bool = False  # scratch: half of the views are mirrored
    memory: bool = True  # false: the same network without memory (ablation)
    synthetic: bool = True  # teach the distance with synthetic negatives too (declared)
    # take off what good images deviate by at each place; none: from scratch
    usual: bool | None = None
    # labelled anomalies added to a batch, relative to its size
    anomaly_share: Annotated[float, Range(0, 1, above=True, below=True)] = 0.15
    plain_weight: NotNegative = 1.0  # weight of the plain deviation beside the learned distance
    labelled_weight: NotNegative = 1.0  # weight of the distance that labelled anomalies taught
    # share of a map that makes its score; none: all (scratch), 0.02 (teacher)
    top_share: Share | None = None
    sigma: Positive = 4.0  # Gaussian over the map, pixels of the input; none up to 128 pixels

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.weights_in_use):
            raise ConfigError(
                f"scale_weights={self.scale_weights}: the deepest {self.scales} are in use, and "
                "expected one of them above 0."
            )

    @property
    def weights_in_use(self) -> tuple[float, ...]:
        """λ_s of the scales in use."""
        return self.scale_weights[-self.scales :]

    def lengths(self, second_batch: int) -> tuple[Length, Length]:
        """How long both stages are, the second with batches of ``second_batch`` images."""
        if self.epochs is not None:
            first, second = Length(epochs=self.epochs), Length(epochs=self.epochs / 2)
        elif self.steps is not None:
            first, second = Length(self.steps), Length(max(1, self.steps // 2))
        else:
            fewest, most = STEPS_WITHIN
            first = Length(epochs=EPOCHS, within=STEPS_WITHIN)
            half = EPOCHS / 2 * second_batch / self.batch_size  # half of the steps
            second = Length(epochs=half, within=(fewest // 2, most // 2))
        return first, Length(self.distance_steps) if self.distance_steps else second

    @property
    def variant(self) -> str:
        return "" if self.encoder == "scratch" else "memory over a frozen teacher: ours"

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
