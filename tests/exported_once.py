"""Graph of a method, written once a run of the suite: torch's exporter takes seconds for each.

Many tests export the same model, in the two worker processes and in those that they start. What
decides the graph decides the name of the file it is kept in, so that a test that changes any of it
has one of its own. Tests of the exporter itself call it directly.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path
from typing import Any


def list_operations_once() -> None:
    """From now on, torch's exporter lists what ONNX can do once a process, not once an export."""
    import torch.onnx

    export = torch.onnx.export

    @functools.wraps(export)
    def listed_once(*args: Any, **kwargs: Any) -> Any:
        torch.onnx.export = export
        with contextlib.suppress(ImportError, AttributeError):  # torch's own: it may move
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            listed = functools.cache(ONNXRegistry.from_torchlib)
            ONNXRegistry.from_torchlib = staticmethod(listed)
        return export(*args, **kwargs)

    torch.onnx.export = listed_once


def export_once(folder: Path) -> None:
    """From now on, `export_model` in this process takes what was written before."""
    import blemish.export.exporter as exporter

    list_operations_once()

    write = exporter.onnx_graph

    def kept(method: Any) -> bytes:
        kind = type(method)
        said = (kind.__module__, kind.__qualname__, method.config, method.input_size)
        found = hashlib.sha256(repr((*said, vars(method).get("products"))).encode())
        for name, value in sorted(method.state_dict().items()):
            found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
        path = folder / found.hexdigest()
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(write(method))
            part.replace(path)
        return path.read_bytes()

    exporter.onnx_graph = kept
