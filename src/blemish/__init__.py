"""blemish: visual anomaly detection for inspection.

Show it good parts; it finds what is wrong with the others, where, and how sure it is.

Example:
    >>> from blemish import Detector
    >>> Detector().method_name
    'trio'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blemish.results import Prediction, Region, Verdict

if TYPE_CHECKING:
    from blemish.detector import Detector
    from blemish.inspector import open_model
    from blemish.training.train import TrainingOptions

__version__ = "0.1.0"
__all__ = [
    "Detector",
    "Prediction",
    "Region",
    "TrainingOptions",
    "Verdict",
    "__version__",
    "open_model",
]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; only those who train or load a model wait for it.
    if name in ("Detector", "TrainingOptions"):
        from blemish.errors import MissingExtraError

        try:
            from blemish.detector import Detector
            from blemish.training.train import TrainingOptions
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("blemish"):
                raise
            raise MissingExtraError("Training and loading a model", "train") from error
        return Detector if name == "Detector" else TrainingOptions
    if name == "open_model":
        from blemish.inspector import open_model

        return open_model
    raise AttributeError(f"module 'blemish' has no attribute {name!r}")
