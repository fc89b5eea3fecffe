"""Device: where torch computes, told from one name for every stage of training and judging."""

from __future__ import annotations

import re

import torch

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.nn.precision import AUTO

#: What a device can be called; a number behind ``cuda:`` is that of the GPU.
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")
_KNOWN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check_device(name: str) -> None:
    """Raise a :class:`ConfigError` for what can be no device anywhere."""
    if not _KNOWN.fullmatch(name):
        raise ConfigError(unknown_name_message("device", name, DEVICES))


def resolve_device(name: str) -> str:
    """The device to compute on, such as ``cpu`` or ``cuda:1``, checked before any work begins.

    Raises:
        ConfigError: An unknown name, or a device that PyTorch does not find here.

    Example:
        >>> from blemish.training.devices import resolve_device
        >>> resolve_device("cpu")
        'cpu'
    """
    check_device(name)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"The device {name} was asked for, but PyTorch {torch.__version__} finds no GPU. Use "
            "--device cpu, or install a CUDA build of PyTorch and its driver."
        )
    if number and int(number) >= torch.cuda.device_count():
        raise ConfigError(
            f"The device {name} was asked for, but there are {torch.cuda.device_count()} GPUs, "
            f"cuda:0 to cuda:{torch.cuda.device_count() - 1}."
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(
            f"The device mps was asked for, but PyTorch {torch.__version__} finds no GPU of "
            "Apple's. Use --device cpu."
        )
    return name


def resolve_precision(asked: str, device: str) -> str:
    """The precision of a training's steps on a device: as asked, or what ``auto`` comes to there.

    That is ``bf16-mixed`` where the device multiplies matrices in bfloat16 itself, a GPU since
    Ampere or a processor with AMX, else ``32-true``.

    Example:
        >>> from blemish.training.devices import resolve_precision
        >>> resolve_precision("64-true", "cpu")
        '64-true'
    """
    if asked != AUTO:
        return asked
    kind = resolve_device(device).partition(":")[0]
    can = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        can = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return "bf16-mixed" if can else "32-true"


def lightning_device(device: str) -> tuple[str, int | list[int]]:
    """What Lightning calls a device: accelerator, and which of them.

    Example:
        >>> from blemish.training.devices import lightning_device
        >>> lightning_device("cuda:1"), lightning_device("cpu")
        (('cuda', [1]), ('cpu', 1))
    """
    kind, _, number = device.partition(":")
    return kind, [int(number)] if number else 1
