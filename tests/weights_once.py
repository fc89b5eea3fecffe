"""Published weights of a teacher, read once a process: a thousand models of the suite have them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from blemish.teachers.efficientnet_lite import EfficientNetLite


def read_weights_once() -> None:
    """From now on, a trunk takes what one of its kind has read from the same file before."""
    read = EfficientNetLite.load_published
    kept: dict[tuple[Path, int, int], dict[str, Tensor]] = {}

    def load(trunk: EfficientNetLite, path: Path) -> None:
        key = (path, path.stat().st_mtime_ns, trunk.taps[-1])
        if key in kept:
            trunk.load_state_dict(kept[key])
        else:
            read(trunk, path)
            kept[key] = {name: value.clone() for name, value in trunk.state_dict().items()}

    EfficientNetLite.load_published = load  # type: ignore[method-assign]
