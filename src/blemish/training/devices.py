"""Which processor computes: a name the user gives, checked before any work begins."""

from __future__ import annotations

import torch

from blemish._names import unknown_name_message
from blemish.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> str:
    """``cpu`` or ``cuda`` for a name of :data:`DEVICES`; ``auto`` takes the GPU where there is one.

    Raises:
        ConfigError: An unknown name, or ``cuda`` on a machine where PyTorch finds no GPU.

    Example:
        >>> from blemish.training.devices import resolve_device
        >>> resolve_device("cpu")
        'cpu'
    """
    if name not in DEVICES:
        raise ConfigError(unknown_name_message("device", name, DEVICES))
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"The device cuda was asked for, but PyTorch {torch.__version__} finds no GPU. Use "
            "--device cpu, or install a CUDA build of PyTorch and its driver."
        )
    return name
