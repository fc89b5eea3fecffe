"""Models of a project: the files in its folder, what each says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blemish.calibration import Calibration
from blemish.errors import BlemishError
from blemish.model_file.bundle import model_manifest
from blemish.serving.http.answers import limits_json


class ProjectModels:
    """The model files in ``models/``; each is read once and again where it has changed."""

    def __init__(self, project: Path) -> None:
        self.folder = project / "models"
        self._known: dict[Path, tuple[int, dict[str, Any]]] = {}

    def all(self) -> list[dict[str, Any]]:
        """What is known of each, the newest first."""
        found = []
        for path in self.folder.glob("*.blemish"):
            if path.is_file() and not path.name.startswith("."):
                changed = path.stat().st_mtime_ns
                if self._known.get(path, (0, {}))[0] != changed:
                    self._known[path] = changed, _facts(path)
                found.append(self._known[path])
        # Two that were made within a second are told apart by their files.
        newest = sorted(found, key=lambda m: (str(m[1]["created"]), m[0]), reverse=True)
        return [facts for _, facts in newest]


def _facts(path: Path) -> dict[str, Any]:
    base = {"name": path.stem, "file": f"models/{path.name}", "bytes": path.stat().st_size}
    try:
        manifest = model_manifest(path)
        calibration = None
        if manifest.calibration is not None:
            calibration = Calibration.from_json(manifest.calibration)
    except BlemishError as error:
        return {**base, "created": "", "error": str(error)}
    training = manifest.training
    return {
        **base,
        "created": manifest.created,
        "method": manifest.method,
        "teacher": manifest.teacher.name,
        "products": list(manifest.products),
        "training_images": training.get("training_images"),
        "taught": [{k: e[k] for k in ("product", "images")} for e in training.get("learned", [])],
        "seconds": training.get("seconds"),
        "false_alarm_rate": None if calibration is None else calibration.false_alarm_rate,
        "n": 0 if calibration is None else calibration.n,
        "limits": [] if calibration is None else limits_json(calibration),
        "error": "",
    }
