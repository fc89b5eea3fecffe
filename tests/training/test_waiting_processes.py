"""Processes that torchrun started, and no step to share: one fits, the others have its model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish import Detector
from blemish.runtime.cores import usable_cores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores"),
]

SCRIPT = """
import json, os, sys
from pathlib import Path
from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.errors import BlemishError
from blemish.methods.registry import method_class
method, data, out = sys.argv[1:]
rank, fitted = os.environ["RANK"], []
build = method_class(method)
fit_statistics = build.fit_statistics
def counted(self, batches):
    fitted.append(rank)
    fit_statistics(self, batches)
build.fit_statistics = counted
detector = Detector(method, teacher_weights="random", image_size=64, settings={"rows": 50})
options = TrainingOptions(device="cpu", devices=2)
found = {"fitted": fitted}
try:
    detector.fit(data, false_alarm_rate=0.3, training=options, progress=Progress(quiet=True))
except BlemishError as error:
    found["error"] = str(error)
else:
    detector.save(out)
    found["limit"] = detector.calibration.limits("").defect
    found["scores"] = [p.score for p in detector.predict(sorted(Path(data).glob("*.png"))[:2])]
    found["notes"] = list(map(str, detector.fit_report.notes))
Path(f"{out}.{rank}.json").write_text(json.dumps(found))
"""


def by_torchrun(method: str, data: Path, folder: Path) -> list[dict[str, Any]]:
    (folder / "fit.py").write_text(SCRIPT)
    words = [folder / "fit.py", method, data, folder / "m.blemish"]
    ended = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads((folder / f"m.blemish.{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "good").mkdir()
    for number in range(12):
        picture = rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)
        picture[20:30, 20:40] = 200
        Image.fromarray(picture).save(tmp_path / "good" / f"{number}.png")
    return tmp_path / "good"


@pytest.mark.parametrize("method", ["trio", "patchcore"])
def test_the_first_fits_and_the_others_have_its_model(
    method: str, data: Path, tmp_path: Path
) -> None:
    first, second = by_torchrun(method, data, tmp_path)
    assert (set(first.pop("fitted")), second.pop("fitted")) == ({"0"}, [])
    assert first == second  # limits, scores and notes, to the last bit
    written = Detector.load(tmp_path / "m.blemish")
    pictures = sorted(data.glob("*.png"))[:2]
    assert [p.score for p in written.predict(pictures)] == first["scores"]


def test_what_the_first_cannot_fit_is_said_in_all(data: Path, tmp_path: Path) -> None:
    for picture in sorted(data.iterdir())[1:]:
        picture.write_bytes(b"no image")
    found = by_torchrun("trio", data, tmp_path)
    assert not (tmp_path / "m.blemish").exists()
    assert found[0]["error"] == found[1]["error"]
    assert "at least 2 are needed" in str(found[0]["error"])
