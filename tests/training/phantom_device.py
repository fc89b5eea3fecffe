"""A device that is not there: tensors in main memory that behave as if they lay on a GPU.

Whoever mixes them with tensors of the CPU gets the error that a GPU would give, so that a machine
without one finds what was left behind. The device's name is kept beside each tensor.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "cuda:7"
#: What may see tensors of both: a GPU takes places from the CPU, and copies across.
_ACROSS = {"__getitem__", "__setitem__", "copy_", "__set__", "index_put_", "fill_"}
_ACROSS |= {"_has_compatible_shallow_copy_type"}


class PhantomDevice(TorchFunctionMode):
    """While it is entered, ``cuda:7`` is a device. ``computed`` has what ran there, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: dict[str, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(getattr(func, "__self__", None), "__name__", "")  # of a getter or setter
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        there = any(on_phantom(t) for t in tensors)
        if owner == "device" and name == "__get__":
            return torch.device(NAME) if there else func(*args, **kwargs)
        if owner == "is_cpu":
            return not there
        if owner == "data" and name == "__set__":
            mark(args[0], on_phantom(args[1]))
            return func(*args, **kwargs)
        if name in ("numpy", "__array__", "data_ptr") and there:
            raise TypeError("can't convert cuda:7 device type tensor to numpy")
        if name in ("cpu", "to", "cuda", "type_as"):
            return self._moved(func, name, args, kwargs)
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = "cpu"
            new = func(*args, **kwargs)
            return tree_map(lambda t: mark(t, is_phantom(asked)), new)
        if there and name not in _ACROSS:
            apart = [t for t in tensors if not on_phantom(t) and t.dim() > 0]
            if apart:
                raise RuntimeError(
                    f"{name}: expected all tensors on one device, found {NAME} and cpu "
                    f"{[tuple(t.shape) for t in apart]}"
                )
            self.computed[name] = self.computed.get(name, 0) + 1
        if name in ("__getitem__", "__setitem__") and not on_phantom(args[0]):
            places = [t for t in tree_flatten(args[1])[0] if isinstance(t, Tensor) and t.dim()]
            if any(on_phantom(t) for t in places):
                raise RuntimeError("indices should be on cpu as the indexed tensor")
        result = func(*args, **kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        marked = on_phantom(first) if name in _ACROSS and first is not None else there
        if marked:
            tree_map(lambda t: mark(t, True) if isinstance(t, Tensor) else t, result)
        return result

    def _moved(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        source = args[0]
        target = on_phantom(source)
        if name == "cpu":
            target = False
        rest = []
        for value in args[1:]:
            if isinstance(value, Tensor):
                target = on_phantom(value)
                value = value.dtype
            elif is_device(value):
                target = is_phantom(value)
                continue
            if isinstance(value, torch.dtype):  # the others say whether to wait or to copy
                rest.append(value)
        asked = kwargs.pop("device", None)
        if asked is not None:
            target = is_phantom(asked)
        kwargs.pop("non_blocking", None)
        if name == "cuda":
            target = True
        result = source.to(*rest, **kwargs) if rest or kwargs else source
        if target != on_phantom(source) and result is source:
            result = (
                source.detach().requires_grad_(source.requires_grad)
                if (isinstance(source, torch.nn.Parameter))
                else source.view_as(source)
            )
        return mark(result, target)


def is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (
        isinstance(value, str) and value.split(":")[0] in ("cpu", "cuda")
    )


def is_phantom(device: Any) -> bool:
    return str(device).startswith("cuda")


def on_phantom(tensor: Tensor) -> bool:
    return bool(tensor.__dict__.get("_phantom", False))


def mark(tensor: Any, there: bool) -> Any:
    if isinstance(tensor, Tensor):
        tensor.__dict__["_phantom"] = there
    return tensor
