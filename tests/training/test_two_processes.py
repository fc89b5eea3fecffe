"""Determinism across processes: the same seed gives the same bits, whatever order sets come in."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.methods import names
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig

#: Those of every run: in closed form and by steps; all of them when slow tests run.
_ALWAYS = ("trio", "rd")
#: A set of them shows in which order those of text come in a process.
_WORDS = ("bolt", "nut", "screw", "washer")


def fitted(folder: Path, name: str) -> dict[str, Any]:
    """What a training makes of the folder, to the last bit, as JSON."""
    trained = issubclass(method_class(name).config_class, TrainedConfig)
    settings: dict[str, int] = {"steps": 2, "batch_size": 4} if trained else {"rows": 50}
    detector = Detector(name, image_size=64, settings=settings)
    cpu, quiet = TrainingOptions(device="cpu"), Progress(quiet=True)
    detector.fit(folder, false_alarm_rate=0.3, seed=5, training=cpu, progress=quiet)
    assert detector.method is not None
    assert detector.calibration is not None
    weights = hashlib.sha256()
    for key, value in sorted(detector.method.inference_state().items()):
        weights.update(key.encode() + value.contiguous().numpy().tobytes())
    predictions = detector.predict(sorted(folder.rglob("*.png"))[:4])
    return {
        "products": list(detector.products),
        "weights": weights.hexdigest(),
        "calibration": json.dumps(detector.calibration.to_json()),
        "scores": [prediction.score.hex() for prediction in predictions],
    }


def another_order(order: list[str]) -> str:
    """A seed of Python's hashes with which sets of text come in another order than here."""
    program = f"import json; print(json.dumps(list(set({_WORDS!r}))))"
    for seed in map(str, range(1, 50)):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        words = [sys.executable, "-S", "-c", program]
        found = subprocess.run(words, env=environment, capture_output=True, check=True).stdout
        if json.loads(found) != order:
            return seed
    raise AssertionError("every seed gives the same order")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "methods", [_ALWAYS, pytest.param(tuple(names()), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_another_process_gives_the_same_bits(
    methods: tuple[str, ...], good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Three products in one model, learned in this process and in one that has just begun."""
    for number, product in enumerate(("washer", "bolt", "nut")):
        (tmp_path / product / "train" / "good").mkdir(parents=True)
        for index, picture in enumerate(good_parts[:8]):
            pixels = picture.copy()
            pixels[8 * number : 8 * number + 20, 10:30] = 40 * number
            Image.fromarray(pixels).save(tmp_path / product / "train" / "good" / f"{index}.png")
    order = list(set(_WORDS))
    result = subprocess.run(
        [sys.executable, __file__, tmp_path, *methods],
        env={**os.environ, "PYTHONHASHSEED": another_order(order)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    there = json.loads(result.stdout)
    assert there.pop("order") != order
    assert there.keys() == set(methods)
    for name in methods:
        here = fitted(tmp_path, name)
        assert sorted(here["products"]) == ["bolt", "nut", "washer"]
        assert there[name] == here, name


if __name__ == "__main__":
    found: dict[str, Any] = {name: fitted(Path(sys.argv[1]), name) for name in sys.argv[2:]}
    print(json.dumps({"order": list(set(_WORDS)), **found}))
