"""Training stage as Lightning runs it, with progress, checkpoints and a clean stop."""

from __future__ import annotations

import hashlib
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from blemish._progress import Progress, Task
from blemish.errors import ConfigError, TrainingInterruptedError
from blemish.methods.base import Batch, Method, Stage
from blemish.nn.precision import digits_of
from blemish.training.batches import StepBatches, TrainingBatches, moved
from blemish.training.distributed import Processes
from blemish.training.log import TrainingLog
from blemish.training.step import clip_gradients, optimiser_of

try:
    import lightning.pytorch as lightning
except RuntimeError as mismatch:  # it imports torchvision wherever that is installed
    raise ConfigError(
        f"Lightning cannot be imported: {mismatch}. A CUDA build of torchvision beside a CPU "
        "build of torch does this: install matching builds, or remove torchvision (and timm)."
    ) from mismatch


class _StopNowError(BaseException):
    """The second Ctrl-C. Lightning would end the process on a KeyboardInterrupt, with code 1."""


def run_stage(
    method: Method,
    stage: Stage,
    data: TrainingBatches,
    rows: Sequence[int],
    checkpoint: Path,
    *,
    seed: tuple[int, int],
    device: str,
    precision: str,
    checkpoint_seconds: float,
    progress: Progress,
    log: TrainingLog | None = None,
    callbacks: Sequence[Any] = (),
    processes: Processes | None = None,
) -> list[tuple[int, dict[str, float]]]:
    """Train one stage in place on ``rows`` of the data, from its checkpoint where there is one.

    ``seed`` is that of the training and the position of the stage; ``processes`` share its steps.
    Returns ``(step, {name: loss})`` at about a hundred steps.

    Raises:
        TrainingInterruptedError: After Ctrl-C, once the checkpoint is written.
        ConfigError: The loss is no longer finite, or the checkpoint cannot be read.
    """
    labelled = [row for row in rows if data.labels[row] == 1]
    # Labelled anomalies that come beside the good images do not lengthen a pass over these.
    stage = stage.settled(len(rows) - (len(labelled) if stage.anomaly_share > 0 else 0))
    first = int(_read_checkpoint(checkpoint)["global_step"]) if checkpoint.is_file() else 0
    processes = processes or Processes()
    processes.check_same("checkpoint", first)
    if first >= stage.total_steps:
        load_weights(method, checkpoint)
        return []
    if device != "mps":
        # Before Lightning has the gradients' places from it, by which processes add them up.
        method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = _StageModule(method, stage, seed)
    log = log or TrainingLog()
    log.begin(stage.name, first)
    share = (processes.rank, processes.count)
    plan = StepBatches(rows, stage, seed, first, anomalies=labelled, share=share)
    trained = {id(p) for group in stage.groups for p in group.parameters()}
    idle = any(p.requires_grad and id(p) not in trained for p in method.parameters())
    with progress.task(f"Training {stage.name}", stage.total_steps, done=first) as task:
        watcher = _Watcher(task, checkpoint, checkpoint_seconds, log, processes)
        with warnings.catch_warnings(), _quiet_lightning():
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(
                **processes.trainer(device, idle=idle),
                precision=precision,  # type: ignore[arg-type]
                max_epochs=1,
                max_steps=stage.total_steps,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[watcher, *callbacks],
            )
            resume = checkpoint if first else None
            try:
                digits = digits_of(precision, method)
                with _stop_on_interrupt(watcher), processes.steps(), digits:
                    trainer.fit(module, _Loader(data, plan), ckpt_path=resume, weights_only=True)
            except _StopNowError:
                raise KeyboardInterrupt from None
    method.to(data.device)  # Lightning leaves it on the CPU
    if watcher.stop:
        raise TrainingInterruptedError(
            f"Stopped at step {watcher.step} of {stage.total_steps} of stage {stage.name!r}. The "
            f"checkpoint {checkpoint} is complete. Give the same command with --resume to go on."
        )
    return watcher.losses


def load_weights(method: Method, checkpoint: Path) -> None:
    """Put the weights of a finished stage's checkpoint into ``method``."""
    saved = _read_checkpoint(checkpoint)["state_dict"]
    method.load_state_dict({key.removeprefix("method."): value for key, value in saved.items()})


