"""Learning-rate schedules: the share of its rate that a group uses at a step of a stage.

Any callable ``(step, steps) → factor`` is one, with ``step`` from 0 to ``steps`` − 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int, int], float]


def constant(step: int, steps: int) -> float:
    """The rate as it is, to the end."""
    return 1.0


@dataclass(frozen=True)
class StepDecay:
    """The whole rate for a share ``at`` of the steps, ``factor`` of it for the rest.

    Example:
        >>> from blemish.methods.schedule import StepDecay
        >>> [StepDecay(0.5)(step, 4) for step in range(4)]
        [1.0, 1.0, 0.1, 0.1]
    """

    at: float = 0.8
    factor: float = 0.1

    def __call__(self, step: int, steps: int) -> float:
        return self.factor if step >= math.ceil(self.at * steps) else 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the whole rate at the first step down to ``last`` of it after the last.

    Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017; without
    restarts.
    """

    last: float = 0.0

    def __call__(self, step: int, steps: int) -> float:
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * step / steps)) / 2


@dataclass(frozen=True)
class WarmUp:
    """A linear rise over a share of the steps, then another schedule over what is left of them.

    Example:
        >>> from blemish.methods.schedule import Cosine, WarmUp
        >>> [round(WarmUp(0.5, then=Cosine())(step, 8), 2) for step in range(8)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """

    share: float = 0.1
    then: Schedule = constant

    def __call__(self, step: int, steps: int) -> float:
        warm = math.ceil(self.share * steps)
        return (step + 1) / warm if step < warm else self.then(step - warm, max(1, steps - warm))
