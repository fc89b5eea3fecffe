"""Two processes train on this machine: the model of one, and whoever dies, a training to resume."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load

from blemish.calibration import Calibration
from blemish.model_file.bundle import Bundle, read_bundle
from blemish.runtime.cores import usable_cores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores"),
]

#: Run again by Lightning as the second process; ``deed`` at a step of one of them.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.methods.borad.model import BoRAD
data, out, devices, deed, rank, resume = sys.argv[1:]
own = os.environ.get("LOCAL_RANK", "0")
Path(f"{out}.{own}.pid").write_text(str(os.getpid()))
after = BoRAD.after_step
def after_step(self, stage, step):
    after(self, stage, step)
    if deed and step == 3 and own == rank:
        os.kill(os.getpid(), getattr(signal, deed))
BoRAD.after_step = after_step
detector = Detector(
    "borad", teacher_weights="random", image_size=64, settings={"steps": 6, "batch_size": 4}
)
options = TrainingOptions(
    device="cpu", devices=int(devices), work_dir=f"{out}.training", resume=bool(resume),
    checkpoint_seconds=0,
)
detector.fit(data, false_alarm_rate=0.3, training=options, progress=Progress(quiet=True))
detector.save(out)
print(detector.calibration.limits("").defect)
"""


class Run:
    """Runs the script in a folder."""

    def __init__(self, folder: Path, good: NDArray[np.uint8]) -> None:
        self.folder, self.data = folder, folder / "good"
        self.data.mkdir()
        for number, picture in enumerate(good[:12]):
            Image.fromarray(picture).save(self.data / f"{number}.png")
        (folder / "fit.py").write_text(SCRIPT)

    def __call__(
        self,
        out: str,
        devices: int = 2,
        *,
        deed: str = "",
        rank: int = 1,
        resume: bool = False,
        launcher: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        words = [self.data, self.folder / out, devices, deed, rank, "yes" if resume else ""]
        return subprocess.run(
            [sys.executable, *launcher, str(self.folder / "fit.py"), *map(str, words)],
            capture_output=True,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "LOCAL_RANK"},
            timeout=120,
        )

    def model(self, out: str) -> Bundle:
        return read_bundle(self.folder / out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rng = np.random.default_rng(0)
    good = rng.integers(90, 110, (12, 64, 64, 3)).astype(np.uint8)
    good[:, 20:30, 20:40] = 200
    return Run(tmp_path_factory.mktemp("two"), good)


@pytest.fixture(scope="module")
def two(run: Run) -> Bundle:
    ended = run("two.blemish")
    assert ended.returncode == 0, ended.stderr
    limits = ended.stdout.split()
    assert len(limits) == 2  # each process has calibrated, on all that calibrate
    assert limits[0] == limits[1]
    return run.model("two.blemish")


def weights(model: Bundle) -> dict[str, torch.Tensor]:
    (content,) = model.files.values()
    return load(content)


def is_gone(run: Run, out: str, rank: int) -> bool:
    pid = int((run.folder / f"{out}.{rank}.pid").read_text())
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")  # ended, and nobody asks for it
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def fitted(
    run: Run, out: Path, devices: int, *more: str, data: Path | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    words: list[Any] = ["fit", data or run.data, "-m", "rd", *more, "-o", out, "--size", 64]
    words += ["--devices", devices]
    words += ["--teacher-weights", "random", "--false-alarm-rate", 0.3, "--set", "batch_size=4"]
    words += ["--device", "cpu", *(() if "steps" in str(more) else ("--set", "steps=4"))]
    ended = subprocess.run(
        [sys.executable, "-m", "blemish", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == code, ended.stderr
    return ended


def test_the_losses_are_those_of_one_process_and_the_command_line_speaks_once(
    run: Run, tmp_path: Path
) -> None:
    ended = fitted(run, tmp_path / "two.blemish", 2)
    assert ended.stdout.count("Wrote") == 1
    assert ended.stderr.count("Training distill: 4/4") == 1
    assert re.search("Features: 9/9|Features: 10/10", ended.stderr)  # it has built the cache
    assert "Process 1" not in ended.stderr
    assert "distributed" not in ended.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["two.blemish", "two.training.csv"]
    fitted(run, tmp_path / "one.blemish", 1)
    both, alone = (
        [
            float(row["value"])
            for row in csv.DictReader((tmp_path / f"{name}.training.csv").open())
            if row["name"] == "distill/total"
        ]
        for name in ("two", "one")
    )
    assert len(alone) >= 4
    # The order of sums alone makes a thousandth by the fourth step.
    assert both == pytest.approx(alone, rel=1e-2)
    assert both[0] == pytest.approx(alone[0], rel=1e-5)


@pytest.mark.parametrize("method", ["borad", "logicrd"])
def test_without_rounding_two_train_the_model_of_one(method: str, run: Run, tmp_path: Path) -> None:
    """Through the whole loop: order, averages, optimiser, statistics, held out, limits."""
    for name, devices in (("one", 1), ("two", 2)):
        more = ("-m", method, "--precision", "64-true", "--set", "steps=8")
        fitted(run, tmp_path / f"{name}.blemish", devices, *more)
    one, two = (read_bundle(tmp_path / f"{name}.blemish") for name in ("one", "two"))
    ours, theirs = weights(one), weights(two)
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-5, atol=1e-6, msg=key)
    limits = []
    for bundle in (one, two):
        assert bundle.manifest.calibration is not None
        limits.append(Calibration.from_json(bundle.manifest.calibration).limits(""))
    assert limits[1].defect == pytest.approx(limits[0].defect, rel=1e-5)
    assert limits[1].unsure == pytest.approx(limits[0].unsure, rel=1e-5)


def test_a_product_without_a_model_is_said_once(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.data, tmp_path / "line" / "nut" / "good")
    (tmp_path / "line" / "bolt" / "good").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "line" / "bolt" / "good" / f"{number}.png").write_text("no image")
    ended = fitted(run, tmp_path / "models", 2, "--per-product", data=tmp_path / "line", code=2)
    assert ended.stderr.count("Error: bolt") == 1
    assert "Process 1" not in ended.stderr
    assert (tmp_path / "models" / "nut.blemish").is_file()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_other_and_resuming_changes_nothing(
    rank: int, run: Run, two: Bundle
) -> None:
    out = f"killed{rank}.blemish"
    ended = run(out, deed="SIGKILL", rank=rank)
    assert ended.returncode == (-signal.SIGKILL if rank == 0 else 1)
    if rank == 1:
        assert "Another process of the training has ended" in ended.stderr
        assert "stage0.ckpt is complete" in ended.stderr
    until = time.monotonic() + 10
    while not all(is_gone(run, out, each) for each in (0, 1)) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(is_gone(run, out, each) for each in (0, 1))
    saved = torch.load(run.folder / f"{out}.training" / "stage0.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert run(out, resume=True).returncode == 0
    assert run.model(out).files == two.files
    assert run.model(out).manifest.calibration == two.manifest.calibration


@pytest.mark.parametrize("rank", [0, 1])
def test_ctrl_c_of_either_stops_both_at_one_step(rank: int, run: Run, two: Bundle) -> None:
    out = f"stopped{rank}.blemish"
    ended = run(out, deed="SIGINT", rank=rank)
    assert ended.returncode == 1  # of a script; of the command line 130
    assert "Stopped at step 4 of 6" in ended.stderr
    assert run(out, resume=True).returncode == 0
    assert run.model(out).files == two.files


def test_torchruns_processes_train_the_same_model(run: Run, two: Bundle) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    ended = run("torchrun.blemish", launcher=launcher)
    assert ended.returncode == 0, ended.stderr
    assert run.model("torchrun.blemish").files == two.files


def test_a_stopped_training_of_two_goes_on_in_one(run: Run, two: Bundle) -> None:
    assert run("less.blemish", deed="SIGINT").returncode == 1
    assert run("less.blemish", 1, resume=True).returncode == 0
    one, both = weights(run.model("less.blemish")), weights(two)
    assert one.keys() == both.keys()
    for name, value in one.items():  # but for the order of sums
        torch.testing.assert_close(value, both[name], rtol=1e-2, atol=1e-4)
