"""``blemish fit`` that is stopped: by Ctrl-C, once and again, and by a full disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fit_options import BRIEF, TRAINED, listing

from blemish.model_file.bundle import read_bundle

# Sends a real Ctrl-C (or several) from inside the given training step.
CTRL_C = """
import os, signal
from blemish.methods.borad.model import BoRAD
after = BoRAD.after_step
def after_step(self, stage, step):
    after(self, stage, step)
    if step == {step}:
        for _ in range({times}):
            os.kill(os.getpid(), signal.SIGINT)
BoRAD.after_step = after_step
"""


def test_ctrl_c_keeps_a_checkpoint_and_resume_gives_the_same_model(
    blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    whole = blemish("fit", part, *TRAINED, "-o", "whole.blemish")
    assert whole.returncode == 0, whole.stderr
    fit = ("fit", part, *TRAINED, "-o", "m.blemish")
    stopped = blemish(*fit, before=CTRL_C.format(step=1, times=1))
    assert stopped.returncode == 130
    assert "Stopped at step 2 of 4" in stopped.stderr
    assert "--resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (tmp_path / "m.blemish").exists()
    assert "--resume" in refused(blemish(*fit))
    resumed = blemish(*fit, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    models = ["m.blemish", "m.training.csv", "whole.blemish", "whole.training.csv"]
    assert listing(tmp_path) == models
    one, other = (read_bundle(tmp_path / f"{name}.blemish") for name in ("m", "whole"))
    assert one.files == other.files
    assert one.manifest.calibration == other.manifest.calibration


@pytest.mark.parametrize("times", [2, 3])
def test_a_second_ctrl_c_ends_at_once(times: int, blemish: Any, part: Path, tmp_path: Path) -> None:
    result = blemish("fit", part, *TRAINED, "-o", "m", before=CTRL_C.format(step=1, times=times))
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    assert listing(tmp_path) == []


def test_ctrl_c_while_nothing_is_trained_leaves_nothing(
    blemish: Any, part: Path, tmp_path: Path
) -> None:
    stop = """
import os, signal
from blemish.methods.trio.model import Trio
Trio.fit_statistics = lambda self, batches: os.kill(os.getpid(), signal.SIGINT)
"""
    result = blemish("fit", part, *BRIEF, "-o", "m", before=stop)
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    assert listing(tmp_path) == []


def test_a_full_disk_leaves_no_half_model(blemish: Any, part: Path, tmp_path: Path) -> None:
    (tmp_path / "m.blemish").write_text("the old model")
    full = """
import blemish.detector
def write(path, manifest, files):
    from blemish._files import atomic_write
    with atomic_write(path) as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")
blemish.detector.write_bundle = write
"""
    result = blemish("fit", part, *TRAINED, "-o", "m.blemish", before=full)
    assert result.returncode == 2
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "m.blemish").read_text() == "the old model"
    # The training itself is not lost.
    assert blemish("fit", part, *TRAINED, "-o", "m.blemish", "--resume").returncode == 0
    assert listing(tmp_path) == ["m.blemish"]
