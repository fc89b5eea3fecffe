"""Settings of RADAR, and the sizes its network comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

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


@dataclass(frozen=True)
class NetworkSize:
    """A size of the network: see :class:`blemish.methods.radar.blocks.AttentionUNet`.

    ``patch`` is the side of the patches in pixels.
    """

    widths: tuple[int, ...]
    blocks: int
    fold: int
    patch: int


#: ``small`` trains on a CPU core in minutes, ``full`` wants a GPU.
NETWORKS = {
    "small": NetworkSize((16, 32, 64), blocks=1, fold=2, patch=64),
    "full": NetworkSize((64, 128, 192, 256), blocks=2, fold=1, patch=128),
}
#: How long a training is where no steps are set: passes over the training images, and the fewest
#: and most steps that they may come to.
EPOCHS, STEPS_WITHIN = 25.0, (800, 10_000)
_Patch = Annotated[int, Range(32, multiple_of=32)]
_Timestep = Annotated[int, Range(0)]


@dataclass(frozen=True)
class RADARConfig(TrainedConfig):
    """Settings of RADAR.

    ``paper`` leaves out what is ours and can be left out: blocks of pixels, the smoothing before
    and after Sobel, the mean residual that is taken off, the distance beside the forest's score,
    the bound on the timesteps that are trained, and what eases a short training: a falling rate
    and clipped gradients. It cannot say the paper's sizes and length, which its text at hand does
    not give: 100 passes are the other systems'. Noise that is fixed per position stays.

    Example:
        >>> from blemish.methods.radar.config import RADARConfig
        >>> RADARConfig(mode="reconstruct").reverse_steps
        25
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {
            "network": "full",
            "epochs": 100,
            "decay_at": 1.0,
            "clip_norm": None,
            "train_below": 1000,
            "usual": False,
            "smooth": None,
            "directions": 0,
            "sigma": None,
            "one_sided": False,
            "beyond": 0.0,
        },
    }

    # optimiser steps; none = by the number of images: 25 passes over them, but no fewer than 800
    # steps and no more than 10,000
    steps: Count | None = None  # type: ignore[assignment]
    epochs: Positive | None = None  # length in passes over the training images, instead of steps
    batch_size: Count = 8  # images per step, from which the patches are cut
    network: Literal["small", "full"] = "small"  # small (CPU) or full (GPU)
    patch: _Patch | None = None  # side of the patches, pixels; none: the network's, 64 or 128
    patches_per_image: Count = 2  # random patches cut from each image of a step
    learning_rate: Positive = 1e-3  # Adam's step size
    decay_at: Share = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    clip_norm: Positive | None = 1.0  # largest gradient norm; none = no clipping
    # decay per step of the moving average of the weights that predicts
    average: Annotated[float, Range(0, 1, below=True)] = 0.995
    train_below: Annotated[int, Range(1, 1000)] = 500  # timesteps are drawn from 0 up to here
    # the one timestep t* of the single step; none: chosen for each product, by anomalies planted
    # into held-out images
    timestep: _Timestep | None = 300
    timesteps: tuple[_Timestep, ...] = (50, 150, 300, 450)  # what to choose t* from
    usual: bool = True  # subtract the mean residual of held-out good images
    smooth: Positive | None = 2.0  # Gaussian over the residual before Sobel, pixels
    # directions in which the edges of a smoothed residual may go on; 0 = Sobel without any
    directions: Annotated[int, Range(0, 32)] = 8
    along: Positive = 8.0  # Gaussian along the edges, pixels
    sigma: Positive | None = 4.0  # Gaussian over the map, pixels
    peak: Share = 0.001  # share of the map, the largest values, whose mean is the local feature
    one_sided: bool = True  # an image that is more regular than usual is not odd
    trees: Count = 100  # trees of the Isolation Forest
    beyond: NotNegative = 1.0  # weight of the distance beyond all seen, beside the forest's score
    # how to find what departs; reconstruct is the slow way for comparison
    mode: Literal["single_step", "reconstruct"] = "single_step"
    reverse_from: _Timestep = 250  # reconstruct: timestep to which the image is noised
    reverse_steps: Count = 25  # reconstruct: DDIM steps back from there, one pass each

    def __post_init__(self) -> None:
        super().__post_init__()
        used = (*self.timesteps, self.timestep or 0, self.reverse_from)
        if not self.timesteps or max(used) >= self.train_below:
            raise ConfigError(
                f"timestep, timesteps and reverse_from must lie in 0..{self.train_below - 1}, the "
                f"range that training covers (train_below={self.train_below})."
            )
        if self.reverse_steps > self.reverse_from + 1:
            raise ConfigError(
                f"reverse_steps={self.reverse_steps}: expected 1 to reverse_from + 1 = "
                f"{self.reverse_from + 1}."
            )
