"""Cores of this process: affinity mask and control groups, in every part that makes threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blemish.inspection.pipeline import decoder_threads
from blemish.runtime import cores
from blemish.runtime.cores import group_quota, usable_cores
from blemish.runtime.networks import checked_threads


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/not/in/here\n", {"cpu.max": "300000 100000\n"}, 3.0),
        (
            "4:memory:/x\n1:cpu:/x\n0::/\n",
            {"cpu/x/cpu.cfs_quota_us": "250000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        (
            "3:cpu,cpuacct:/x\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "50000\n",
            },
            2.0,
        ),
        (
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("0::/\n", {"cpu.max": "some other writing of it\n"}, None),
        ("0::/\n", {}, None),
        ("nonsense\n\n", {"cpu.max": "100000 100000\n"}, 1.0),
    ],
)
def test_the_tightest_group_counts(
    tmp_path: Path, own: str, files: dict[str, str], quota: float | None
) -> None:
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert group_quota(tmp_path / "groups", tmp_path / "own") == quota
    assert group_quota(tmp_path / "groups", tmp_path / "none") is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (1.2, 2), (0.1, 1), (3.0, 3), (64, 8)])
def test_mask_and_quota_both_count(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    monkeypatch.setattr(cores, "group_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert usable_cores() == expected
    assert checked_threads(None) == expected
    assert decoder_threads() == max(1, expected // 2)


def test_a_trained_network_has_no_more_threads_than_the_quota_allows(model_file: Path) -> None:
    program = (
        "import os, sys, torch, blemish.runtime.cores as cores\n"
        "cores.group_quota = lambda: 1.0\n"
        "from blemish import open_model\n"
        "from blemish.training.method_network import ready_torch\n"
        "for given in ({}, {'OMP_NUM_THREADS': '2'}):\n"
        "    os.environ.pop('OMP_NUM_THREADS', None)\n"
        "    os.environ.update(given)\n"
        "    torch.set_num_threads(2)\n"
        "    ready_torch.cache_clear()\n"
        "    open_model(sys.argv[1]).ready()\n"
        "    print(torch.get_num_threads())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(model_file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "1\n2\n", result.stderr


@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
def test_taskset_is_respected() -> None:
    program = "from blemish.runtime.cores import usable_cores; print(usable_cores())"
    command = ["taskset", "-c", "0", sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "1\n"


def test_nothing_else_asks_the_machine() -> None:
    source = Path(cores.__file__).parents[1]
    asking = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if any(word in path.read_text("utf-8") for word in ("cpu_count(", "sched_getaffinity("))
    }
    assert asking == {"runtime/cores.py"}
