"""Training options: device, threads, precision, checkpoints and cache of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.nn.precision import AUTO, DOUBLE
from blemish.training.devices import check_device
from blemish.training.log import check_logger

_PRECISIONS = ("32-true", "bf16-mixed", DOUBLE, AUTO)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, apart from what the method's config says.

    Attributes:
        seed: Seeds weights, order of images and everything random in the losses. The same seed
            gives the same weights on the same machine's CPU.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``, for the teacher's features, the
            steps, statistics, calibration and what the detector judges then; ``auto`` takes the
            first GPU where there is one.
        devices: Processes that share each step on a machine, each with a GPU of its own where the
            device is ``cuda``; the batch stays the method's, and so does the learning rate.
        nodes: Machines of so many processes each.
        precision: Lightning's precision of the steps, ``32-true``, ``bf16-mixed`` or ``64-true``;
            ``auto``: mixed where the processor has AMX, or the GPU bfloat16, else ``32-true``.
        workers: Threads that decode pictures ahead; ``None``: half of the cores, 8 at most.
        work_dir: Folder for checkpoints and caches of this training; ``None``: a temporary one,
            and no resuming.
        resume: Go on from the checkpoint in ``work_dir``.
        restart: Throw away the checkpoint in ``work_dir`` and begin again.
        cache_dir: Where feature caches are kept between trainings; ``None``: in ``work_dir``.
        cache_budget_gib: Largest feature cache, in GiB on disk; a larger one is not made, and the
            teacher runs in every step instead.
        checkpoint_seconds: Time between checkpoints.
        check_labels: Whether pictures among the good ones that are perhaps none are named, before a
            training; a method that measures each by the others names them anyway.
        loggers: ``tensorboard:DIR`` and ``mlflow:URI``, beside ``training.csv`` in ``work_dir``.
        run_name: What the training is called in them; empty: as they call it.
        callbacks: Lightning's callbacks, called in every stage.

    Raises:
        ConfigError: A seed, device, precision, number or budget that cannot be.

    Example:
        >>> from blemish import TrainingOptions
        >>> TrainingOptions(seed=3, work_dir="run").device
        'auto'
    """

    seed: int = 0
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"
    workers: int | None = None
    work_dir: str | Path | None = None
    resume: bool = False
    restart: bool = False
    cache_dir: str | Path | None = None
    cache_budget_gib: float = 8.0
    checkpoint_seconds: float = 60.0
    check_labels: bool = True
    loggers: tuple[str, ...] = ()
    run_name: str = ""
    callbacks: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ConfigError(
                f"The seed is {self.seed}; expected a whole number from 0 to 2⁶³ − 1."
            )
        check_device(self.device)
        for name, number in (("devices", self.devices), ("nodes", self.nodes)):
            if number < 1:
                raise ConfigError(f"{name} is {number}; expected a whole number from 1 on.")
        if self.precision not in _PRECISIONS:
            raise ConfigError(unknown_name_message("precision", self.precision, _PRECISIONS))
        if self.device == "mps" and self.precision == DOUBLE:
            raise ConfigError(
                f"Apple's GPU has no float64. Train with --device cpu --precision {DOUBLE}, or in "
                "32-true."
            )
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"{self.workers} workers; expected 0 (none beside) or more threads.")
        for logger in self.loggers:
            check_logger(logger)
        if not self.cache_budget_gib >= 0:
            raise ConfigError(
                f"The cache budget is {self.cache_budget_gib} GiB; expected 0 (no cache) or more."
            )

    @classmethod
    def of(
        cls, training: TrainingOptions | None, seed: int | None, callbacks: Sequence[Any] = ()
    ) -> TrainingOptions:
        """Those given, or the default ones, with another seed and more callbacks where given."""
        options = cls() if training is None else training
        if not isinstance(options, cls):
            raise ConfigError(
                f"training is of type {type(options).__name__}; expected "
                "blemish.TrainingOptions(seed=…, device=…, …)."
            )
        options = replace(options, callbacks=(*options.callbacks, *callbacks))
        return options if seed is None else replace(options, seed=seed)
