"""Numerical precision: the digits that a training computes with, and where mixed has too few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

#: Lightning's name of float64. What differs between two trainings in it is no rounding.
DOUBLE = "64-true"
#: Mixed where the device has it.
AUTO = "auto"


def single_at_least(x: Tensor) -> Tensor:
    """What needs float32's digits, as float32; float64 stays.

    Example:
        >>> import torch
        >>> from blemish.nn.precision import single_at_least
        >>> single_at_least(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
        >>> single_at_least(torch.zeros(1, dtype=torch.float64)).dtype
        torch.float64
    """
    return x if x.dtype == torch.float64 else x.float()


def as_numbers(pixels: Tensor) -> Tensor:
    """Pixels ``uint8`` as what is computed with: float32, or float64 in a training in that."""
    return pixels.to(torch.get_default_dtype())


def as_convolved(levels: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Levels as convolutions take them: in mixed precision cast once here, not by each of them.

    Example:
        >>> import torch
        >>> from blemish.nn.precision import as_convolved
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     as_convolved([torch.zeros(1)])[0].dtype
        torch.bfloat16
        >>> as_convolved([torch.zeros(1)])[0].dtype
        torch.float32
    """

    def cast(level: Tensor) -> Tensor:
        kind = level.device.type
        mixed = torch.is_autocast_enabled(kind)
        return level.to(torch.get_autocast_dtype(kind)) if mixed else level

    return tuple(map(cast, levels))


@contextmanager
def digits_of(precision: str, module: nn.Module) -> Iterator[None]:
    """Inside, the weights have a precision's digits; afterwards those that model files keep."""
    if precision == DOUBLE:
        module.double()
    try:
        yield
    finally:
        if precision == DOUBLE:
            module.float()
