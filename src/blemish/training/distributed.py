"""Data-parallel training: the processes that share a training, by Lightning's DDP.

Every process reads the same data and has a share of each batch; weights, batch statistics and
random numbers are those of one process. After the last step each has the same method, and what is
fitted in closed form is fitted on all pictures. What is written, is written by the first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from blemish._progress import Progress
from blemish.errors import ConfigError, TrainingInterruptedError, first_line
from blemish.methods.base import Method
from blemish.nn.batch_share import sharing
from blemish.runtime.cores import usable_cores
from blemish.training.agreement import Agreement
from blemish.training.devices import lightning_device, resolve_device
from blemish.training.log import TrainingLog
from blemish.training.other_processes import (
    check_can_be_started_again,
    end_with_the_first,
    end_with_the_others,
    keep_quiet,
    others_know_by_whom,
    waiting_for_each_other,
)

if TYPE_CHECKING:
    from blemish.training.options import TrainingOptions

#: The first looks at pictures for as long as that while the others wait. One that dies is noticed
#: by its connection at once.
_PATIENCE = timedelta(days=1)
_LOST = ("connection closed", "connection reset", "broken pipe", "gloo", "nccl", "socket")


class ShareDone(BaseException):
    """Ends a training in a process that is there for its share of the steps alone."""


class Processes(Agreement):
    """The processes of one training, as one of them sees them; one alone by default.

    Args:
        kind: ``cpu`` or ``cuda``.
        devices: Processes of a machine.
        nodes: Machines.
    """

    def __init__(self, kind: str = "cpu", devices: int = 1, nodes: int = 1) -> None:
        super().__init__()
        self.kind, self.devices, self.nodes = kind, devices, nodes
        #: Whether the others end with the last step, so that the first has the machine for itself.
        self.steps_only = False
        self._fabric: Any = None
        self._outside = False
        if devices * nodes > 1:
            self._find_place()

    @classmethod
    def of(cls, options: TrainingOptions) -> Processes:
        """Those asked for.

        Raises:
            ConfigError: So many devices are not there, or torchrun has started another number.
        """
        _check(options)
        key = (options.device, options.devices, options.nodes)
        if key not in _KNOWN:
            kind = resolve_device(options.device).partition(":")[0]
            alone = options.devices * options.nodes == 1
            _KNOWN[key] = _ALONE if alone else cls(kind, options.devices, options.nodes)
        return _KNOWN[key]

    def share_steps_alone(self) -> None:
        """Beside the first process: be silent, and end a training with its last step."""
        self.steps_only = self.count > 1
        if not self.first:
            keep_quiet(self.rank)

    @property
    def wait_for_the_first(self) -> bool:
        """Whether the others are there, started by torchrun or SLURM, and have nothing to do."""
        return self.count > 1 and self._outside and not self.steps_only

    def device(self, asked: str) -> str:
        """The device of this process."""
        if self.count == 1 or self.kind == "cpu":
            return resolve_device(asked)
        return f"{self.kind}:{self.local_rank}"

    def progress(self, progress: Progress | None) -> Progress:
        """Where this process shows what it does: the first one alone does."""
        return (progress or Progress()) if self.first else Progress(quiet=True)

    def log(self, options: TrainingOptions) -> TrainingLog:
        """Where the numbers of the training go: the first one writes them."""
        if not self.first:
            return TrainingLog()
        return TrainingLog(options.work_dir, options.loggers, run_name=options.run_name)

    def check_shares(self, name: str, method: Method) -> None:
        """Refuse a method that cannot be trained by several processes.

        Raises:
            ConfigError: Its loss compares pictures of a batch, or they cannot have equal shares.
        """
        stages = method.stages()
        if self.count == 1 or not stages:
            return
        if not method.shares_batches:
            raise ConfigError(
                f"{name} compares the pictures of a batch with each other, so that {self.count} "
                "processes cannot share it. Train it with --devices 1 --nodes 1."
            )
        for stage in stages:
            if stage.batch_size % self.count:
                more = -(-stage.batch_size // self.count) * self.count
                raise ConfigError(
                    f"{stage.batch_size} pictures a step cannot be shared equally by {self.count} "
                    f"processes. Choose a number of devices that divides it, or another batch: "
                    f"--set batch_size={more}."
                )

    def notes(self, method: Method) -> list[str]:
        """What the user should know, one sentence each."""
        if self.count == 1 or method.stages():
            return []
        return [
            "There were no training steps to share: one process did all of it, and more devices "
            "make this method no faster."
        ]

    # ── meeting ─────────────────────────────────────────────────────────────────────────────

    def _find_place(self) -> None:
        from lightning.fabric import Fabric
        from lightning.fabric.strategies.ddp import DDPStrategy

        try:
            self._fabric = Fabric(
                accelerator=self.kind,
                devices=self.devices,
                num_nodes=self.nodes,
                strategy=DDPStrategy(timeout=_PATIENCE),
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(_not_started(self, error)) from error
        place = self._fabric.strategy.cluster_environment
        self._outside = place.creates_processes_externally
        self.local_rank = place.local_rank()
        self.rank = place.node_rank() * self.devices + self.local_rank
        self.count = self.devices * self.nodes
        end_with_the_first()

    def meet(self) -> None:
        """Start the other processes, where nobody else has, and wait until all are there.

        Raises:
            ConfigError: They cannot be started or found.
        """
        if self.count == 1 or self._met:
            return
        if not self._outside:
            check_can_be_started_again()
        try:
            with _threads_kept(), _without_greeting(), others_know_by_whom():
                self._fabric.launch()
        except (RuntimeError, ValueError) as error:
            raise ConfigError(_not_started(self, error)) from error
        end_with_the_others(self._fabric.strategy.launcher.procs)
        if dist.get_backend() != "gloo":  # what is agreed upon waits for no GPU
            self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)
        self._met = True

    def trainer(self, device: str, *, idle: bool) -> dict[str, Any]:
        """What Lightning's Trainer is told of devices.

        ``idle``: the method has parameters that the stage does not train.
        """
        accelerator, devices = lightning_device(device)
        if self.count == 1:
            return {"accelerator": accelerator, "devices": devices}
        from lightning.pytorch.strategies.ddp import DDPStrategy

        # Batch statistics are those of all; no buffer needs to be sent.
        strategy = DDPStrategy(
            find_unused_parameters=idle, broadcast_buffers=False, timeout=_PATIENCE
        )
        return {
            "accelerator": accelerator,
            "devices": self.devices,
            "num_nodes": self.nodes,
            "strategy": strategy,
            "use_distributed_sampler": False,
        }

    @contextmanager
    def own_cores(self) -> Iterator[None]:
        """What is computed inside has this process's share of the cores."""
        with _threads_kept() if self.count > 1 else nullcontext():
            if self.count > 1 and "OMP_NUM_THREADS" not in os.environ:
                torch.set_num_threads(max(1, usable_cores() // self.devices))
            yield

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Steps inside are this process's share of them, with its share of the cores."""
        with self.own_cores(), sharing(self.rank, self.count):
            yield

    @contextmanager
    def together(self, work_dir: Path) -> Iterator[None]:
        """Says in a sentence that another process is gone.

        Raises:
            TrainingInterruptedError: It is.
        """
        try:
            with waiting_for_each_other():
                yield
        except RuntimeError as error:
            said = str(error).lower()
            if self.count == 1 or not any(word in said for word in _LOST):
                raise
            saved = max(work_dir.glob("stage*.ckpt"), key=str, default=None)
            gone = TrainingInterruptedError(
                "Another process of the training has ended, and without it this one cannot go on. "
                + (
                    "No checkpoint had been written yet. Give the same command again."
                    if saved is None
                    else f"The checkpoint {saved} is complete. Give the same command with --resume "
                    "to go on from it."
                )
            )
            gone.exit_code = 2  # nobody has interrupted it
            raise gone from error


_ALONE = Processes()
_KNOWN: dict[tuple[str, int, int], Processes] = {}


def is_beside_another() -> bool:
    """Whether this process shares trainings with one that speaks and writes for all."""
    return any(not processes.first for processes in _KNOWN.values())


def _check(options: TrainingOptions) -> None:
    device, devices, nodes = options.device, options.devices, options.nodes
    started = int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 0
    if started and started != devices * nodes:
        raise ConfigError(
            f"torchrun has started {started} processes, and the training was told of {devices} "
            f"device(s) on {nodes} machine(s). Give --devices as torchrun's --nproc-per-node and "
            "--nodes as its --nnodes."
        )
    if devices * nodes == 1:
        return
    kind, _, number = resolve_device(device).partition(":")
    if number:
        raise ConfigError(
            f"The device {device} is one GPU, and {devices} on {nodes} machine(s) were asked for. "
            "Give --device cuda."
        )
    if kind == "mps":
        raise ConfigError("Apple's GPU is one, and works alone. Give --devices 1 --nodes 1.")
    there = torch.cuda.device_count() if kind == "cuda" else usable_cores()
    if devices > there:
        what = "GPU(s)" if kind == "cuda" else "processor core(s), one for each process at least"
        found = "" if kind == "cuda" or device == "cpu" else " No GPU was found."
        raise ConfigError(
            f"{devices} devices were asked for, and there are {there} {what}.{found} Give "
            f"--devices {there} or fewer."
        )


def _not_started(processes: Processes, error: Exception) -> str:
    return (
        f"The {processes.count} processes of the training could not be brought together: "
        f"{first_line(error)}"
    )


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Lightning says in seven lines that processes have met."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("fabric", "pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Lightning divides threads where processes share a machine; afterwards they are as before."""
    said, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    try:
        yield
    finally:
        if said is None:
            os.environ.pop("OMP_NUM_THREADS", None)
            torch.set_num_threads(threads)
