"""Training loop of any system: its stages through Lightning, from cached features or images.

Every step draws its random numbers from (seed, stage, step) and its images from (seed, stage), so
the same seed gives the same weights, and a resumed training those of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from blemish._files import atomic_write
from blemish._names import unknown_name_message
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError, ImageError
from blemish.methods.base import Method
from blemish.model_file.trained import DEVICES, resolve_device
from blemish.training.batches import CachedBatches, ImageBatches, TrainingBatches
from blemish.training.feature_cache import build_feature_cache, cache_bytes, sample_identity

_PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, apart from what the method's config says.

    Attributes:
        seed: Seeds weights, order of images and everything random in the losses. The same seed
            gives the same weights on the same machine's CPU.
        device: ``auto``, ``cpu`` or ``cuda``; ``auto`` takes the GPU where there is one.
        precision: Lightning's precision, ``32-true`` or ``bf16-mixed``.
        work_dir: Folder for checkpoints and caches of this training; ``None``: a temporary one,
            and no resuming.
        resume: Go on from the checkpoint in ``work_dir``.
        restart: Throw away the checkpoint in ``work_dir`` and begin again.
        cache_dir: Where feature caches are kept between trainings; ``None``: in ``work_dir``.
        cache_budget_gib: Largest feature cache, in GiB on disk; a larger one is not made, and the
            teacher runs in every step instead.
        checkpoint_seconds: Time between checkpoints.

    Raises:
        ConfigError: A seed, device, precision or budget that cannot be.

    Example:
        >>> from blemish import TrainingOptions
        >>> TrainingOptions(seed=3, work_dir="run").device
        'auto'
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "32-true"
    work_dir: str | Path | None = None
    resume: bool = False
    restart: bool = False
    cache_dir: str | Path | None = None
    cache_budget_gib: float = 8.0
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ConfigError(
                f"The seed is {self.seed}; expected a whole number from 0 to 2⁶³ − 1."
            )
        if self.device not in DEVICES:
            raise ConfigError(unknown_name_message("device", self.device, DEVICES))
        if self.precision not in _PRECISIONS:
            raise ConfigError(unknown_name_message("precision", self.precision, _PRECISIONS))
        if not self.cache_budget_gib >= 0:
            raise ConfigError(
                f"The cache budget is {self.cache_budget_gib} GiB; expected 0 (no cache) or more."
            )


@dataclass
class TrainingReport:
    """What happened in a training.

    Attributes:
        losses: Per stage, ``(step, {name: loss})`` at regular intervals.
    """

    losses: dict[str, list[tuple[int, dict[str, float]]]] = field(default_factory=dict)
    failures: list[tuple[Path, str]] = field(default_factory=list)  # images that cannot be read
    seconds: float = 0.0  # wall time, the feature cache included
    cached: bool = False  # whether it ran on cached features


def train(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    options: TrainingOptions,
    *,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train all stages of a freshly built method and fit its statistics, in place.

    ``label`` 1 marks the few labelled anomalies among the samples.

    Raises:
        TrainingInterruptedError: After Ctrl-C, once the checkpoint is safely written.
        ConfigError: ``work_dir`` holds a checkpoint of another training, or the device is not
            there.
        DataError: Fewer than two readable images.
    """
    if options.work_dir is None:
        with tempfile.TemporaryDirectory() as folder:
            options = replace(options, work_dir=folder)
            return train(method, samples, preprocessing, options, progress=progress)
    # Importing Lightning takes longer than judging an image does; only training waits for it.
    from blemish.training.stage import load_weights, run_stage

    started = time.monotonic()
    progress = progress or Progress()
    report = TrainingReport()
    device = resolve_device(options.device)
    work_dir = Path(options.work_dir)
    state = _training_state(method, samples, preprocessing, options, work_dir)
    cache_dir = Path(options.cache_dir or work_dir / "features")
    budget = options.cache_budget_gib * 2**30
    data = _training_data(method, samples, preprocessing, cache_dir, budget, progress, report)
    if len(data) < 2:
        raise DataError(
            f"{len(data)} readable training images were found, at least 2 are needed."
            + "".join(f"\n  {reason}" for _, reason in report.failures[:5])
        )
    rows, held = data.set_aside(method.held_out_share, options.seed)
    good = [row for row in rows if data.labels[row] == 0]
    with torch.inference_mode():
        method.prepare(data.in_order(good, 16))
    report.cached = isinstance(data, CachedBatches)
    for index, stage in enumerate(method.stages()):
        checkpoint = work_dir / f"stage{index}.ckpt"
        if state["stage"] > index:
            load_weights(method, checkpoint)
            continue
        report.losses[stage.name] = run_stage(
            method,
            stage,
            data,
            rows,
            checkpoint,
            seed=(options.seed, index),
            device=device,
            precision=options.precision,
            checkpoint_seconds=options.checkpoint_seconds,
            progress=progress,
        )
        state["stage"] = index + 1
        _write_state(work_dir, state)
    method.eval()
    with torch.inference_mode():
        method.fit_statistics(data.in_order(good, 16))
        # Where nothing could be set aside, what has trained must do.
        method.fit_held_out(data.in_order(held or good, 16))
    report.seconds = time.monotonic() - started
    return report


