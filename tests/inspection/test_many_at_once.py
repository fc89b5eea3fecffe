"""Batches with a damaged picture, threads on one model, spawned processes, Ctrl-C."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.errors import DataError
from blemish.inspector import Inspector, open_model
from blemish.results import Prediction
from forked import ForkServer


@pytest.fixture(scope="module")
def openvino_file(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    from blemish.export import export_model

    path = tmp_path_factory.mktemp("openvino") / "part-ov.blemish"
    return export_model(model_file, path, format="openvino").path


@pytest.fixture(scope="module", params=["trained", "onnx", "openvino"])
def model(request: pytest.FixtureRequest) -> Inspector:
    name = {"trained": "model_file", "onnx": "exported_file", "openvino": "openvino_file"}
    return open_model(request.getfixturevalue(name[request.param]), threads=2)


def same(one: Prediction, other: Prediction) -> bool:
    return (
        one.score == other.score
        and one.to_dict() == other.to_dict()
        and one.anomaly_map.tobytes() == other.anomaly_map.tobytes()
    )


def test_a_picture_that_is_cut_short_changes_nothing_for_the_others_of_its_batch(
    model: Inspector, draw_part: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{seed}.png" for seed in range(8)]
    for seed, path in enumerate(paths):
        Image.fromarray(draw_part(400 + seed)).save(path)
    third = paths.pop(2)
    without = list(model.predict(paths, batch_size=8))
    whole = third.read_bytes()
    third.write_bytes(whole[: len(whole) // 2])
    lost: list[Path] = []
    paths.insert(2, third)
    with_it = list(
        model.predict(paths, batch_size=8, on_error=lambda path, error: lost.append(path))
    )
    assert lost == [third]
    assert len(with_it) == 7
    assert all(same(*pair) for pair in zip(with_it, without, strict=True))


def test_eight_threads_on_one_model_judge_as_one_does(
    model: Inspector, draw_part: Callable[..., np.ndarray]
) -> None:
    sizes = [(64, 64), (40, 90), (128, 128), (33, 35), (200, 64), (64, 20), (90, 90), (5, 7)]
    pictures = [
        np.asarray(Image.fromarray(draw_part(500 + k)).resize(size[::-1]))
        for k, size in enumerate(sizes)
    ]
    serial = [model.inspect(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            together = list(pool.map(model.inspect, pictures))
            assert all(same(*pair) for pair in zip(together, serial, strict=True))
        several = pool.map(lambda k: list(model.predict(pictures[k:] + pictures[:k])), range(8))
        for k, found in enumerate(several):
            rolled = serial[k:] + serial[:k]
            for one, other in zip(found, rolled, strict=True):
                assert one.score == pytest.approx(other.score, rel=1e-4)
                assert one.verdict == other.verdict


def test_a_prediction_crosses_to_another_process(model: Inspector, good_parts: np.ndarray) -> None:
    found = model.inspect(good_parts[0])
    again = pickle.loads(pickle.dumps(found))
    assert same(again, found)
    assert np.array_equal(np.asarray(again.overlay()), np.asarray(found.overlay()))


def test_an_endless_iterator_is_judged_as_it_comes(
    model: Inspector, good_parts: np.ndarray
) -> None:
    taken = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield good_parts[taken % 12]

    with closing(model.predict(camera(), batch_size=2)) as predictions:  # type: ignore[type-var]
        found = [next(predictions) for _ in range(5)]
    assert taken < 40
    assert all(p.image is not None for p in found)
    with pytest.raises(DataError, match="type int"):
        list(model.predict(iter([3])))  # type: ignore[list-item]
    with pytest.raises(DataError, match="does not exist"):
        model.predict(["gone.png"])  # now, and not when the first is asked for


#: In a process of its own: ``pathlib`` interns every name, and in a process that holds some
#: 350,000 strings already the interpreter doubles its table of them at that moment, 20 MB that
#: are no path's.
_MANY = """
import sys, tracemalloc
from contextlib import closing
from pathlib import Path
from blemish.inspector import open_model
source = Path(sys.argv[1])
model = open_model(sys.argv[2], threads=2)
list(model.predict(source))  # what is imported on the way is no path's memory
tracemalloc.start()
with closing(model.predict(source.parent)) as predictions:
    assert next(predictions).path == source
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.fixture(scope="module")
def first_of_many(tmp_path_factory: pytest.TempPathFactory, part: Path) -> Path:
    """A picture in a folder with 8,000 names for it."""
    folder = tmp_path_factory.mktemp("many")
    source = Path(shutil.copy(part / "test" / "good" / "00.png", folder / "000000.png"))
    for number in range(1, 8_000):
        os.link(source, folder / f"{number:06}.png")
    return source


