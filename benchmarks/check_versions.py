"""Do the lowest and the newest allowed dependencies work, and other Pythons?

    python benchmarks/check_versions.py lowest  --python python3.10      (make lowest)
    python benchmarks/check_versions.py highest --python python3.13

Makes an environment outside the repository with what ``pyproject.toml`` allows at least (at most)
of each direct dependency, and runs a core of the tests there: files, limits, metrics, training and
prediction of every method, export, the server and the command line. Needs ``uv`` (``pip install
uv``: pip cannot take the lowest versions), and 6 GB of disk, as the index gives torch with CUDA. An
interpreter that is not installed is not fetched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = (
    "calibration metrics model_file outputs runtime data/images test_detector.py"
    " export/test_graph.py export/test_parity.py methods/test_contract.py report/test_report.py"
    " cli/test_predict_verb.py serving/http/test_predict_http.py"
)
_TOOLS = ("pytest", "pytest-timeout", "hypothesis")


def main(resolution: str, python: str, tests: list[str]) -> int:
    """Exit code of the tests."""
    own = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place, "bin", "python")

        def uv(*words: str) -> None:
            install = (own, "pip", "install", "--python", inside)
            subprocess.run([*install, *words], check=True, cwd=ROOT)

        made = [own, "venv", "--quiet", "--no-python-downloads", "--python", python, place]
        subprocess.run([*made, "--clear"], check=True)
        way = {"lowest": "lowest-direct", "highest": "highest"}[resolution]
        extras = ("--extra", "all", "--extra", "delivery")
        uv("--quiet", "--resolution", way, "-r", "pyproject.toml", *extras)
        uv("--quiet", *_TOOLS)
        subprocess.run([own, "pip", "list", "--python", inside], check=True)
        named = [str(ROOT / "tests" / name) for name in tests or TESTS.split()]
        words = [str(inside), "-m", "pytest", "-p", "no:cacheprovider", *named]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("resolution", choices=("lowest", "highest"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("tests", nargs="*", help="below tests/; default: the core")
    given = parser.parse_args()
    raise SystemExit(main(given.resolution, given.python, given.tests))
