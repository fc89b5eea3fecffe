"""The settings of RADAR, and the sizes its network comes in."""

from __future__ import annotations

from dataclasses import dataclass

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.methods.settings import MethodConfig

MODES = ("single_step", "reconstruct")


@dataclass(frozen=True)
class Preset:
    """A size of the network.

    Attributes:
        widths, blocks, fold: See :class:`blemish.methods.radar.attention_unet.AttentionUNet`.
        patch: Side of the patches in pixels.
    """

    widths: tuple[int, ...]
    blocks: int
    fold: int
    patch: int


#: ``small`` trains on a CPU core in minutes, ``full`` wants a GPU.
PRESETS = {
    "small": Preset((16, 32, 64), blocks=1, fold=2, patch=64),
    "full": Preset((64, 128, 192, 256), blocks=2, fold=1, patch=128),
}


@dataclass(frozen=True)
class RADARConfig(MethodConfig):
    """Settings of RADAR.

    Example:
        >>> from blemish.methods.radar.config import RADARConfig
        >>> RADARConfig(mode="reconstruct").reverse_steps
        25
    """

    steps: int = 800  # optimiser steps
    batch_size: int = 8  # images per step, from which the patches are cut
    preset: str = "small"  # network: small (CPU) or full (GPU)
    patch: int = 0  # side of the patches, pixels, a multiple of 32; 0 = the preset's
    patches_per_image: int = 2  # random patches cut from each image of a step
    learning_rate: float = 1e-3  # Adam's step size
    decay_at: float = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    average: float = 0.995  # decay per step of the moving average of the weights that predicts
    train_below: int = 500  # timesteps are drawn from 0 up to here; at most 1000
    timestep: int = -1  # the one timestep t* of the single step; −1 = choose on held-out images
    timesteps: tuple[int, ...] = (25, 50, 75, 100, 150)  # what to choose t* from
    smooth: float = 2.0  # Gaussian over the residual before Sobel, pixels; 0 = none
    sigma: float = 4.0  # Gaussian over the map, pixels; 0 = none
    trees: int = 100  # trees of the Isolation Forest
    beyond: float = 1.0  # weight of the distance beyond all seen; 0 = the forest's score alone
    mode: str = "single_step"  # or reconstruct, the slow way for comparison
    reverse_from: int = 250  # reconstruct: timestep to which the image is noised
    reverse_steps: int = 25  # reconstruct: DDIM steps back from there, one pass each

    def __post_init__(self) -> None:
        super().__post_init__()
        for what, value, known in (
            ("preset", self.preset, PRESETS),
            ("mode", self.mode, MODES),
        ):
            if value not in known:
                raise ConfigError(unknown_name_message(what, value, known))
        if self.patch < 0 or self.patch % 32:
            raise ConfigError(f"patch={self.patch}: expected a multiple of 32, or 0 to follow.")
        if not 1 <= self.train_below <= 1000:
            raise ConfigError(f"train_below={self.train_below}: expected 1 to 1000.")
        used = (*self.timesteps, max(self.timestep, 0), self.reverse_from)
        if not self.timesteps or not all(0 <= t < self.train_below for t in used):
            raise ConfigError(
                f"timestep, timesteps and reverse_from must lie in 0..{self.train_below - 1}, the "
                f"range that training covers (train_below={self.train_below})."
            )
        if not 1 <= self.reverse_steps <= self.reverse_from + 1:
            raise ConfigError(
                f"reverse_steps={self.reverse_steps}: expected 1 to reverse_from + 1 = "
                f"{self.reverse_from + 1}."
            )
        if not 0 < self.decay_at <= 1 or not 0 <= self.average < 1 or self.learning_rate <= 0:
            raise ConfigError("Expected decay_at in (0, 1], average in [0, 1), learning_rate > 0.")
        if (
            self.patches_per_image < 1
            or self.trees < 1
            or min(self.smooth, self.sigma, self.beyond) < 0
        ):
            raise ConfigError(
                "Expected patches_per_image, trees ≥ 1 and smooth, sigma, beyond ≥ 0."
            )
