"""Settings of LogicRD."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.errors import ConfigError
from blemish.methods.rd.config import RDConfig


@dataclass(frozen=True)
class LogicRDConfig(RDConfig):
    """Settings of LogicRD, beyond those of reverse distillation.

    Example:
        >>> from blemish.methods.logicrd.config import LogicRDConfig
        >>> LogicRDConfig(logical=False).gate
        True
    """

    semantics: bool = True  # GSE: codes of the whole picture modulate the student
    compensation: bool = True  # FCP: the teacher's detail is given back; needs semantics
    gate: bool = True  # NII on that pathway, and the pseudo-anomalies that train it
    structural: bool = True  # the student and its map; off: only the logical branch, faster
    logical: bool = True  # the Mahalanobis branch; off: only the structural branch
    code_width: int = 64  # channels of GSE's tokens and codes
    pseudo_share: float = 0.5  # share of a batch's images that carry pseudo-anomalies
    gate_weight: float = 0.1  # of the gate's cross-entropy beside the distillation loss
    regions: int = 4  # described are the whole picture, its quarters, and so on to regions² parts
    describe_codes: bool = False  # GSE's codes are described too, as one more part
    own_covariance: bool = True  # each group of pictures its own covariance; off: a shared one
    most_groups: int = 16  # largest number of groups of pictures

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.structural or self.logical):
            raise ConfigError("structural and logical are both off: one branch must remain.")
        if self.compensation and not self.semantics:
            raise ConfigError(
                "compensation=true needs semantics=true: the detail is what the codes lack. "
                "Set compensation=false as well."
            )
        if self.regions not in (1, 2, 4, 8):
            raise ConfigError(f"regions={self.regions}: expected 1, 2, 4 or 8.")
        if self.code_width < 4 or self.code_width % 4:
            raise ConfigError(f"code_width={self.code_width}: expected a multiple of 4.")
        if not 0 <= self.pseudo_share <= 1 or self.gate_weight < 0:
            raise ConfigError("pseudo_share must lie in [0, 1], gate_weight be 0 or more.")
        if self.most_groups < 1:
            raise ConfigError(f"most_groups={self.most_groups}: expected 1 or more.")
