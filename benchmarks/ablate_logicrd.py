"""LogicRD: what each of its parts is worth on a demo line of assemblies.

    python benchmarks/ablate_logicrd.py LINE --seeds 0,1,2 --set steps=400 --result RESULT.json
    python benchmarks/ablate_logicrd.py table --result RESULT.json

Trains RD, and LogicRD part by part: image AUROC of good against logical and against structural
anomalies, by every branch, description and rule that joins them; and the same for anomalies planted
into good validation images, on which settings are chosen. Runs that the file holds already are not
trained again; ``table`` prints its tables.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.images.preprocess import Preprocessing
from blemish.data.layouts import read_data_set
from blemish.data.planted import KINDS, plant_anomaly
from blemish.data.planted_parts import LOGICAL_KINDS, plant_logical_anomaly
from blemish.data.sources import load_input
from blemish.metrics import auroc

RESULT = Path(__file__).parent / "results" / "logicrd-ablation-256.json"
#: What is trained for the ablation: method and settings, by the table's name.
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "RD": ("rd", {}),
    "+ GSE": ("logicrd", {"compensation": False, "gate": False, "logical": False}),
    "+ FCP without gate": ("logicrd", {"gate": False, "logical": False}),
    "+ NII gate": ("logicrd", {"logical": False}),
    "LogicRD": ("logicrd", {}),
    "LogicRD, codes too": ("logicrd", {"described": "both"}),
}


def ablation(
    line: str,
    seeds: list[int],
    settings: dict[str, str],
    names: list[str],
    *,
    size: int,
    cache: str,
    result: Path,
) -> None:
    """Train what the file does not hold yet, and write it after every run.

    Raises:
        SystemExit: The file holds runs on another line.
    """
    made = json.loads((Path(line) / "demo-line.json").read_text())
    found: dict[str, Any] = {"rows": [], "line": made, "size": size}
    if result.is_file():
        held = json.loads(result.read_text())
        if (held["line"], held.get("size", size)) != (made, size):
            raise SystemExit(f"{result} holds runs on another line or size: name another file.")
        found["rows"] = held["rows"]
    for seed in seeds:
        for name in names:
            key = (name, seed, settings)
            if any((r["system"], r["seed"], r["settings"]) == key for r in found["rows"]):
                continue
            method, own = SYSTEMS[name]
            started = time.monotonic()
            detector = Detector(method, image_size=size, settings={**settings, **own})
            options = {"cache_dir": cache or None, "check_labels": False}
            training = TrainingOptions(seed=seed, **options)  # type: ignore[arg-type]
            detector.fit(line, training=training, progress=Progress(quiet=True))
            row: dict[str, Any] = {"system": name, "seed": seed, "settings": settings}
            row["fit_s"] = round(time.monotonic() - started)
            preprocessing = detector.ready()[1]
            row["auroc"] = _by_measure(detector.method, _test_pictures(preprocessing, line))
            if name.startswith("LogicRD"):
                row["planted"] = _by_measure(
                    detector.method, _planted_pictures(preprocessing, line)
                )
            found["rows"].append(row)
            flags = "".join(f" --set {name}={value}" for name, value in settings.items())
            command = f"python benchmarks/ablate_logicrd.py LINE --seeds SEED{flags}"
            write_result(result, {"command": f"{command} --result RESULT", **found})
            print(json.dumps(found["rows"][-1]), flush=True)


#: How both branches could be judged jointly, given their z-scores.
RULES: dict[str, Callable[[float, float], float]] = {
    "sum": lambda a, b: a + b,
    "sum, the logical half": lambda a, b: a + b / 2,
    "maximum": max,
    "soft maximum": lambda a, b: float(np.logaddexp(a, b)),
    "soft maximum, the logical half": lambda a, b: float(np.logaddexp(a, b / 2)),
}
PLANTED = 20  # good validation pictures of a product that anomalies are planted into
STRENGTHS = (0.5, 0.25)  # of planted structural ones: whole, every system finds nearly all of them


#: Product, kind (good, logical, structural) and pixels.
Picture = tuple[str, str, NDArray[np.uint8]]


def _test_pictures(preprocessing: Preprocessing, line: str) -> Iterator[Picture]:
    """Every test picture."""
    for sample in read_data_set(line).split("test").samples:
        kind = "good" if sample.is_good else str(sample.defect_kind).split("_")[0]
        yield sample.product, kind, load_input(sample, preprocessing)[0]


def _planted_pictures(preprocessing: Preprocessing, line: str) -> Iterator[Picture]:
    """The same of good validation pictures, and of anomalies planted into them."""
    rng = np.random.default_rng(0)
    samples = read_data_set(line).split("validation").samples
    for product in dict.fromkeys(sample.product for sample in samples):
        for sample in [s for s in samples if s.product == product][:PLANTED]:
            pixels = load_input(sample, preprocessing)[0]
            yield product, "good", pixels
            for kind in LOGICAL_KINDS:
                yield product, "logical", plant_logical_anomaly(pixels, rng, kind=kind)[0]
            for kind in KINDS:
                whole = plant_anomaly(pixels, rng, kind=kind)[0].astype(np.float32)
                for strength in STRENGTHS:
                    faded = pixels + strength * (whole - pixels) + 0.5
                    yield product, "structural", faded.astype(np.uint8)


def _by_measure(method: Any, pictures: Iterator[Picture]) -> dict[str, dict[str, dict[str, float]]]:
    """Image AUROC of every measure, by product and kind of anomaly, and over products."""
    scores: dict[tuple[str, str], list[dict[str, float]]] = {}
    for some in iter(lambda: list(islice(pictures, 8)), []):
        found = _measures(method, np.stack([pixels for _, _, pixels in some]))
        for number, (product, kind, _) in enumerate(some):
            own = {name: float(values[number]) for name, values in found.items()}
            scores.setdefault((product, kind), []).append(own)
    products = list(dict.fromkeys(product for product, _ in scores))
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for measure in scores[products[0], "good"][0]:
        table = tables.setdefault(measure, {})
        for product in products:
            good = [row[measure] for row in scores[product, "good"]]
            for kind in ("logical", "structural"):
                bad = [row[measure] for row in scores[product, kind]]
                labels = np.repeat([0, 1], [len(good), len(bad)])
                table.setdefault(product, {})[kind] = auroc(np.array(good + bad), labels)
        table["mean"] = {
            kind: float(np.mean([table[product][kind] for product in products]))
            for kind in ("logical", "structural")
        }
    return tables


def _measures(method: Any, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Scores ``(N,)`` of pictures, of their branches, and of the logical one's descriptions."""
    with torch.inference_mode():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        output = method(images)
        found = {"score": output.score}
        if output.branches:
            maps = method.maps(method.standardise(tuple(method.teacher(images))))
            member = method.logic.membership(maps["features"])
            found |= output.branches
            for name, distance in method.logic.distances.items():
                found[f"{name} alone"] = distance(maps[name], member)[0].amax(1)
    arrays = {name: values.numpy() for name, values in found.items()}
    if output.branches:
        z = [output.branches[name].tolist() for name in ("structural", "logical")]
        for rule, joined in RULES.items():
            arrays[f"by {rule}"] = np.array([joined(*pair) for pair in zip(*z, strict=True)])
    return arrays


