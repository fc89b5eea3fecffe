"""How fast a model is on this machine, stage by stage, and how much memory it needs."""

from __future__ import annotations

from blemish.timing.memory import peak_memory_mib
from blemish.timing.stages import STAGES, Bench, Spread, measure

__all__ = ["STAGES", "Bench", "Spread", "measure", "peak_memory_mib"]
