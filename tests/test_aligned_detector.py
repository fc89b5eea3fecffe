"""A detector that aligns pictures: parts are judged as they should lie, or it is told why not."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions, open_model
from blemish._progress import Progress
from blemish.data.images.registration import turning
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError
from blemish.outputs.csv_jsonl import CsvSink

cv2 = pytest.importorskip("cv2")

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
SIZE = (120, 160)
PLACES = [(0.0, 0.0, 0.0), (4.0, 0.03, -0.02), (-5.0, -0.05, 0.05), (2.0, 0.05, 0.0)]
Pictures = np.ndarray


def parts(count: int, seed: int = 0, *, round_: bool = False) -> Pictures:
    """A lopsided part on a dark field, with a little grain, all as they should lie."""
    rng = np.random.default_rng(seed)
    clean = np.full((*SIZE, 3), 25, np.uint8)
    if round_:
        cv2.circle(clean, (80, 60), 40, (140, 110, 90), -1)
        cv2.circle(clean, (80, 60), 20, (10, 10, 10), -1)
    else:
        cv2.rectangle(clean, (45, 35), (115, 85), (150, 120, 90), -1)
        cv2.rectangle(clean, (85, 40), (105, 55), (220, 220, 220), -1)
    grain = rng.normal(0, 3, (count, *SIZE, 3))
    return (clean + grain).clip(0, 255).astype(np.uint8)


def moved(image: Pictures, angle: float, right: float, down: float) -> Pictures:
    matrix = turning(angle, right, down, SIZE)
    return cv2.warpAffine(image, matrix, SIZE[::-1], borderMode=cv2.BORDER_REFLECT_101)


def fitted(data: object = None, method: str = "patchcore", **options: object) -> Detector:
    fit = {"align": True, "false_alarm_rate": 0.2, "training": CPU, "progress": QUIET}
    own = {name: options.pop(name) for name in list(options) if name in ("align", "roi")}
    how = {"image_size": (64, 96), **options} if "tile" not in options else options
    detector = Detector(method, teacher="tiny-three", **how)  # type: ignore[arg-type]
    return detector.fit(parts(12) if data is None else data, **{**fit, **own})  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


@pytest.fixture(scope="module")
def trained() -> Detector:
    return fitted()


def test_a_part_is_judged_alike_wherever_it_lies(trained: Detector) -> None:
    [good] = parts(1, seed=7)
    flaw = good.copy()
    flaw[65:75, 60:70] = (255, 0, 0)
    scores = {}
    for place in PLACES:
        one, other = trained.inspect(moved(good, *place)), trained.inspect(moved(flaw, *place))
        scores[place] = one.score, other.score
        assert one.pose is not None
        assert one.pose.aligned
        assert one.pose.angle == pytest.approx(place[0], abs=0.5)
        # Where it is in the picture as it was given.
        x, y = turning(*place, SIZE) @ [64.5, 69.5, 1]
        at = np.unravel_index(int(other.anomaly_map.argmax()), SIZE)
        assert np.hypot(at[1] - x, at[0] - y) < 12
    goods, flaws = zip(*scores.values(), strict=True)
    assert max(goods) < min(flaws)
    unaligned = fitted(align=False)
    assert unaligned.inspect(moved(good, *PLACES[2])).score > unaligned.inspect(good).score
    assert unaligned.inspect(good).pose is None


def test_what_shows_another_thing_is_never_judged_with_confidence(trained: Detector) -> None:
    [foreign] = parts(1, round_=True)
    blank = np.full((*SIZE, 3), 25, np.uint8)
    turned = moved(parts(1)[0], 60, 0, 0)
    for image in (foreign, blank, turned, parts(1)[0][:, :100]):
        found = trained.inspect(image)
        assert found.verdict == "unsure"
        assert {branch.verdict for branch in found.branches.values()} <= {"unsure", None}
        assert found.pose is not None
        assert not found.pose.aligned
        note = found.notes[0]
        assert note.kind == "alignment"
        assert note.sentence.startswith("It cannot be aligned: ")
        said = found.to_dict()
        assert said["pose"]["aligned"] is False
        assert "cannot be aligned" in said["notes"][0]


def test_what_falls_out_of_the_frame_is_not_looked_at(trained: Detector) -> None:
    found = trained.inspect(moved(parts(1)[0], 0, 0.05, 0))
    assert found.roi is not None
    assert not found.roi[:, :5].any()
    assert found.roi[3:-3, 12:-3].all()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("trio", {}),
        ("trio", {"tile": 64}),
        ("patchcore", {"tile": 64, "roi": np.pad(np.ones((80, 120), bool), 20)}),
        ("borad", {"settings": {"steps": 3, "batch_size": 4}}),
    ],
)
def test_with_tiles_regions_and_every_kind_of_method(
    method: str, options: dict[str, object], tmp_path: Path
) -> None:
    model = fitted(
        np.stack([moved(p, *PLACES[n % 4]) for n, p in enumerate(parts(12))]), method, **options
    )
    image = moved(parts(1, seed=4)[0], *PLACES[1])
    before = model.inspect(image)
    assert before.pose is not None
    assert before.pose.aligned
    assert before.anomaly_map.shape == SIZE
    model.save(tmp_path / "m.blemish")
    after = open_model(tmp_path / "m.blemish").inspect(image)
    assert after.score == before.score
    assert after.pose == before.pose
    assert (after.anomaly_map == before.anomaly_map).all()


def test_the_exported_model_aligns_as_the_trained_one(trained: Detector, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from blemish.export.exporter import export_model

    trained.save(tmp_path / "m.blemish")
    for n, image in enumerate(parts(4, seed=2)):
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(moved(image, *PLACES[n])).save(tmp_path / "good" / f"{n}.png")
    export_model(tmp_path / "m.blemish", tmp_path / "m.onnx", images=tmp_path / "good")
    exported = open_model(tmp_path / "m.onnx")
    image = moved(parts(1, seed=4)[0], *PLACES[2])
    one, other = trained.inspect(image), exported.inspect(image)
    assert one.pose == other.pose
    assert other.score == pytest.approx(one.score, rel=1e-3)
    assert exported.inspect(parts(1, round_=True)[0]).verdict == "unsure"


def test_good_pictures_that_cannot_be_aligned_are_not_learned(trained: Detector) -> None:
    data = np.concatenate([parts(12), parts(1, round_=True)])
    model = fitted(data)
    [(_, reason)] = model.fit_report.failures
    assert "cannot be aligned" in reason
    assert model.fit_report.training_images + model.fit_report.calibration_images == 12
    told: list[str] = []
    copied = fitted(data)
    copied.calibrate(
        np.concatenate([parts(5, seed=3), parts(1, round_=True)]),
        on_error=lambda path, error: told.append(str(error)),
    )
    assert copied.calibration is not None
    assert copied.calibration.n == 5
    assert "cannot be aligned" in told[0]


def two_products() -> DataSet:
    nuts = [Sample(Path(f"n{i}"), "nut", "train", 0, image=p) for i, p in enumerate(parts(8))]
    rings = [
        Sample(Path(f"r{i}"), "ring", "train", 0, image=p)
        for i, p in enumerate(parts(8, round_=True))
    ]
    return DataSet("array", Path("array"), (*nuts, *rings))


def test_each_product_has_its_reference() -> None:
    model = fitted(two_products())
    turned = moved(parts(1)[0], 4, 0.02, 0)
    named = model.inspect(turned, product="nut").pose
    best = model.inspect(turned).pose
    assert named is not None
    assert named == best
    assert not model.inspect(turned, product="ring").pose.aligned  # type: ignore[union-attr]
    some = fitted(two_products(), align=["nut"])
    assert some.inspect(turned, product="ring").pose is None
    with pytest.raises(ConfigError, match=r"aligns nut and no other .*name it \(--product\)"):
        some.inspect(turned)


def test_bad_input_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="'cap' was to be aligned; the products are nut, ring"):
        fitted(two_products(), align=["cap"])
    noise = np.random.default_rng(0).integers(0, 255, (10, *SIZE, 3)).astype(np.uint8)
    with pytest.raises(ConfigError, match=r"9 of 9 good pictures cannot be aligned .*fit this"):
        fitted(noise)
    model = fitted(two_products(), method="trio")
    with pytest.raises(ConfigError, match="no reference for a new product, 'cap'"):
        model.learn(parts(4), product="cap", progress=QUIET)


def test_a_damaged_alignment_is_refused(trained: Detector) -> None:
    from blemish.data.images.preprocess import Preprocessing

    assert trained.preprocessing is not None
    values = trained.preprocessing.to_json()
    assert Preprocessing.from_json(values) == trained.preprocessing
    values["alignment"][""]["limit"] = 3
    with pytest.raises(ConfigError, match="alignment is damaged"):
        Preprocessing.from_json(values)


def test_the_table_says_what_was_aligned(trained: Detector, tmp_path: Path) -> None:
    with CsvSink(tmp_path / "v.csv", aligns=trained.aligns) as sink:
        for image in (parts(1)[0], parts(1, round_=True)[0]):
            sink.write(replace(trained.inspect(image), path=Path("a.png")))
    with (tmp_path / "v.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["aligned"] for row in rows] == ["1", "0"]
    assert float(rows[0]["alignment_quality"]) > 0.9 > float(rows[1]["alignment_quality"])


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[1] / "docs" / "alignment.md"
    [block] = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (tmp_path / "parts").mkdir()
    for number, picture in enumerate(parts(6)):
        Image.fromarray(picture).save(tmp_path / "parts" / f"{number}.png")
    Image.fromarray(moved(parts(1, seed=7)[0], *PLACES[1])).save(tmp_path / "part.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(block, str(page), "exec"), names)
    assert names["prediction"].pose.quality > 0.9
