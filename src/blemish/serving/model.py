"""Served model: what it computes with, and what the page tells of it."""

from __future__ import annotations

import errno
import hashlib
import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blemish._progress import as_typed, print_notes
from blemish.calibration import Calibration
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import BlemishError
from blemish.inspection.learned_images import LEARNED_IMAGES
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.inspection.network import Network
from blemish.model_file.bundle import Manifest, read_model
from blemish.model_file.new_limits import write_limits
from blemish.serving.limits import RefusalError


@dataclass(frozen=True)
class ServedModel:
    """A model, ready to judge pixels."""

    name: str  # of its file, without the folder
    identity: str  # SHA-256 over what decides its scores; recalibrating does not change it
    network: Network  # judges preprocessed pixels
    preprocessing: Preprocessing
    products: tuple[str, ...]  # those it was trained on
    calibration: Calibration | None  # the limits in its file
    facts: dict[str, Any] = field(default_factory=dict)  # what else the file says, for people
    pictures: LearnedPictures | None = field(default=None, repr=False)  # what it has learned
    learned_images: str = field(default="", repr=False)  # as of inspection/learned_images.py
    file: Path | None = None

    def notes(self, calibration: Calibration) -> list[str]:
        """What is to be known of limits of this model, its name in commands."""
        notes = calibration.notes(learned=bool(self.facts.get("cross_fitted")))
        return [as_typed(note, {"MODEL": shlex.quote(self.name)}) for note in notes]

    def write_limits(self, calibration: Calibration | None) -> None:
        """Write limits into the model's file, whole or not at all; refused (409, 507) otherwise."""
        if self.file is None:
            raise RefusalError(409, "no_file", f"{self.name} is in no file.")
        try:
            write_limits(self.file, read_model(self.file), calibration)
        except BlemishError as error:
            raise RefusalError(409, "cannot_write", str(error)) from error
        except OSError as error:
            raise RefusalError(
                507,
                "disk_full" if error.errno == errno.ENOSPC else "cannot_write",
                f"The limits could not be written into {self.name}, which is as it was: "
                f"{error.strerror or error}. Make room on that disk and try again.",
            ) from error


def open_served(path: str | Path, *, device: str = "cpu", provider: str = "auto") -> ServedModel:
    """Open a model file for serving; an exported one needs no torch."""
    from blemish.inspector import open_model

    path = Path(path)
    inspector = open_model(path, device=device, provider=provider)
    print_notes(inspector.said)
    manifest = inspector.manifest
    assert manifest is not None  # it was read from a file
    network, preprocessing = inspector.ready()
    return ServedModel(
        name=path.name,
        identity=identity(manifest),
        network=network,
        preprocessing=preprocessing,
        products=tuple(inspector.products),
        calibration=inspector.calibration,
        facts={
            "kind": manifest.kind,
            "method": manifest.method,
            "teacher": manifest.teacher.name,
            "input_size": list(preprocessing.size),
            "tiled": preprocessing.tiling is not None,
            "bit_depth": preprocessing.bit_depth,
            "created": manifest.created,
            "training_images": manifest.training.get("training_images"),
            "seed": manifest.training.get("seed"),
            "cross_fitted": bool(manifest.training.get("cross_fitted")),
        },
        pictures=LearnedPictures.from_json(manifest.training.get("pictures")),
        learned_images=manifest.training.get(LEARNED_IMAGES, ""),
        file=path,
    )


def identity(manifest: Manifest) -> str:
    """SHA-256 over what decides a model's scores: method, settings, teacher and training.

    New limits do not change it, nor does the export of the same training: those scores agree.
    """
    precision = "float32" if manifest.export is None else manifest.export.precision
    content = {
        "method": manifest.method,
        "config": manifest.config,
        "teacher": manifest.teacher.sha256,
        "preprocessing": manifest.preprocessing,
        "training": manifest.training,
        "precision": precision,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