def table(key: str, result: Path) -> str:
    """Markdown: a line per system and measure, means over seeds in percent."""
    rows = json.loads(result.read_text())["rows"]
    rows = [row for row in rows if key in row]
    products = [p for p in rows[0][key]["score"] if p != "mean"]
    kinds = [(where, kind) for where in (*products, "mean") for kind in ("logical", "structural")]
    lines = [
        f"| measure | seeds | {' | '.join(f'{where}, {kind}' for where, kind in kinds)} | mean |",
        f"|---|---|{'---:|' * (len(kinds) + 1)}",
    ]
    for system in SYSTEMS:
        own = [row for row in rows if row["system"] == system]
        for measure in own[0][key] if own else ():
            columns = [[r[key][measure][where][kind] for r in own] for where, kind in kinds]
            columns.append([np.mean([*r[key][measure]["mean"].values()]) for r in own])
            spread = len(own) > 1
            cells = [
                f"{100 * np.mean(c):.1f}" + (f" ± {100 * np.std(c, ddof=1):.1f}" if spread else "")
                for c in columns
            ]
            name = system if measure == "score" else f"{system}: {measure}"
            seeds = ", ".join(str(r["seed"]) for r in own)
            lines.append(f"| {name} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("line", help="folder of the line, or table")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--systems", help="with semicolons", default=";".join(SYSTEMS))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--cache-dir", default="", help="features, between runs")
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.line == "table":
        print(table("auroc", given.result), table("planted", given.result), sep="\n\n")
        return
    settings = dict(setting.split("=", 1) for setting in given.settings)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    systems = given.systems.split(";")
    ablation(
        given.line,
        seeds,
        settings,
        systems,
        size=given.size,
        cache=given.cache_dir,
        result=given.result,
    )


if __name__ == "__main__":
    main()
