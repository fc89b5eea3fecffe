"""Settings of LogicRD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from blemish.errors import ConfigError
from blemish.methods.rd.config import STATED_TRUNK, RDConfig
from blemish.methods.settings import Count, NotNegative, Presets, Range


@dataclass(frozen=True)
class LogicRDConfig(RDConfig):
    """Settings of LogicRD, beyond those of reverse distillation.

    The paper names its parts and hardly a number. The preset ``paper`` is the trunk as its authors
    state it and the parts without what is ours: no pseudo-anomalies, one description, one group.
    What it cannot say: the layers of the parts, and the length, which is the trunk's.

    Example:
        >>> from blemish.methods.logicrd.config import LogicRDConfig
        >>> LogicRDConfig(logical=False).gate
        True
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {
            **STATED_TRUNK,
            "pseudo_share": 0.0,
            "gate_weight": 0.0,
            "logic_weight": 0.0,
            "described": "both",
            "regions": 1,
            "most_groups": 1,
        },
    }

    semantics: bool = True  # GSE: codes of the whole picture modulate the student
    compensation: bool = True  # FCP: the teacher's detail is given back; needs semantics
    gate: bool = True  # NII on that pathway, and the pseudo-anomalies that train it
    structural: bool = True  # the student and its map; off: only the logical branch, faster
    logical: bool = True  # the Mahalanobis branch; off: only the structural branch
    code_width: Annotated[int, Range(4, multiple_of=4)] = 64  # channels of GSE's tokens and codes
    pseudo_share: Annotated[float, Range(0, 1)] = 0.5  # images of a batch with pseudo-anomalies
    gate_weight: NotNegative = 0.1  # of the gate's cross-entropy beside the distillation loss
    regions: Literal[1, 2, 4, 8] = 4  # the whole picture, its quarters … to regions² parts
    logic_weight: NotNegative = 1.0  # of the loss by which codes that are measured show what moved
    # what is measured: GSE's codes, the teacher's features, or both (stated)
    described: Literal["both", "codes", "features"] = "features"
    own_covariance: bool = True  # each group of pictures its own covariance; off: a shared one
    # of the logical z-score in the soft maximum of both branches, log(e^structural + e^(w logical))
    logical_weight: NotNegative = 0.5
    most_groups: Count = 16  # largest number of groups of pictures

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.structural or self.logical):
            raise ConfigError("structural and logical are both off: one branch must remain.")
        if self.compensation and not self.semantics:
            raise ConfigError(
                "compensation=true needs semantics=true: the detail is what the codes lack. "
                "Set compensation=false as well."
            )
        if "codes" in self.descriptions and not self.semantics:
            raise ConfigError(
                f"described={self.described} needs semantics=true, from which the codes are. Set "
                "described=features as well."
            )

    @property
    def descriptions(self) -> tuple[str, ...]:
        """What the logical branch measures, the one that explains last."""
        if not self.logical:
            return ()
        return ("codes", "features") if self.described == "both" else (self.described,)

    @property
    def learns_logic(self) -> bool:
        """Whether the codes are trained to show what is logical."""
        return "codes" in self.descriptions and self.logic_weight > 0

    @property
    def corrupted_share(self) -> float:
        """Pictures of a batch that get pseudo-anomalies: none without a gate to train."""
        gated = self.structural and self.semantics and self.compensation and self.gate
        return self.pseudo_share if gated else 0.0
