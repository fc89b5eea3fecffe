"""Places that cannot be written: full disks, read-only folders, folders of somebody else.

What is promised: a command says so in a sentence, leaves each file as it was or as it will be and
nothing beside it, and the same command completes once there is room. The disk is a small tmpfs of
its own, for which this must be run by root on Linux.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from campaign import QUIET, check_rows, folder_of_parts, part, run

from blemish import Detector, open_model

MIB = 16
VERBS = ("fit", "calibrate", "learn", "export", "predict")


@contextmanager
def small_disk() -> Iterator[Path]:
    """An empty disk of sixteen megabytes.

    Raises:
        PermissionError: Who is not root cannot have one.
    """
    place = Path(tempfile.mkdtemp())
    try:
        words = ["mount", "-t", "tmpfs", "-o", f"size={MIB}m", "tmpfs", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            raise PermissionError("mounting a disk needs root")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        place.rmdir()


class Line:
    """Pictures and a model outside, and what commands write on the small disk."""

    def __init__(self, outside: Path, disk: Path) -> None:
        self.disk, self.rows = disk, disk / "rows.csv"
        self.model, self.graph = disk / "m.blemish", disk / "g.blemish"
        good = folder_of_parts(outside / "good", range(8))
        more = folder_of_parts(outside / "more", range(20, 24))
        self._judge = outside / "judge.blemish"
        Detector("patchcore", image_size=64).fit(good, progress=QUIET).save(self._judge)
        small = ("--method", "patchcore", "--size", "64", "--quiet")
        export = ["export", str(self._judge), "--out", str(self.graph), "--quiet"]
        predict = ["predict", str(self._judge), str(more), "--csv", str(self.rows), "--quiet"]
        self.verbs: dict[str, tuple[list[str], Path]] = {
            "fit": (["fit", str(good), "--out", str(self.model), *small], self.model),
            "calibrate": (["calibrate", str(self.model), str(more), "--quiet"], self.model),
            "learn": (["learn", str(self.model), str(more), "--quiet"], self.model),
            "export": (export, self.graph),
            "predict": (predict, self.rows),
        }
        shutil.copy(self._judge, self.model)

    def tried(self, name: str, said: Path, wrong: list[str], number: int) -> str:
        """Run a verb and check what it leaves: how it ended."""
        words, target = self.verbs[name]
        before, listed = _content(target), self._listed()
        code = run(words, None, said)
        after, text = _content(target), said.read_text()
        if "Traceback" in text or code not in (0, 1, 2):
            wrong.append(f"{number} {name}: ends with {code}: {text[-300:]}")
        if name == "predict":
            if target.exists() and os.access(target, os.W_OK):
                check_rows(target, after, number, wrong, resume=False)
        elif after != before:
            try:
                open_model(target).inspect(np.asarray(part(50)))
            except BaseException as error:
                wrong.append(f"{number} {name}: {type(error).__name__}: {error}")
        if code == 2 and name != "predict" and after != before:
            wrong.append(f"{number} {name}: refused, and yet written")
        if left := self._listed() - listed - {target.name}:
            wrong.append(f"{number} {name}: leaves {sorted(left)}")
        return {0: "done", 1: "done", 2: "refused"}.get(code, str(code))

    def _listed(self) -> set[str]:
        return {path.name for path in self.disk.iterdir()}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _left(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_bsize


def full_disks(count: int, seed: int = 0, verbs: Sequence[str] = VERBS) -> dict[str, Any]:
    """Verbs on a disk with room for nothing, or for a part of what they write."""
    rng, ends, wrong = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as outside, small_disk() as disk:
        line, said, filler = Line(Path(outside), disk), Path(outside, "said"), disk / "filler"
        needed = {}
        for name in verbs:
            words, target = line.verbs[name]
            if (code := run(words, None, said)) not in (0, 1):
                return {"ends": {}, "wrong": [f"{name} ends with {code} on an empty disk"]}
            needed[name] = target.stat().st_size
        for number in range(count):
            name = verbs[number % len(verbs)]
            words, target = line.verbs[name]
            if name in ("export", "predict"):
                target.unlink()
            room = rng.choice((0, rng.randrange(needed[name] + 8192)))
            filler.write_bytes(bytes(max(0, _left(disk) - room)))
            end = line.tried(name, said, wrong, number)
            ends[end] += 1
            if end == "refused" and "space" not in said.read_text():
                wrong.append(f"{number} {name}: says {said.read_text()[-300:]}")
            filler.unlink()
            if run(words, None, said) not in (0, 1):
                wrong.append(f"{number} {name}: does not complete: {said.read_text()[-300:]}")
    return {"tries": count, "ends": dict(ends), "wrong": wrong}


def closed_places(verbs: Sequence[str] = VERBS) -> dict[str, Any]:
    """Verbs on a disk that is read-only, and in a folder where it may not write."""
    ends, wrong, number = Counter[str](), list[str](), 0
    with tempfile.TemporaryDirectory() as outside, small_disk() as disk:
        line, said = Line(Path(outside), disk), Path(outside, "said")
        for name in verbs:
            for closed in (_read_only, _not_ours):
                number += 1
                with closed(disk):
                    end = line.tried(name, said, wrong, number)
                ends[end] += 1
                if end != "refused":
                    wrong.append(f"{number} {name}: {end} where nothing can be written")
    return {"tries": number, "ends": dict(ends), "wrong": wrong}


@contextmanager
def _read_only(disk: Path) -> Iterator[None]:
    remount: Callable[[str], object] = lambda how: subprocess.run(  # noqa: E731
        ["mount", "-o", f"remount,{how}", str(disk)], check=True
    )
    remount("ro")
    try:
        yield
    finally:
        remount("rw")


@contextmanager
def _not_ours(disk: Path) -> Iterator[None]:
    """A folder without the right to write; root is bound by it too without two of its powers."""
    disk.chmod(0o555)
    with _without_overriding():
        yield
    disk.chmod(0o755)


@contextmanager
def _without_overriding() -> Iterator[None]:
    """Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, in this thread and those it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same above 31
    if libc.capget(header, held):
        raise OSError(ctypes.get_errno(), "capget")
    less = (ctypes.c_uint32 * 6)(*held)
    less[0] &= ~0b110
    if libc.capset(header, less):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, held)
