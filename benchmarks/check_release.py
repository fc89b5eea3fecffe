"""Does the release work for a stranger? Installed by name in empty environments, and used there.

    make release-check            (python benchmarks/check_release.py dist)

Two environments outside the repository, from the folder of wheels and the package index. The desk's
(``train``, ``export``) runs ``doctor`` and ``demo`` and exports the model. The line's (``serve``)
has no torch: it judges the demo's pictures with the exported model, by command and over HTTP. Each
step must do what it promises, or this ends with an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
_PORT = 8765


class Environment:
    """An empty environment into which the release was installed by name."""

    def __init__(self, folder: Path, dist: Path, extras: str) -> None:
        venv.create(folder, with_pip=True)
        self.bin, self.home = folder / "bin", folder
        self.env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        version = next(dist.glob("blemish-*.whl")).name.split("-")[1]
        self.run(
            *("python", "-m", "pip", "install", "--quiet", "--find-links", str(dist)),
            *("-c", str(ROOT / "constraints.txt"), f"blemish[{extras}]=={version}"),
        )
        where = self.run("python", "-c", "import blemish; print(blemish.__file__)")
        if str(folder) not in where:
            raise SystemExit(f"Not the installed package was imported, but {where}.")

    def run(self, program: str, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a program of the environment in its own folder; returns what it printed."""
        ended = subprocess.run(
            [self.bin / program, *words],
            cwd=self.home,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode not in codes:
            raise SystemExit(f"{program} {' '.join(words)} ended with {ended.returncode}:\n{ended}")
        return ended.stdout


def over_http(line: Environment, model: Path, picture: Path) -> str:
    """The verdict of the served model on a picture."""
    words = [str(line.bin / "blemish"), "serve", str(model), "--port", str(_PORT)]
    server = subprocess.Popen(words, cwd=line.home, env=line.env)
    try:
        url = f"http://127.0.0.1:{_PORT}/v1/predict"
        for _ in range(120):
            try:
                request = Request(url, picture.read_bytes(), {"Content-Type": "image/png"})
                with urlopen(request, timeout=60) as answer:
                    return str(json.load(answer)["results"][0]["verdict"])
            except URLError:
                time.sleep(0.5)
        raise SystemExit("The server did not answer within a minute.")
    finally:
        server.terminate()
        server.wait(30)


def main(dist: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        desk = Environment(Path(place) / "desk", dist, "train,export")
        print(desk.run("blemish", "doctor").splitlines()[-1])
        print(desk.run("blemish", "demo", codes=(0, 1)).splitlines()[-1])
        (model,) = desk.home.rglob("*.blemish")
        exported = Path(place) / "exported.blemish"
        desk.run("blemish", "export", str(model), "--out", str(exported))
        pictures = sorted((desk.home / "demo" / "line").rglob("test/*/*.png"))[:20]
        line = Environment(Path(place) / "line", dist, "serve")
        line.run("python", "-c", "import importlib.util as u; assert u.find_spec('torch') is None")
        judged = line.run("blemish", "predict", str(exported), *map(str, pictures), codes=(0, 1))
        print(next(text for text in judged.splitlines() if text.startswith(f"{len(pictures)} im")))
        print("over HTTP:", over_http(line, exported, pictures[0]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).absolute())
