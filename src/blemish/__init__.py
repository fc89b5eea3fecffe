"""blemish: visual anomaly detection for inspection.

Show it good parts; it finds what is wrong with the others, where, and how sure it is.

Example:
    >>> from blemish import Detector
    >>> Detector().method_name
    'trio'
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blemish.errors import BlemishError, MissingExtraError
from blemish.results import Prediction, Region, Verdict

if TYPE_CHECKING:
    from blemish.calibration import Calibration
    from blemish.data.layouts.roles import Folders
    from blemish.detector import Detector
    from blemish.inspector import open_model
    from blemish.methods.registry import names as list_methods
    from blemish.teachers.teacher import list_teachers
    from blemish.training.options import TrainingOptions

__version__ = "0.1.0"
__all__ = [
    "BlemishError",
    "Calibration",
    "Detector",
    "Folders",
    "Prediction",
    "Region",
    "TrainingOptions",
    "Verdict",
    "__version__",
    "list_methods",
    "list_teachers",
    "open_model",
]

# torch takes a second to import; only those who train or load a model wait for it.
_LATE = {
    "Calibration": ("blemish.calibration", "Calibration"),
    "Detector": ("blemish.detector", "Detector"),
    "Folders": ("blemish.data.layouts.roles", "Folders"),
    "TrainingOptions": ("blemish.training.options", "TrainingOptions"),
    "list_methods": ("blemish.methods.registry", "names"),
    "list_teachers": ("blemish.teachers.teacher", "list_teachers"),
    "open_model": ("blemish.inspector", "open_model"),
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'blemish' has no attribute {name!r}")
    module, attribute = _LATE[name]
    # As the command line does; without effect where torch is there already.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("blemish"):
            raise
        raise MissingExtraError("Training and loading a model", "train") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
