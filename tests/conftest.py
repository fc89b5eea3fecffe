"""Pictures, data sets and a trained model that several tests share."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile

# Before the first import of torch, here and in the processes that tests start: several threads on
# small inputs are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish.data.planted import plant_anomaly
from blemish.demo_line import render
from blemish.runtime.cores import usable_cores
from exported_once import export_once
from forked import ForkServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Environment variable: folder of the fork server that the workers share.
_FORKS = "BLEMISH_TEST_FORK_SERVER"
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

Pixels = NDArray[np.uint8]
PartFolder = Callable[..., Path]

if find_spec("torchvision") is not None:
    import torch

    if torch.version.cuda is None:
        # The public torchvision wheel links CUDA. Beside a CPU build of torch it can be imported
        # once the two operators that it registers more about are declared (they still cannot be
        # called).
        _OPERATORS = torch.library.Library("torchvision", "DEF")
        _OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected now stays: no search for garbage looks through it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)  # where xdist is absent nobody asks
def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than cores: while one waits for a server or a page, another works."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return usable_cores() + 1


def pytest_configure(config: pytest.Config) -> None:
    """One fork server for all workers: each would import the same for seconds."""
    if getattr(config.option, "numprocesses", None):  # of the process that starts the workers
        folder = tempfile.TemporaryDirectory()
        server = ForkServer(Path(folder.name))
        os.environ[_FORKS] = folder.name
        config.add_cleanup(folder.cleanup)
        config.add_cleanup(server.close)  # before its folder goes


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``mvtec/{bottle,pill}`` and ``lookout/{cookie,alien}``, beside the repository."""
    if not (_SHARED / "mvtec" / "bottle" / "train" / "good").is_dir():
        pytest.skip("needs the inspection images in ../shared/data, which are not here")
    return _SHARED


def good_part(seed: int, size: int = 64) -> Pixels:
    """A synthetic picture ``(size, size, 3)`` of a brushed metal part."""
    image, _ = render("metal", size=size, rng=np.random.default_rng([9, seed]))
    return image


@pytest.fixture(scope="session", autouse=True)
def _weights() -> None:
    # Here, because it imports torch: the process that only gives out the tests need not.
    from weights_once import read_weights_once

    read_weights_once()


@pytest.fixture(scope="session", autouse=True)
def _graphs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each model is exported once a run, whichever worker or process asks for it."""
    if find_spec("onnxscript") is None:
        return
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "graphs"
    folder.mkdir(exist_ok=True)
    os.environ["BLEMISH_TEST_GRAPHS"] = str(folder)
    export_once(folder)


@pytest.fixture(scope="session")
def forks(_graphs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Runs ``blemish`` in processes of its own, after one import of everything."""
    folder = os.environ.get(_FORKS)
    server = ForkServer(Path(folder) if folder else tmp_path_factory.mktemp("forks"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def _chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop]]:
    """One browser for all pages, and the event loop by which it is spoken to."""
    sync_api = pytest.importorskip("playwright.sync_api")
    options = [
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with sync_api.sync_playwright() as playwright:
        path = shutil.which("chromium")
        opened = playwright.chromium.launch(executable_path=path, args=options)
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield opened, loop
        asyncio._set_running_loop(loop)
        opened.close()


@pytest.fixture(scope="module")
def browser(_chromium: tuple[Browser, asyncio.AbstractEventLoop]) -> Iterator[Browser]:
    """That browser. Only while a module has it does this thread have a running event loop."""
    opened, loop = _chromium
    asyncio._set_running_loop(loop)
    yield opened
    asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def draw_part() -> Callable[..., Pixels]:
    """``draw_part(seed, size=64)``: a good part of its own for every seed."""
    return good_part


@pytest.fixture(scope="session")
def good_parts() -> Pixels:
    """Twelve good parts ``(12, 64, 64, 3)`` uint8."""
    return np.stack([good_part(seed) for seed in range(12)])


@pytest.fixture(scope="session")
def part_folder() -> PartFolder:
    """``part_folder(root)``: a user's folder with 12 good images to train on and 4 to test."""

    def write(root: Path, *, train: int = 12) -> Path:
        for seed in range(train):
            _save(root / "train" / "good" / f"{seed:02}.png", good_part(seed))
        for seed in range(2):
            _save(root / "test" / "good" / f"{seed:02}.png", good_part(100 + seed))
            rng = np.random.default_rng(seed)
            bad, mask = plant_anomaly(good_part(200 + seed), rng, kind="stain")
            _save(root / "test" / "stain" / f"{seed:02}.png", bad)
            _save(root / "ground_truth" / "stain" / f"{seed:02}_mask.png", 255 * mask)
        return root

    return write


def _save(path: Path, pixels: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory, part_folder: PartFolder) -> Path:
    """The folder of :func:`part_folder`, to be read only."""
    return part_folder(tmp_path_factory.mktemp("data") / "part")


@pytest.fixture(scope="session")
def new_good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve good images that no model has learned, to be read only."""
    folder = tmp_path_factory.mktemp("new") / "good"
    for seed in range(300, 312):
        _save(folder / f"{seed}.png", good_part(seed))
    return folder


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory, part: Path) -> Path:
    """A model trained on :func:`part` for four steps, to be read only."""
    from blemish import Detector
    from blemish._progress import Progress

    detector = Detector("rd", image_size=64, settings={"steps": 4, "batch_size": 4})
    detector.fit(part, false_alarm_rate=0.3, progress=Progress(quiet=True))
    path = tmp_path_factory.mktemp("model") / "part.blemish"
    detector.save(path)
    return path


@pytest.fixture(scope="session")
def exported_file(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    """:func:`model_file` exported for ONNX Runtime, to be read only."""
    from blemish.export import export_model

    path = tmp_path_factory.mktemp("exported") / "part-onnx.blemish"
    return export_model(model_file, path).path
