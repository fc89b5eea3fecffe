"""Random configurations, each learned, exported and judged alike: settings, sizes, pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_teachers import TEACHERS, known_by_name

from blemish import Detector, TrainingOptions, open_model
from blemish._progress import Progress
from blemish.export import export_model
from blemish.export.parity import LARGEST_DIFFERENCE, ROUNDING
from blemish.methods import names
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig
from blemish.results import Prediction

Pixels = NDArray[Any]
#: What is drawn of each method's settings, beside so short a training.
SETTINGS: dict[str, dict[str, list[Any]]] = {
    "trio": {
        "pool": [400],
        "rows": [30, 100],
        "neighbourhood": [1, 3, 5],
        "layout_weight": [0.0, 0.4],
        "sigma": [0.0, 4.0],
        "coarse": [0, 32],
    },
    "patchcore": {
        "rows": [40],
        "patches": [None, 20],
        "standardise": [False, True],
        "groups": [1, 8],
        "reweight": [None, 3],
    },
    "rd": {"student": ["light", "mirror"], "balance": [False, True], "standardise": [False, True]},
    "borad": {"prototypes": [2, 4], "view_rate": [0.0, 0.5], "residual": [False, True]},
    "hfr": {"levels": [1], "loss": ["cosine", "mse"], "fusion": ["sum", "product"]},
    "logicrd": {
        "described": ["both", "codes", "features"],
        "regions": [1, 2],
        "structural": [False, True],
        "gate": [False, True],
    },
    "anomem": {
        "encoder": ["teacher", "scratch"],
        "scales": [1],
        "memory": [False, True],
        "prototypes": [(16, 8, 8)],
        "channels": [16],
        "width": [8],
    },
    # So fast that the residual is of the picture: all good ones alike, rounding would be a defect.
    "radar": {
        "learning_rate": [0.05],
        "timestep": [50, 300],
        "usual": [False, True],
        "directions": [0, 3],
        "trees": [8],
        "one_sided": [False, True],
        "patches_per_image": [1],
    },
}


class Configuration(NamedTuple):
    """What is drawn."""

    method: str
    settings: dict[str, Any]
    teacher: str
    size: tuple[int, int]  # of the input, or of a tile
    picture: tuple[int, int]
    others: tuple[tuple[int, int], ...]  # sizes of the pictures judged
    kind: str  # of the pixels
    overlap: int | None  # of tiles; None: none
    coarse: bool  # the whole beside them
    region: bool
    any_size: bool
    batches: tuple[int, int]  # of the trained model and of the exported one
    format: str
    numbers: int


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    def one_of(values: Any) -> Any:
        return draw(st.sampled_from(list(values)))

    def side(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    method = one_of(names())
    given = {key: one_of(values) for key, values in SETTINGS.get(method, {}).items()}
    if issubclass(method_class(method).config_class, TrainedConfig):
        given |= {"steps": 1, "batch_size": one_of([2, 3])}
    overlap = one_of([None, None, 0, 8])
    size = (one_of([32, 64, 96]), one_of([32, 64, 128]))
    picture = (side(40, 130), side(40, 130))
    region = draw(st.booleans())
    shapes = [picture, (side(20, 160), side(20, 160)), (side(20, 160), side(20, 160))]
    return Configuration(
        method,
        given,
        one_of(TEACHERS),
        size,
        picture,
        tuple(shapes[:1] * 3 if region else shapes),
        one_of(["grey", "colour", "alpha", "deep"]),
        overlap,
        overlap is not None and draw(st.booleans()),
        region,
        overlap is None and not region and draw(st.booleans()),
        (side(1, 5), side(1, 5)),
        one_of(["onnx", "openvino"]),
        side(0, 99),
    )


def part(size: tuple[int, int], kind: str, rng: np.random.Generator) -> Pixels:
    """A picture of waves and noise, ``(H, W)`` or ``(H, W, C)``."""
    y, x = np.mgrid[: size[0], : size[1]] / 64
    wave = 0.5 + 0.3 * np.sin(7 * y + rng.random()) * np.cos(5 * x)
    values = wave[..., None] + 0.05 * rng.normal(size=(*size, 4)) * (1, 2, 3, 0)
    values[..., 3] = 1.0
    values = values.clip(0, 1)
    if kind == "deep":
        return (65535 * values[..., 0]).astype(np.uint16)
    channels = {"grey": 1, "colour": 3, "alpha": 4}[kind]
    found = (255 * values[..., :channels]).astype(np.uint8)
    return found[..., 0] if kind == "grey" else found


def learned(c: Configuration) -> tuple[Detector, list[Pixels]]:
    """A detector that has learned twelve pictures, and six to judge, three with a defect."""
    rng = np.random.default_rng(c.numbers)
    good = np.stack([part(c.picture, c.kind, rng) for _ in range(12)])
    tiled = c.overlap is not None
    detector = Detector(
        c.method,
        teacher=c.teacher,
        settings=c.settings,
        image_size=None if tiled else c.size,
        tile=c.size if tiled else None,
        overlap=c.overlap,
        coarse=c.coarse,
    )
    roi = None
    if c.region:
        roi = np.zeros(c.picture, np.uint8)
        roi[c.picture[0] // 8 : -4, c.picture[1] // 6 :] = 255
    detector.fit(
        good,
        false_alarm_rate=0.3,
        roi=roi,
        seed=c.numbers,
        training=TrainingOptions(device="cpu"),
        progress=Progress(quiet=True),
    )
    judged = [part(shape, c.kind, rng) for shape in (*c.others, *c.others)]
    for picture in judged[3:]:
        picture[5:15, 5:15] = picture.max() - picture[5:15, 5:15]
    return detector, judged


def difference(one: Any, other: Any, scale: float) -> float:
    return float(np.abs(np.asarray(one) - np.asarray(other)).max()) / scale


def alike(c: Configuration, folder: Path) -> None:
    """Learn, save, export and compare, whole."""
    note(str(c))
    detector, pictures = learned(c)
    detector.save(folder / "m.blemish")
    export_model(
        folder / "m.blemish",
        folder / "x.blemish",
        format=c.format,  # type: ignore[arg-type]
        any_size=c.any_size,
        progress=Progress(quiet=True),
    )
    exported = open_model(folder / "x.blemish")
    assert exported.products == detector.products
    wanted = list(detector.predict(pictures, batch_size=c.batches[0]))
    found = list(exported.predict(pictures, batch_size=c.batches[1]))
    scores = np.array([p.score for p in wanted])
    scale = max(float(np.median(np.abs(scores))), float(scores.std())) or 1.0
    for one, other in zip(wanted, found, strict=True):
        compare(one, other, scale, detector)


def compare(one: Prediction, other: Prediction, scale: float, detector: Detector) -> None:
    assert difference(one.score, other.score, scale) <= LARGEST_DIFFERENCE
    assert one.anomaly_map.shape == other.anomaly_map.shape
    largest = float(np.abs(one.anomaly_map).max()) or 1.0
    assert difference(one.anomaly_map, other.anomaly_map, largest) <= LARGEST_DIFFERENCE
    assert one.branches.keys() == other.branches.keys()
    for name, branch in one.branches.items():
        unit = max(abs(branch.score), 1.0)  # standardised: one is their unit
        assert difference(branch.score, other.branches[name].score, unit) <= LARGEST_DIFFERENCE
    assert detector.calibration is not None
    limits = detector.calibration.limits(one.product)
    on_limit = any(
        abs(p.score - limit) <= ROUNDING * scale
        for p in (one, other)
        for limit in (limits.defect, limits.unsure)
    )
    assert one.verdict == other.verdict or on_limit
    assert one.recognised == other.recognised


def check(examples: int, number: int, folder: Path) -> None:
    """So many configurations, drawn by a number: the same ones in every run."""
    seen: set[str] = set()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(c=configurations())
    def each(c: Configuration) -> None:
        assume(str(c._replace(numbers=0)) not in seen)  # hypothesis likes to come back
        seen.add(str(c._replace(numbers=0)))
        with tempfile.TemporaryDirectory(dir=folder) as own:
            alike(c, Path(own))

    each()


def test_a_few_configurations_judge_alike_once_exported(tmp_path: Path) -> None:
    check(2, 48, tmp_path)  # quickly exported, one of each format, one with a coarse look


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_two_hundred_configurations_judge_alike_once_exported(number: int, tmp_path: Path) -> None:
    check(50, number, tmp_path)
