"""Two products that look alike: the picture is judged by the stricter limits, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_teachers import known_by_name

from blemish import Detector, open_model
from blemish.calibration import calibrate
from blemish.calibration.strictest import strictest
from blemish.data.sample import DataSet, Sample
from blemish.export.exporter import export_model
from blemish.outputs.run import Outputs, judge_into
from blemish.results import Prediction
from brief_detector import fit

#: Brightness and roughness of three products, of which two are variants of one part.
PRODUCTS = {"left": (150, 20), "right": (150, 20), "other": (40, 4)}


def picture(product: str, seed: int) -> np.ndarray:
    brightness, rough = PRODUCTS[product]
    rng = np.random.default_rng([seed, *product.encode()])
    pixels = brightness + rng.integers(-rough, rough + 1, (64, 64, 3))
    pixels[8:24, 8:16] += 60
    return pixels.clip(0, 255).astype(np.uint8)


def samples_of(product: str, seeds: range, split: str = "train") -> list[Sample]:
    return [
        Sample(Path(f"{product}{k}.png"), product, split, 0, image=picture(product, k))
        for k in seeds
    ]


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


@pytest.fixture(scope="module")
def trained() -> Detector:
    samples = [s for product in PRODUCTS for s in samples_of(product, range(20))]
    detector = Detector("trio", image_size=64, teacher="tiny-three")
    fit(detector, DataSet("made", Path(), tuple(samples)), false_alarm_rate=0.05)
    return detector


def unnamed(product: str) -> list[Sample]:
    return [replace(s, product="") for s in samples_of(product, range(100, 108), "test")]


def said(prediction: Prediction) -> tuple[object, ...]:
    p = prediction
    branches = {name: (b.p_value, b.verdict) for name, b in p.branches.items()}
    return (p.product, p.rival, p.verdict, p.p_value, branches, p.regions == ())


def test_only_pictures_of_look_alikes_have_a_rival(trained: Detector) -> None:
    doubted = [*trained.predict(unnamed("left")), *trained.predict(unnamed("right"))]
    assert all({p.product, p.rival} == {"left", "right"} for p in doubted)
    assert all(p.rival is None for p in trained.predict(unnamed("other")))
    (named,) = trained.predict(picture("left", 100), product="left")
    assert (named.product, named.rival) == ("left", None)  # what is named is not doubted


def test_the_stricter_limits_judge(trained: Detector) -> None:
    limits = trained.calibration
    assert limits is not None
    lower = min(("left", "right"), key=lambda name: limits.limits(name).defect)
    higher = "left" if lower == "right" else "right"
    between = (limits.limits(lower).defect + limits.limits(higher).defect) / 2
    assert limits.judge(between, higher).verdict != "defect"
    assert limits.judge(between, lower).verdict == "defect"
    for products in ((lower, higher), (higher, lower)):
        found = strictest(limits, products, between)
        assert (found.p_value, found.verdict) == limits.judge(between, lower)
        assert found.times_limit == limits.limits(lower).times(between)
    for p in trained.predict(unnamed("left")):
        by_each = [limits.judge(p.score, name) for name in ("left", "right")]
        assert p.p_value == min(found.p_value for found in by_each)
        assert p.mask is not None
        marking = min(limits.limits(name).map for name in ("left", "right"))
        assert (p.mask == (p.anomaly_map > np.float32(marking))).mean() > 0.999
        for name, branch in p.branches.items():
            own = [limits.judge_branches({name: branch.score}, n)[name] for n in ("left", "right")]
            assert branch.p_value == min(one.p_value for one in own if one.p_value is not None)


def test_a_rival_without_limits_of_its_own_does_not_judge(trained: Detector) -> None:
    limits = trained.calibration
    assert limits is not None
    alone = calibrate([r for g in limits.groups if g.product == "left" for r in g.records()])
    trained.calibration = alone
    try:
        of_left = [p for p in trained.predict(unnamed("left")) if p.product == "left"]
    finally:
        trained.calibration = limits
    assert of_left
    for p in of_left:
        assert p.p_value == alone.judge(p.score, "left").p_value
        assert p.rival == "right"  # it is said all the same


def test_the_run_says_it_and_files_hold_it(trained: Detector, tmp_path: Path) -> None:
    samples = unnamed("left")
    outputs = Outputs(trained, root=tmp_path, csv=tmp_path / "v.csv", json=tmp_path / "v.jsonl")
    with outputs:
        judge_into(outputs, samples)
    (note,) = [n for n in outputs.tally.products.notes(named=False) if "as well as" in n]
    assert note.startswith("8 images may show left as well as right: the stricter of their limits")
    header, first, *_ = (tmp_path / "v.csv").read_text().splitlines()
    assert header.startswith("path,product,recognised,rival,verdict,")
    assert {*first.split(",")[1:4]} == {"left", "right"}
    assert '"rival": "' in (tmp_path / "v.jsonl").read_text()
    (row, *_) = outputs.tally.worst()
    assert row.rival in ("left", "right")


def test_an_exported_model_doubts_the_same(trained: Detector, tmp_path: Path) -> None:
    trained.save(tmp_path / "three.blemish")
    export_model(tmp_path / "three.blemish", tmp_path / "out.blemish")
    pictures = [*unnamed("left"), *unnamed("other")]
    exported = open_model(tmp_path / "out.blemish")
    loaded = open_model(tmp_path / "three.blemish")
    expected = [said(p) for p in trained.predict(pictures)]
    assert [said(p) for p in loaded.predict(pictures)] == expected
    assert [said(p) for p in exported.predict(pictures)] == expected
