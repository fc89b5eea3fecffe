"""Two machines of one process each, by torchrun and by SLURM's variables: the model of one machine.

Both are this machine, and meet on its loopback.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.model_file.bundle import Bundle, read_bundle
from blemish.runtime.cores import usable_cores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores"),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes") / "parts"
    folder.mkdir()
    good = np.random.default_rng(0).integers(90, 110, (12, 64, 64, 3)).astype(np.uint8)
    for number, picture in enumerate(good):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def words(parts: Path, out: Path, *more: str) -> list[str]:
    fit = ["-m", "blemish", "fit", str(parts), "-o", str(out), "-m", "borad", "--size", "64"]
    fit += ["--teacher-weights", "random", "--device", "cpu", "--false-alarm-rate", "0.3"]
    return [*fit, "--set", "steps=6", "--set", "batch_size=4", "--workers", "0", "-q", *more]


def on_nodes(command: list[str], variables: list[dict[str, str]]) -> list[str]:
    """What each node's command says on its error output; all have to succeed."""
    nodes = [
        subprocess.Popen(
            [sys.executable, *command],
            env={k: v for k, v in os.environ.items() if k != "LOCAL_RANK"} | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own in variables
    ]
    ended = [node.communicate(timeout=180) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], ended
    return [said for _, said in ended]


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def one_machine(parts: Path) -> Bundle:
    out = parts.parent / "one.blemish"
    subprocess.run([sys.executable, *words(parts, out, "--devices", "2")], check=True, timeout=180)
    return read_bundle(out)


def test_torchrun_on_two_nodes_trains_the_model_of_one(parts: Path, one_machine: Bundle) -> None:
    out, port = parts.parent / "torchrun.blemish", free_port()
    launcher = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    launcher += ["--master-addr", "127.0.0.1", "--master-port", port]
    fit = words(parts, out, "--nodes", "2")
    nodes = [{"PET_NODE_RANK": str(rank)} for rank in range(2)]
    on_nodes([*launcher, *fit], nodes)
    assert read_bundle(out).files == one_machine.files
    assert read_bundle(out).manifest.calibration == one_machine.manifest.calibration


def test_slurms_two_nodes_train_the_model_of_one(parts: Path, one_machine: Bundle) -> None:
    out = parts.parent / "slurm.blemish"
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "fit",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_JOB_NODELIST": "127.0.0.1",
        "SLURM_LOCALID": "0",
        "MASTER_PORT": free_port(),
    }
    nodes = [job | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)} for rank in range(2)]
    on_nodes(words(parts, out, "--nodes", "2"), nodes)
    assert read_bundle(out).files == one_machine.files
    assert read_bundle(out).manifest.calibration == one_machine.manifest.calibration
