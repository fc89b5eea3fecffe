"""Training state: what stands beside the checkpoints, so that only the same training goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish._files import atomic_write
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.errors import ConfigError
from blemish.methods.base import Method
from blemish.training.feature_cache import sample_identity

if TYPE_CHECKING:
    from blemish.training.options import TrainingOptions


def training_state(
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
        write_state(work_dir, state)
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


def write_state(work_dir: Path, state: dict[str, Any]) -> None:
    """Put down how far a training is, whole or not at all."""
    with atomic_write(work_dir / "training.json") as file:
        file.write(json.dumps(state, indent=1).encode())
