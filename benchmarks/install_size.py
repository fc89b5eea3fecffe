"""How much disk, and how much time to start, a line PC needs beside a desk that trains.

    blemish export MODEL -o EXPORTED
    python benchmarks/install_size.py EXPORTED PICTURE benchmarks/results/install-size.json

Makes two fresh environments, the base installation and the one with ``train``, and measures what
``pip install`` put there (bytes on disk, with the compiled Python files that installing makes), the
time to import, and the time from a cold start of ``blemish predict`` to its end on one picture.
Times are the least of five. torch is not there in the first environment; the picture is judged.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from blemish.benchmark.result_file import write_result

ROOT = Path(__file__).parents[1]
INSTALLATIONS = {"base": ".", "train": ".[train]"}
IMPORTS = {
    "base": ("import blemish", "import blemish.runtime"),
    "train": ("import blemish", "import blemish.runtime", "from blemish import Detector"),
}


def main(exported: str, picture: str, result: str) -> None:
    content: dict[str, Any] = {
        "command": f"python benchmarks/install_size.py {Path(exported).name} "
        f"{Path(picture).name} {Path(result).name}"
    }
    for name, wanted in INSTALLATIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            python = install(Path(folder), wanted)
            packages = next(Path(folder).glob("lib/python*/site-packages"))
            content[name] = {
                "install": f"pip install -c constraints.txt {wanted}",
                "site_packages_mib": round(size_of(packages) / 2**20, 1),
                "largest_mib": largest(packages),
                "has_torch": (packages / "torch").is_dir(),
                "import_s": {code: seconds(python, "-c", code) for code in IMPORTS[name]},
                "predict_one_picture_s": seconds(
                    python, "-m", "blemish.cli.app", "predict", exported, picture
                ),
            }
            print(name, json.dumps(content[name]), flush=True)
    write_result(result, content)


def install(folder: Path, wanted: str) -> str:
    """A fresh environment without pip's own packages; returns its interpreter."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "install", "-c", "constraints.txt", wanted], cwd=ROOT, check=True)
    subprocess.run([*pip, "uninstall", "--yes", "setuptools", "pip"], check=True)
    return python


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def largest(packages: Path, count: int = 6) -> dict[str, float]:
    """The largest packages and their MiB."""
    sizes = {path.name: size_of(path) / 2**20 for path in packages.iterdir() if path.is_dir()}
    ordered = sorted(sizes.items(), key=lambda item: -item[1])[:count]
    return {name: round(value, 1) for name, value in ordered}


def seconds(*words: str) -> float:
    """Least wall time of five fresh processes."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        ended = subprocess.run(words, check=False, capture_output=True, text=True, cwd="/")
        # predict ends with 1 where it found a defect, and says so; so does a crash, and does not.
        if ended.returncode and not (ended.returncode == 1 and "1 image" in ended.stdout):
            raise SystemExit(ended.stderr)
        times.append(time.perf_counter() - started)
    return round(min(times), 3)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*(str(Path(word).absolute()) for word in sys.argv[1:4]))
