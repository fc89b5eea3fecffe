"""RADAR on a worn, textured surface at full size: against reconstruction, and beside others.

    python benchmarks/radar_full_size.py train COMMUTATOR NETWORK.pt
    python benchmarks/radar_full_size.py judge COMMUTATOR NETWORK.pt RESULT.json --timestep 450
    python benchmarks/radar_full_size.py judge … --mode reconstruct --few
    python benchmarks/radar_full_size.py speed COMMUTATOR NETWORK.pt RESULT.json
    python benchmarks/radar_full_size.py beside COMMUTATOR METHOD RESULT.json --set steps=200
    python benchmarks/radar_full_size.py table COMMUTATOR NETWORK.pt RESULT.json

``train``: the small U-Net on patches of 64 pixels of the good training pictures of 28 items, as
RADAR trains it, 1,500 steps. ``judge``: the middle 512 rows of pictures, where the cracks are (256
with ``--few``, which takes fewer pictures too): 24 good ones of the ten other training items fit
what is usual and the forest, 40 more set the limit for 5 %, every third good and every second
defective test picture is judged; without ``--timestep`` RADAR chooses it. Features are kept one by
one, so that a stopped run goes on. ``speed``: both ways in turn, on four pictures of 256 rows.
``beside``: another method on the same rows of the same pictures, at 512×512 with a grey margin; it
learns those of the network's training pictures and the forest's, and has the same for its limit.
``table`` prints both.
Times are CPU seconds of one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from blemish import Detector, TrainingOptions
from blemish._files import atomic_write
from blemish._progress import Progress
from blemish.benchmark.environment import environment
from blemish.data.sample import DataSet, Sample, Split
from blemish.methods.base import Batch
from blemish.methods.radar.config import RADARConfig
from blemish.methods.radar.model import RADAR
from blemish.metrics import auroc, confusion
from blemish.teachers.teacher import NoTeacher

RATE, STEPS, PATCHES = 0.05, 1500, 16
#: Rows looked at, and pictures for the forest, the limit and each half of the test.
WHOLE, FEW = (372, 884, 24, 40, 99), (480, 736, 12, 20, 12)


def grey(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("L"))


def items_of(root: Path) -> tuple[list[Path], list[Path]]:
    """Good training pictures of the items that train, and of ten that do not."""
    paths = sorted((root / "train" / "good").iterdir())
    items = sorted({path.name[:5] for path in paths})
    held = set(np.random.default_rng(5).permutation(items)[:10].tolist())
    train = [path for path in paths if path.name[:5] not in held]
    return train, [path for path in paths if path.name[:5] in held]


def train(root: Path, network: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pictures = [grey(path) for path in items_of(root)[0]]
    method = RADAR(RADARConfig(patches_per_image=1), NoTeacher(), (64, 64))
    stage = method.stages()[0]
    optimizer = stage.optimizer([{"params": list(method.unet.parameters()), "lr": 1e-3}])
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 50)
        patches = []
        for _ in range(PATCHES):
            picture = pictures[rng.integers(len(pictures))]
            y, x = (rng.integers(side - 63) for side in picture.shape)
            patches.append(picture[y : y + 64, x : x + 64])
        images = torch.from_numpy(np.stack(patches))[:, None].repeat(1, 3, 1, 1)
        loss = method.loss(Batch(images=images), stage)["total"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.unet.parameters(), 1.0)
        optimizer.step()
        method.after_step(stage, step)
    torch.save(method.average.state_dict(), network)


def judge(root: Path, network: Path, result: Path, given: argparse.Namespace) -> None:
    top, bottom, forest, limit, judged = FEW if given.few else WHOLE
    settings = dict(part.split("=", 1) for part in given.set)
    config = RADARConfig(mode=given.mode, timestep=given.timestep, **settings)
    method = RADAR(config, NoTeacher(), (bottom - top, 500)).eval()
    method.average.load_state_dict(torch.load(network, weights_only=True))
    parts, labels = parts_of(root, forest, limit, judged)
    content = json.loads(result.read_text()) if result.is_file() else {"runs": {}}
    few = ["few"] if given.few else []
    at = "chosen" if given.timestep is None else given.timestep
    name = " ".join((given.mode, f"t={at}", *given.set, *few))
    run = content["runs"].setdefault(name, {"features": {}, "seconds": []})

    def keep() -> None:
        write(result, content)

    def image(path: Path) -> Tensor:
        return torch.from_numpy(grey(path)[top:bottom, :500].copy()).expand(1, 3, -1, -1)

    with torch.inference_mode():
        if given.mode == "single_step":
            method.fit_held_out([Batch(images=image(path)) for path in parts["forest"]])
            run["timestep"] = int(method.timestep)
        for part, paths in parts.items():
            known = run["features"].setdefault(part, [])
            for path in paths[len(known) :]:
                started = time.process_time()
                known.append(method.features(image(path))[0].tolist())
                run["seconds"].append(round(time.process_time() - started, 3))
                keep()
        if given.mode == "reconstruct":
            method.fit_forest(torch.tensor(run["features"]["forest"]))
        scores = {k: method.score(torch.tensor(run["features"][k])).numpy() for k in parts}
    run.update(figures(scores, labels, run["seconds"]))
    alone = np.array(run["features"]["test"])
    for number, feature in enumerate(("rms", "peak")):
        run[f"auroc_of_{feature}"] = round(auroc(alone[:, number], labels), 4)
    run["pictures"] = {part: len(paths) for part, paths in parts.items()}
    keep()
    print(name, json.dumps({k: v for k, v in run.items() if k not in ("features", "seconds")}))


def speed(root: Path, network: Path, result: Path) -> None:
    """One step and reconstruction on the same pictures in turn: other work meets both alike."""
    top, bottom, *_ = FEW
    ways: dict[str, tuple[RADAR, int]] = {}
    modes: dict[Literal["single_step", "reconstruct"], int] = {"single_step": 3, "reconstruct": 1}
    for mode, rounds in modes.items():
        config = RADARConfig(mode=mode, timestep=450)
        method = RADAR(config, NoTeacher(), (bottom - top, 500)).eval()
        method.average.load_state_dict(torch.load(network, weights_only=True))
        ways[mode] = method, rounds
    seconds: dict[str, list[float]] = {mode: [] for mode in ways}
    with torch.inference_mode():
        for path in sorted((root / "test" / "good").iterdir())[::3][:4]:
            pixels = torch.from_numpy(grey(path)[top:bottom, :500].copy())
            for name, (method, rounds) in ways.items():
                for _ in range(rounds):
                    started = time.process_time()
                    method.features(pixels.expand(1, 3, -1, -1))
                    seconds[name].append(round(time.process_time() - started, 3))
    medians = {mode: float(np.median(own)) for mode, own in seconds.items()}
    content = json.loads(result.read_text()) if result.is_file() else {"runs": {}}
    times = medians["reconstruct"] / medians["single_step"]
    content["speed"] = {"seconds": seconds, "times_faster": round(times, 1)}
    write(result, content)
    print(json.dumps(content["speed"]))


def beside(root: Path, name: str, result: Path, settings: dict[str, str]) -> None:
    """Another method on the pictures that RADAR is judged by."""
    top, bottom, *counts = WHOLE
    parts, labels = parts_of(root, *counts)

    def samples(paths: list[Path], split: Split) -> list[Sample]:
        rows = ((path, grey(path)[top:bottom, :500]) for path in paths)
        return [Sample(path, "commutator", split, 0, image=image) for path, image in rows]

    learned = samples([*items_of(root)[0], *parts["forest"]], "train")
    limit, test = samples(parts["limit"], "validation"), samples(parts["test"], "test")
    detector = Detector(name, image_size=512, settings=settings)
    training = TrainingOptions(seed=0, device="cpu", check_labels=False)
    started = time.process_time()
    data = DataSet("folder", root, (*learned, *limit))
    detector.fit(data, false_alarm_rate=RATE, training=training, progress=Progress(quiet=True))
    fit_s = round(time.process_time() - started)
    started = time.process_time()
    judged = detector.judge_samples([*limit, *test], calibration=None, batch_size=1)
    found = np.array([prediction.score for _, prediction in judged])
    seconds = [(time.process_time() - started) / len(found)]
    run = figures({"limit": found[: len(limit)], "test": found[len(limit) :]}, labels, seconds)
    run |= {"fit_s": fit_s, "input": detector.ready()[1].to_json()}
    run["pictures"] = {"learned": len(learned), "limit": len(limit), "test": len(test)}
    content = json.loads(result.read_text()) if result.is_file() else {"runs": {}}
    key = " ".join((name, *(f"{option}={value}" for option, value in settings.items())))
    content.setdefault("beside", {})[key] = run | {"environment": environment()}
    write(result, content)
    print(key, json.dumps(run))


def table(result: Path) -> str:
    """Markdown: RADAR's runs on all pictures, and the other methods'."""
    content = json.loads(result.read_text())
    runs = {f"radar, {name}": run for name, run in content["runs"].items() if "few" not in name}
    lines = ["| | image AUROC | precision | recall | F1 | false alarms | per image |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for name, run in (runs | content.get("beside", {})).items():
        shares = (run[key] for key in ("image_auroc", "precision", "recall", "f1"))
        cells = " | ".join(f"{100 * share:.1f}" for share in shares)
        lines.append(f"| {name} | {cells} | {run['false_alarms']} | {run['milliseconds']} ms |")
    return "\n".join(lines)


def parts_of(root: Path, forest: int, limit: int, judged: int) -> tuple[dict[str, Any], Any]:
    """Pictures for forest, limit and test, and the labels of the last."""
    held = items_of(root)[1]
    held = [held[i] for i in np.random.default_rng(1).permutation(len(held))]
    good = sorted((root / "test" / "good").iterdir())[::3][:judged]
    defective = sorted((root / "test" / "defect").iterdir())[::2][:judged]
    parts = {"forest": held[:forest], "limit": held[forest : forest + limit]}
    return parts | {"test": good + defective}, np.repeat([0, 1], [len(good), len(defective)])


def write(result: Path, content: dict[str, Any]) -> None:
    content["environment"] = environment()
    with atomic_write(result) as file:
        file.write((json.dumps(content) + "\n").encode())


def figures(scores: dict[str, Any], labels: Any, seconds: list[float]) -> dict[str, Any]:
    allowed = max(0, math.floor(RATE * (len(scores["limit"]) + 1)) - 1)
    limit = np.nextafter(np.sort(scores["limit"])[::-1][allowed], np.float32(np.inf))
    counts = confusion(scores["test"], labels, threshold=float(limit))
    return {
        "image_auroc": round(auroc(scores["test"], labels), 4),
        "f1": round(counts.f1, 4),
        "precision": round(counts.precision, 4),
        "recall": round(counts.recall, 4),
        "false_alarms": counts.fp,
        "milliseconds": round(1000 * float(np.mean(seconds))),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("train", "judge", "speed", "beside", "table"))
    parser.add_argument("data", type=Path)
    parser.add_argument("network", type=Path, help="its file; for beside, the other method's name")
    parser.add_argument("result", type=Path, nargs="?")
    parser.add_argument("--mode", choices=("single_step", "reconstruct"), default="single_step")
    parser.add_argument("--timestep", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--few", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.part == "train":
        train(given.data, given.network)
    elif given.part == "speed":
        speed(given.data, given.network, given.result)
    elif given.part == "table":
        print(table(given.result))
    elif given.part == "beside":
        settings = dict(part.split("=", 1) for part in given.set)
        beside(given.data, str(given.network), given.result, settings)
    else:
        judge(given.data, given.network, given.result, given)


if __name__ == "__main__":
    main()