def _training_data(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    cache_dir: Path,
    budget: float,
    progress: Progress,
    report: TrainingReport,
) -> TrainingBatches:
    """The readable samples, as cached features where stages and ``budget`` (bytes) allow it."""
    wants_images = not method.uses_teacher or any(s.needs_images for s in method.stages())
    # Half: a disk that fills up under a memory-mapped file kills the process without a word.
    budget = min(budget, _free_bytes(cache_dir) / 2)
    if not wants_images and cache_bytes(method.teacher, preprocessing.size, len(samples)) <= budget:
        cache = build_feature_cache(
            method.teacher,
            samples,
            preprocessing,
            cache_dir,
            progress=progress,
            failures=report.failures,
        )
        return CachedBatches(cache, [samples[row] for row in cache.kept])
    kept: list[Sample] = []
    for sample in progress.track(samples, "Checking images", len(samples)):
        try:
            preprocessing.load(sample)
            kept.append(sample)
        except ImageError as error:
            report.failures.append((sample.path, str(error)))
    return ImageBatches(kept, preprocessing)


def _free_bytes(folder: Path) -> int:
    folder = folder.absolute()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.is_dir())).free


def _training_state(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    options: TrainingOptions,
    work_dir: Path,
) -> dict[str, Any]:
    """The state of this training: new, or the one to resume."""
    record = work_dir / "training.json"
    digest = hashlib.sha256("\n".join(map(sample_identity, samples)).encode()).hexdigest()
    identity = {
        "method": type(method).__name__,
        "config": method.config.to_json(),
        "teacher": method.teacher.digest,
        "preprocessing": preprocessing.to_json(),
        "seed": options.seed,
        "images": digest[:24],
    }
    identity = json.loads(json.dumps(identity))
    if options.restart and work_dir.exists():
        for path in (record, *work_dir.glob("stage*.ckpt")):
            path.unlink(missing_ok=True)
    if not record.is_file() or not any(work_dir.glob("stage*.ckpt")):
        work_dir.mkdir(parents=True, exist_ok=True)
        state = {"stage": 0, "identity": identity}
        _write_state(work_dir, state)
        return state
    if not options.resume:
        raise ConfigError(
            f"{work_dir} holds the checkpoint of an earlier training. Add --resume to go on from "
            "it or --restart to begin again."
        )
    try:
        state = json.loads(record.read_text())
        earlier = dict(state["identity"])
        state["stage"] = int(state["stage"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{record} is damaged, so that its training cannot go on. Begin again with --restart."
        ) from error
    changed = [name for name, value in identity.items() if earlier.get(name) != value]
    if changed:
        raise ConfigError(
            f"The checkpoint in {work_dir} belongs to another training: {', '.join(changed)} "
            "differ. Give the same command as before, or --restart to begin again."
        )
    return state


def _write_state(work_dir: Path, state: dict[str, Any]) -> None:
    with atomic_write(work_dir / "training.json") as file:
        file.write(json.dumps(state, indent=1).encode())
