"""Fault campaign: damaged model files, damaged pictures, commands killed at random.

    python tests/faults/campaign.py benchmarks/results/faults.json      (make faults)
    python tests/faults/campaign.py benchmarks/results/faults.json killed_benchmarks http

The second runs the parts that are named, and leaves the figures of the others in the file.

What is promised, and checked here as often as one likes; `test_faults.py` does it a few times in
every run of the suite.

* A damaged model file is refused with one of our errors, or gives the scores of the whole one.
* A damaged picture is read, or refused with one of our errors; within five seconds and a gigabyte.
* A command killed at any moment leaves each of its files as it was or as it will be, never half;
  and the same command then completes.
* On a full disk, and where nothing may be written, a command says so and changes nothing
  (`places.py`); servers, studios and benchmarks that are killed lose nothing (`killed.py`).
* A request drawn from the server's description is answered as that says (`fuzz_http.py`).
* Memory and open files of the server, and of `predict --watch`, stay where they are (`soak.py`).
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blemish import Detector, open_model
from blemish._progress import Progress
from blemish.cli.app import main as command
from blemish.data.images.reading import read_image_bytes
from blemish.demo_line import render
from blemish.errors import BlemishError

QUIET = Progress(quiet=True)
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000")
SECONDS, MIB = 5.0, 1024


def part(seed: int) -> Image.Image:
    """A good part, 64 × 64."""
    pixels, _ = render("metal", size=64, rng=np.random.default_rng([9, seed]))
    return Image.fromarray(pixels)


def folder_of_parts(folder: Path, seeds: range) -> Path:
    """Pictures of good parts in a folder."""
    folder.mkdir(parents=True)
    for seed in seeds:
        part(seed).save(folder / f"{seed:02}.png")
    return folder


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Flipped bits, a cut, or a stretch that is missing, doubled or foreign."""
    data, kind = bytearray(content), rng.randrange(5)
    at = rng.randrange(len(data))
    length = min(len(data) - at, 1 + rng.randrange(64))
    if kind == 0:
        for _ in range(rng.choice((1, 1, 4, 16))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    else:
        data[at : at + length] = rng.randbytes(length)
    return bytes(data)


def damaged_models(count: int, seed: int = 0) -> dict[str, Any]:
    """Open damaged copies of a model file: how each ended, and what must not have happened."""
    rng, ends, wrong = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as place:
        folder = folder_of_parts(Path(place) / "good", range(8))
        Detector("patchcore", image_size=64).fit(folder, progress=QUIET).save(f"{place}/whole")
        content, picture = Path(place, "whole").read_bytes(), np.asarray(part(50))
        whole = open_model(f"{place}/whole").inspect(picture)
        for number in range(count):
            copy = Path(place, "damaged.blemish")
            data = bytearray(content)
            if number % 4 == 3:
                del data[rng.randrange(len(data)) :]
            else:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            copy.write_bytes(data)
            try:
                found = open_model(copy).inspect(picture)
            except BlemishError:
                ends["refused"] += 1
            except BaseException as error:
                wrong.append(f"{number}: {type(error).__name__}: {error}")
            else:
                same = found.score == whole.score and found.verdict == whole.verdict
                ends["the same scores"] += same
                wrong += [] if same else [f"{number}: another score"]
    return {"copies": count, "ends": dict(ends), "wrong": wrong}


def damaged_pictures(count: int, seed: int = 0) -> dict[str, Any]:
    """Read damaged pictures of every format, in processes that a crash would show."""
    ends, wrong, slowest, largest = Counter[str](), list[str](), 0.0, 0
    for first in range(0, count, 500):
        with _in_a_child(lambda first=first: _read(first, min(500, count - first), seed)) as said:
            if isinstance(said, str):
                wrong.append(f"from {first} on: {said}")
                continue
            ends.update(said["ends"])
            wrong += said["wrong"]
            slowest, largest = max(slowest, said["slowest"]), max(largest, said["mib"])
    return {
        "pictures": count,
        "formats": list(FORMATS),
        "ends": dict(ends),
        "slowest_seconds": round(slowest, 3),
        "most_mib": largest,
        "wrong": wrong,
    }


def _read(first: int, count: int, seed: int) -> dict[str, Any]:
    rng, contents = random.Random(f"{seed}/{first}"), []
    for name in FORMATS:
        for mode in ("RGB", "L"):
            file = io.BytesIO()
            part(0).convert(mode).save(file, name)
            contents.append(file.getvalue())
    ends, wrong, slowest = Counter[str](), list[str](), 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(first, first + count):
        content = damaged(contents[number % len(contents)], rng)
        started = time.monotonic()
        try:
            pixels = read_image_bytes(content, "x")
        except BlemishError:
            ends["refused"] += 1
        except BaseException as error:
            wrong.append(f"{number}: {type(error).__name__}: {error}")
        else:
            ends["read"] += 1
            if pixels.dtype != np.uint8 or pixels.ndim != 3:
                wrong.append(f"{number}: {pixels.dtype} {pixels.shape}")
        took = time.monotonic() - started
        slowest = max(slowest, took)
        if took > SECONDS:
            wrong.append(f"{number}: {took:.1f} s")
    mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    wrong += [f"{mib} MiB"] if mib > MIB else []
    return {"ends": dict(ends), "wrong": wrong, "slowest": slowest, "mib": mib}


def killed_commands(count: int, seed: int = 0) -> dict[str, Any]:
    """Kill ``fit``, ``calibrate``, ``learn``, ``export`` and ``predict`` at random moments."""
    rng, kills, wrong = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        good = folder_of_parts(here / "good", range(8))
        more = folder_of_parts(here / "more", range(20, 24))
        model, graph, rows = here / "m.blemish", here / "m-onnx.blemish", here / "rows.csv"
        judge = here / "judge.blemish"  # stays as it is: rows of two models do not mix
        Detector("patchcore", image_size=64).fit(good, progress=QUIET).save(judge)
        small = ("--method", "patchcore", "--size", "64", "--quiet")
        verbs: dict[str, tuple[list[str], Path]] = {
            "fit": (["fit", str(good), "--out", str(model), *small], model),
            "calibrate": (["calibrate", str(model), str(more), "--quiet"], model),
            "learn": (["learn", str(model), str(more), "--quiet"], model),
            "predict": (["predict", str(judge), str(more), "--csv", str(rows), "--quiet"], rows),
            "export": (["export", str(model), "--out", str(graph), "--quiet"], graph),
        }
        lasts: dict[str, float] = {}
        for name, (words, _) in verbs.items():
            started = time.monotonic()
            code = run(words, None)
            lasts[name] = time.monotonic() - started
            if code not in (0, 1):
                return {"kills": {}, "wrong": [f"{name} ends with {code} undisturbed"]}
        for number in range(count):
            name = rng.choice(list(verbs))
            words, target = verbs[name]
            before = target.read_bytes()
            code = run(words, rng.uniform(0.0, 1.1 * lasts[name]))
            kills[name] += code == -signal.SIGKILL
            after = target.read_bytes() if target.exists() else b""
            if name == "predict":
                check_rows(target, after, number, wrong)
            elif after != before:  # then it is new, and whole
                try:
                    open_model(target).inspect(np.asarray(part(50)))
                except BaseException as error:
                    wrong.append(f"{number} {name}: {type(error).__name__}: {error}")
            if number % 10 == 9 and (code := run(words, None)) not in (0, 1):
                wrong.append(f"{number} {name}: ends with {code} after a kill")
    return {"kills": dict(kills), "wrong": wrong}


def check_rows(
    path: Path, content: bytes, number: int, wrong: list[str], *, resume: bool = True
) -> None:
    """Whole lines, or a last one that `--resume` takes away; it then has each picture once."""
    if content and not content.startswith(b"path,"):
        wrong.append(f"{number} predict: {content[:20]!r}")
    if not resume:
        return
    folder = path.parent
    words = ["predict", str(folder / "judge.blemish"), str(folder / "more"), "--csv", str(path)]
    if path.exists() and run([*words, "--resume", "--quiet"], None) not in (0, 1):
        wrong.append(f"{number} predict: does not go on")
    elif path.exists():
        names = [line.split(",")[0] for line in path.read_text().splitlines()[1:]]
        if sorted(Path(name).name for name in names) != [f"{n}.png" for n in range(20, 24)]:
            wrong.append(f"{number} predict: {names}")


def run(words: list[str], seconds: float | None, said: Path | None = None) -> int:
    """Run a command in a child, killed after so many seconds; its exit code, or minus a signal.

    ``said`` takes what it says to standard error.
    """
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_RDWR)
        errors = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if said else nowhere
        for descriptor, to in enumerate((nowhere, nowhere, errors)):
            os.dup2(to, descriptor)
        sys.stderr = os.fdopen(2, "w", closefd=False)  # whatever stood in its place
        sys.argv = ["blemish", *words]
        code = 2
        try:
            command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 2
        finally:
            sys.stderr.flush()
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def _in_a_child(work: Callable[[], dict[str, Any]]) -> Iterator[dict[str, Any] | str]:
    """What a function gives when it is called in a child; in words how that ended, if badly."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with os.fdopen(write, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    yield json.loads(said) if code == 0 else f"ended with {code}"


def main(result: Path, names: list[str]) -> None:
    """Run parts, all unless named, and enter each into the file of results once it has ended."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from fuzz_http import fuzzed
    from killed import killed_benchmarks, killed_servers, killed_studios
    from places import closed_places, full_disks
    from soak import soak_serve, soak_watch

    from blemish._files import atomic_write
    from blemish.benchmark.environment import environment
    from forked import ForkServer

    with tempfile.TemporaryDirectory() as folder:
        forks = ForkServer(Path(folder))
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "damaged_models": lambda: damaged_models(2000),
            "damaged_pictures": lambda: damaged_pictures(20_000),
            "killed_commands": lambda: killed_commands(200),
            "killed_benchmarks": lambda: killed_benchmarks(20),
            "killed_servers": lambda: killed_servers(forks, 20),
            "killed_studios": lambda: killed_studios(forks, 20),
            "full_disks": lambda: full_disks(50),
            "closed_places": closed_places,
            "http": lambda: fuzzed(100),
            "soak_serve": lambda: soak_serve(600),
            "soak_watch": lambda: soak_watch(600),
        }
        if unknown := set(names) - set(parts):
            raise SystemExit(f"No part is called {', '.join(unknown)}, but {', '.join(parts)}.")
        where = environment()  # before the first part changes the file that git knows
        for name in names or parts:
            found = {**parts[name](), "environment": where}
            print(json.dumps({name: found}, indent=1), flush=True)
            content = json.loads(result.read_text("utf-8")) if result.exists() else {"seed": 0}
            with atomic_write(result) as file:
                file.write(f"{json.dumps({**content, name: found}, indent=1)}\n".encode())
        forks.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
