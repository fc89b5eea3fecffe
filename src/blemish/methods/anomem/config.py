"""Settings of AnoMem, and the rule by which its encoder follows the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.methods.anomem.resnet import STEM_STRIDES
from blemish.methods.settings import MethodConfig

ENCODERS = ("auto", "teacher", "scratch")
#: ``auto`` trains an encoder from scratch on images up to this many pixels a side …
SMALL_SIDE = 64
#: … when there are at least this many good ones.
ENOUGH_IMAGES = 1000


@dataclass(frozen=True)
class AnoMemConfig(MethodConfig):
    """Settings of AnoMem.

    Example:
        >>> from blemish.methods.anomem.model import AnoMemConfig
        >>> AnoMemConfig().settled([(28, 28)] * 6000).encoder
        'scratch'
        >>> AnoMemConfig().settled([(800, 800)] * 200).encoder
        'teacher'
    """

    batch_size: int = 64  # images per step of both stages
    distance_steps: int = 0  # optimiser steps of the distance stage; 0 = half of steps
    learning_rate: float = 1e-3  # Adam's step size in both stages
    decay_at: float = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    encoder: str = "auto"  # teacher: frozen; scratch: a ResNet of its own; auto: by the images
    width: int = 64  # scratch: channels of the ResNet's first stage
    blocks: int = 2  # scratch: blocks per stage; 2 = ResNet-18
    stem_stride: int = 0  # scratch: 1 CIFAR stem, 2, 4 standard stem; 0 = 1 up to 64 px, else 4
    scales: int = 3  # deepest scales in use, 1..3
    prototypes: tuple[int, ...] = (256, 128, 64)  # per scale, shallow to deep
    channels: int = 128  # dimension of embeddings and prototypes
    beta: float = 8.0  # inverse temperature of the memory's read-out
    temperature: float = 0.2  # of NT-Xent
    variance_weight: float = 1.0  # λ_V, weight of the variance term; 0 = off
    positions: int = 4  # places per image and scale at which the memory is also trained
    memory: bool = True  # false: the same network without memory (ablation)
    synthetic: bool = True  # teach the distance with synthetic negatives too (declared)
    anomaly_share: float = 0.15  # labelled anomalies added to a batch, relative to its size
    plain_weight: float = 1.0  # weight of the plain deviation beside the learned distance
    labelled_weight: float = 1.0  # weight of the distance that labelled anomalies taught
    top_share: float = 0.0  # share of a map that makes its score; 0 = all (scratch), 0.02 (teacher)
    sigma: float = 4.0  # Gaussian over the map, pixels of the input; none up to 128 pixels

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder not in ENCODERS:
            raise ConfigError(unknown_name_message("encoder", self.encoder, ENCODERS))
        if not 1 <= self.scales <= 3:
            raise ConfigError(f"scales={self.scales}: expected 1, 2 or 3.")
        if len(self.prototypes) != 3 or min(self.prototypes) < 2:
            raise ConfigError(
                f"prototypes={self.prototypes}: expected three numbers from 2, such as 256,128,64."
            )
        if self.stem_stride not in (0, *STEM_STRIDES):
            raise ConfigError(f"stem_stride={self.stem_stride}: expected 1, 2, 4, or 0 for auto.")
        if self.width < 8:
            # With fewer input channels a 1×1 convolution of stride 2 makes oneDNN 3.12 (torch 2.13)
            # write past its buffer on processors without AVX-512, and the process dies.
            raise ConfigError(f"width={self.width}: expected at least 8 channels.")
        for name in ("blocks", "channels", "positions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 1.")
        for name in ("learning_rate", "beta", "temperature", "sigma"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}={getattr(self, name)}: expected a positive number.")
        for name in ("distance_steps", "variance_weight", "plain_weight", "labelled_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 0.")
        if not 0 < self.decay_at <= 1:
            raise ConfigError(f"decay_at={self.decay_at}: expected a share in (0, 1].")
        if not 0 <= self.top_share <= 1 or not 0 < self.anomaly_share < 1:
            raise ConfigError("top_share is a share in [0, 1] and anomaly_share one in (0, 1).")

    @property
    def second_steps(self) -> int:
        """Optimiser steps of the distance stage."""
        return self.distance_steps or max(1, self.steps // 2)

    def settled(self, sizes: Sequence[tuple[int, int]]) -> AnoMemConfig:
        if self.encoder != "auto":
            return self
        small = max(map(max, sizes)) <= SMALL_SIDE
        # A few hundred pictures teach a network of eleven million weights nothing, and an ImageNet
        # teacher sees little in pictures of 28 pixels.
        scratch = small and len(sizes) >= ENOUGH_IMAGES
        return replace(self, encoder="scratch" if scratch else "teacher")

    def input_side(self, longest: int) -> int:
        if self.encoder == "scratch":  # it has no size it is used to
            return min(256, -(-longest // 32) * 32)
        return super().input_side(longest)