def test_many_paths_are_a_matter_of_a_kilobyte_each(
    exported_file: Path, first_of_many: Path
) -> None:
    command = [sys.executable, "-c", _MANY, str(first_of_many), str(exported_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 16 * 2**20


#: As people write scripts: nothing guarded by ``if __name__ == "__main__"``.
_SCRIPT = """
import multiprocessing
multiprocessing.set_start_method("spawn")
print("started")
import numpy as np
from blemish import Detector
good = np.random.default_rng(0).integers(90, 110, (8, 64, 64, 3)).astype(np.uint8)
detector = Detector("rd", image_size=64, settings={"steps": 2, "batch_size": 4})
detector.fit(good, false_alarm_rate=0.3)
print(len(list(detector.predict(good))))
"""


def test_a_script_without_a_guard_runs_once_where_processes_are_spawned(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(_SCRIPT)
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "started\n8\n", result.stderr


#: As a notebook does: Ctrl-C ends the cell and not the kernel.
_CELL = """
import os, signal, sys, threading, time
import numpy as np
from blemish import Detector, BlemishError, open_model
model = open_model(sys.argv[1])
picture = np.random.default_rng(0).integers(0, 255, (900, 900, 3)).astype(np.uint8)
judged = 0
try:
    for prediction in model.predict(picture for _ in range(2000)):
        judged += 1
        if judged == 3:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
except KeyboardInterrupt:
    print("cell ended", judged < 2000)
good = picture[None, :64, :64].repeat(8, 0) + np.arange(8, dtype=np.uint8)[:, None, None, None]
def stop_training():
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=stop_training, daemon=True).start()
try:
    Detector("rd", image_size=64, settings={"steps": 100000, "batch_size": 4}).fit(good)
except BlemishError as error:
    print("Nothing of it is kept" in str(error))
print(model.inspect(picture).verdict is not None, threading.active_count() < 9)
sys.exit()
"""


def test_ctrl_c_in_a_notebook_leaves_the_model_usable(
    exported_file: Path, forks: ForkServer, tmp_path: Path
) -> None:
    result = forks.run(exported_file, before=_CELL, cwd=tmp_path)
    assert result.stdout == "cell ended True\nTrue\nTrue True\n", result.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_is_flat_over_many_passes_of_changing_size_in_openvino(openvino_file: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from blemish import open_model\n"
        "network, prepare = open_model(sys.argv[1]).ready()\n"
        "rng = np.random.default_rng(0)\n"
        "pixels = rng.integers(0, 256, (8, *prepare.size, 3)).astype(np.uint8)\n"
        "def mib():\n"
        "    return 4096 * int(open('/proc/self/statm').read().split()[1]) / 2**20\n"
        "for number in range(20_001):\n"
        "    network(pixels[: rng.integers(1, 9)])\n"
        "    if number % 4000 == 2000 or number == 20_000: print(mib(), flush=True)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(openvino_file)],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    sizes = [float(line) for line in result.stdout.split()]
    assert len(sizes) == 6, result.stderr
    assert max(sizes) - sizes[0] < 16, sizes
