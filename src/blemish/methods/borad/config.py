"""Settings of BoRAD."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.errors import ConfigError
from blemish.methods.rd.config import RDConfig


@dataclass(frozen=True)
class BoRADConfig(RDConfig):
    """Settings of BoRAD, beyond those of reverse distillation.

    Example:
        >>> from blemish.methods.borad.config import BoRADConfig
        >>> BoRADConfig().prototypes
        7
    """

    spatial_weight: float = 1.0  # weight of spatial prototype alignment; 0 = off (stated: 1)
    global_weight: float = 1.0  # weight of prototype-relative global alignment; 0 = off (stated: 1)
    prototypes: int = 7  # K, prototypes per location (stated)
    view_rate: float = 0.5  # share of the steps whose two views are masked (stated)
    mask_share: float = 0.5  # share of the positions a mask hides (stated)
    momentum: tuple[float, float] = (0.99, 0.999)  # of the target, first and last step (stated)
    head_learning_rate: float = 5e-3  # Adam's step size for bank and heads (stated)
    residual: bool = True  # add the projection to the level; false: replace it (stated)
    divisors: tuple[int, ...] = (0,)  # of a projection's channels (stated: 2,4,2); 0 = by teacher

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spatial_weight < 0 or self.global_weight < 0 or self.head_learning_rate <= 0:
            raise ConfigError(
                "spatial_weight and global_weight must be ≥ 0, head_learning_rate positive."
            )
        if self.prototypes < 1:
            raise ConfigError(f"prototypes={self.prototypes}: expected at least 1.")
        if self.divisors != (0,) and (not self.divisors or min(self.divisors) < 1):
            raise ConfigError(
                f"divisors={self.divisors}: expected whole numbers from 1, such as 2,4,2: what a "
                "projection's channels are divided by after each convolution but the last. 0 "
                "follows the teacher."
            )
        if not (0 <= self.view_rate < 1 and 0 <= self.mask_share < 1):
            # Unmasked steps are where the normalisations learn what prediction will see.
            raise ConfigError(
                f"view_rate={self.view_rate}, mask_share={self.mask_share}: expected [0, 1)."
            )
        if len(self.momentum) != 2 or not all(0 <= m <= 1 for m in self.momentum):
            raise ConfigError(f"momentum={self.momentum}: expected two numbers in [0, 1].")

    @property
    def aligns(self) -> bool:
        """True when anything beyond the reconstruction is asked for."""
        return self.spatial_weight > 0 or self.global_weight > 0
