"""Training log: numbers of a training by step, in a CSV file and in the loggers asked for.

The file has a row for each number, ``seconds,name,step,value``, so that new names need no columns.
TensorBoard and MLflow are written by Lightning's loggers.
"""

from __future__ import annotations

import csv
import math
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish._files import atomic_write
from blemish.calibration import Calibration
from blemish.errors import ConfigError, MissingExtraError, first_line

if TYPE_CHECKING:
    from typing_extensions import Self

    from blemish.evaluation.evaluator import Evaluation

#: Name of the file in the folder of a training.
CSV_NAME = "training.csv"
_PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
_HEAD = ("seconds", "name", "step", "value")
#: What MLflow takes in the name of a number.
_OTHER = re.compile(r"[^\w.\- :/]")


def check_logger(asked: str) -> None:
    """Refuse a logger that cannot be written to.

    Raises:
        ConfigError: Neither ``tensorboard:DIR`` nor ``mlflow:URI``.
        MissingExtraError: Its package is not installed.
    """
    kind, _, place = asked.partition(":")
    if kind not in _PACKAGES or not place:
        raise ConfigError(
            f"The logger is {asked!r}; expected tensorboard:DIR or mlflow:URI, such as "
            "tensorboard:runs or mlflow:http://localhost:5000."
        )
    if find_spec(_PACKAGES[kind]) is None:
        raise MissingExtraError(f"Logging to {asked}", "loggers")


class TrainingLog:
    r"""Where the numbers of one training go.

    Args:
        folder: Of the file; ``None``: there is none.
        loggers: ``tensorboard:DIR`` and ``mlflow:URI``, checked; opened on entering.
        run_name: What the training is called in them.

    Raises:
        ConfigError: On entering: a logger cannot be written to.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.training.log import TrainingLog
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = TrainingLog(Path(folder))
        ...     log.write({"distill/total": 0.5}, step=1)
        ...     (Path(folder) / "training.csv").read_text().split(",")[-3:]
        ['distill/total', '1', '0.5\n']
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        loggers: Sequence[str] = (),
        *,
        run_name: str = "",
    ) -> None:
        self.path = None if folder is None else Path(folder) / CSV_NAME
        self._asked = loggers
        self._run_name = run_name
        self._loggers: list[Any] = []
        self._lost: list[str] = []
        self._started = time.monotonic()

    def begin(self, stage: str, first: int) -> None:
        """Drop what the file has of steps of a stage that are done again, from ``first`` on."""
        if self.path is None or not self.path.is_file():
            return
        with self.path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(_HEAD)]
        kept = [r for r in rows if not (r[1].startswith(f"{stage}/") and int(r[2]) > first)]
        with atomic_write(self.path) as target:
            target.write("".join(",".join(row) + "\n" for row in kept).encode())

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name; ``stage/name`` for those of a stage."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.is_file()
            seconds = round(time.monotonic() - self._started, 2)
            with self.path.open("a", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                if new:
                    rows.writerow(_HEAD)
                rows.writerows((seconds, name, step, value) for name, value in values.items())
        known = {_as_path(name): value for name, value in values.items() if math.isfinite(value)}
        for logger in tuple(self._loggers):
            try:
                logger.log_metrics(known, step)
            except Exception as error:  # each store's own, such as of a server that has gone
                # A training of hours is worth more than its curves, and the file has them too.
                self._loggers.remove(logger)
                self._lost.append(f"{type(logger).__name__} takes no numbers: {first_line(error)}")

    def end(self, calibration: Calibration | None, values: Mapping[str, float]) -> None:
        """What came of it, the limits of every product and ``final/…``."""
        found = {f"final/{name}": value for name, value in values.items()}
        for product in () if calibration is None else calibration.products:
            limits = calibration.limits(product)  # type: ignore[union-attr]
            own = {"defect": limits.defect, "unsure": limits.unsure, "images": limits.n}
            own |= {"defect_rate": limits.defect_rate, "unsure_rate": limits.unsure_rate}
            found |= {f"calibration/{product}/{name}": value for name, value in own.items()}
        self.write(found, 0)

    def measured(self, evaluation: Evaluation) -> None:
        """What the model reaches on test images, also after the end: ``metrics/PRODUCT/…``.

        ``found`` and ``stopped`` are the shares of defects and of good images above the limits for
        1 % and 5 % false alarms; ``final/…`` has the means over products.
        """
        products = [(f"metrics/{p.product}", p.metrics, p.power) for p in evaluation.products]
        found: dict[str, float] = {}
        for name, metrics, power in (*products, ("final", evaluation.mean, evaluation.power)):
            found |= {f"{name}/{metric}": value for metric, value in metrics.items()}
            for at in power:
                found[f"{name}/found_at_{at.rate:g}"] = at.found_share
                found[f"{name}/stopped_at_{at.rate:g}"] = at.stopped_share
        self.write({name: value for name, value in found.items() if math.isfinite(value)}, 0)
        self._finish("success")

    def __enter__(self) -> Self:
        # Before any work: what cannot be written to is not found out at the first step.
        self._loggers = [_opened(asked, self._run_name) for asked in self._asked]
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End the loggers' runs, as a success or as failed."""
        self._finish("success" if kind is None else "failed")

    def _finish(self, status: str) -> None:
        for logger in self._loggers:
            logger.finalize(status)
        # Not under way, where Lightning's warnings are not shown.
        while self._lost:
            warnings.warn(f"{self._lost.pop()} The others have them all.", stacklevel=3)


def _as_path(name: str) -> str:
    """The name as every logger takes it, whatever a product is called."""
    parts = (_OTHER.sub("_", part).strip(".") for part in name.split("/"))
    return "/".join(part for part in parts if part)


def _opened(asked: str, run_name: str) -> Any:
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger

    kind, _, place = asked.partition(":")
    try:
        if kind == "tensorboard":
            name = _OTHER.sub("_", run_name).replace("/", "_").strip(". ")
            logger: Any = TensorBoardLogger(place, name=name, version=None)
        else:
            logger = MLFlowLogger(
                experiment_name="blemish", tracking_uri=place, run_name=run_name or None
            )
        _ = logger.experiment  # begins the run
    except Exception as error:  # each store of MLflow's raises its own
        raise ConfigError(f"Logging to {asked} is not possible: {first_line(error)}") from error
    return logger