def _read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    try:
        return torch.load(checkpoint, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged file can raise nearly anything
        raise ConfigError(
            f"The checkpoint {checkpoint} cannot be read; it is damaged or no checkpoint "
            f"({type(error).__name__}). Begin again with --restart."
        ) from error


class _Loader:
    """Batches of the planned rows, made ready ahead, as Lightning goes through them."""

    def __init__(self, data: TrainingBatches, plan: StepBatches) -> None:
        self.data, self.plan = data, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        return self.data.batches(self.plan)


class _StageModule(lightning.LightningModule):
    """One stage of any method, as Lightning sees it."""

    def __init__(self, method: Method, stage: Stage, seed: tuple[int, int]) -> None:
        super().__init__()
        self.method, self.stage, self.seed = method, stage, seed
        self.losses: dict[str, Tensor] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        torch.manual_seed(_mix(*self.seed, self.global_step))
        try:
            losses = self.method.loss(batch, self.stage)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"The input is too small to train on {self.stage.batch_size} image(s) per step: "
                "nothing is left to normalise over. Choose a larger size or batch_size."
            ) from error
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["total"]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        return moved(batch, device)

    def configure_optimizers(self) -> Any:
        optimiser = optimiser_of(self.stage)
        factor, steps = self.stage.schedule, self.stage.total_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step, steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        clip_gradients(self.stage)


class _Watcher(lightning.Callback):
    """Progress, checkpoints, and a clean stop between two steps."""

    def __init__(
        self,
        task: Task,
        checkpoint: Path,
        seconds: float,
        log: TrainingLog,
        processes: Processes,
    ) -> None:
        self.task, self.checkpoint, self.seconds = task, checkpoint, seconds
        self._log = log  # without the underscore it is Lightning's
        self.processes = processes
        self.losses: list[tuple[int, dict[str, float]]] = []
        self.stop = False
        self.step = 0
        self._saved_at = self._timed_at = time.monotonic()
        self._timed_step = -1

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.step = trainer.global_step
        total = pl_module.stage.total_steps
        pl_module.method.after_step(pl_module.stage, self.step - 1)
        note = ""
        finished = self.step >= total
        due = time.monotonic() - self._saved_at > self.seconds
        if finished or self.step % max(1, total // 100) == 0:
            values = self._values(pl_module)
            self._check_finite(pl_module, values["total"])
            self.losses.append((self.step, values))
            note = " ".join(f"{name} {value:.4f}" for name, value in values.items())
            note += self._logged(trainer, pl_module.stage, values)
        self.task.advance(note=note)
        # What one process is told, all do at the same step.
        stop, due = self.processes.any_of(self.stop, due)
        self.stop |= stop
        if finished or stop or due:
            # Never over a good checkpoint with weights from which nothing can go on.
            self._check_finite(pl_module, self._values(pl_module)["total"])
            temporary = self.checkpoint.with_suffix(".part")
            trainer.save_checkpoint(temporary)
            if self.processes.first:
                temporary.replace(self.checkpoint)
            self._saved_at = time.monotonic()
        if stop:
            trainer.should_stop = True
            trainer.fit_loop.epoch_loop.min_steps = None

    def _values(self, module: _StageModule) -> dict[str, float]:
        """The losses of the whole batch."""
        return self.processes.mean({name: float(value) for name, value in module.losses.items()})

    def _logged(self, trainer: lightning.Trainer, stage: Stage, values: dict[str, float]) -> str:
        """Log losses, rates and throughput since the last time; what of it is shown."""
        now, said = time.monotonic(), ""
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        found = {f"learning_rate_{n}": rate for n, rate in enumerate(rates)}
        if self._timed_step >= 0:  # the first steps prepare kernels
            done = (self.step - self._timed_step) * stage.batch_size
            found["pictures_per_second"] = done / max(now - self._timed_at, 1e-9)
            said = f" ({found['pictures_per_second']:.3g} pictures/s)"
        self._timed_at, self._timed_step = now, self.step
        self._log.write({f"{stage.name}/{k}": v for k, v in (values | found).items()}, self.step)
        return said

    def _check_finite(self, module: _StageModule, total: float) -> None:
        weights = [p for group in module.stage.groups for p in group.parameters()]
        if not math.isfinite(total) or not all(bool(w.isfinite().all()) for w in weights):
            raise ConfigError(
                f"The training broke down at step {self.step}: the loss is {total:g} and weights "
                "are no longer finite numbers. Lower the learning rate, or train in full precision."
            )


@contextmanager
def _stop_on_interrupt(watcher: _Watcher) -> Iterator[None]:
    """First Ctrl-C: finish the step and save. Second: stop at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if watcher.stop:
            raise _StopNowError
        watcher.stop = True

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning greets with several lines about devices; the progress here says what matters."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mix(*numbers: int) -> int:
    """One 63-bit seed from several numbers."""
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
