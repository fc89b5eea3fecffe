"""LogicRD: its switches, its statistics, and MVTec LOCO from end to end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from small_teachers import known_by_name, small_teacher

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.demo_line import write_demo_line
from blemish.errors import ConfigError
from blemish.methods.base import Batch
from blemish.methods.logicrd.blocks import gate_loss
from blemish.methods.logicrd.config import LogicRDConfig
from blemish.methods.logicrd.model import LogicRD
from blemish.methods.rd.config import RDConfig
from blemish.methods.rd.model import RD
from blemish.methods.settings import parse_settings
from blemish.outputs.csv_jsonl import CsvSink, JsonLinesSink
from blemish.teachers.teacher import Teacher, build_teacher

CPU = TrainingOptions(device="cpu")

SIZE = (64, 96)


def build(
    size: tuple[int, int] = SIZE, teacher: Teacher | None = None, **settings: object
) -> LogicRD:
    torch.manual_seed(0)
    config = LogicRDConfig(**settings)  # type: ignore[arg-type]
    return LogicRD(config, teacher or small_teacher("tiny-three"), size).eval()


def pictures(n: int, *, seed: int = 0, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """Two kinds of pictures, smooth and striped, in turn."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 6, generator=generator) * 60 + 90
    images = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    images[1::2, :, ::4] = 230
    return (images + torch.randn(n, 3, *size, generator=generator) * 4).clamp(0, 255).byte()


def fitted(method: LogicRD, n: int = 48) -> LogicRD:
    size = method.input_size
    with torch.inference_mode():
        images = pictures(n, size=size)
        method.prepare([Batch(images=images[:32]), Batch(images=images[32:])])
        method.fit_statistics([Batch(images=images[:20]), Batch(images=images[20:])])
        method.fit_held_out([Batch(images=pictures(40, seed=1, size=size))])
    return method


def test_the_settings_are_the_papers() -> None:
    config = LogicRDConfig()
    assert config.semantics
    assert config.compensation
    assert config.gate
    assert config.structural
    assert config.logical
    paper = parse_settings(LogicRDConfig, {}, preset="paper")
    differs = {
        name: (stated, getattr(config, name))
        for name, stated in vars(paper).items()
        if stated != getattr(config, name)
    }
    # What the paper states or does without, and the default here.
    assert differs == {
        "epochs": (200, None),
        "decay_at": (1.0, 0.8),
        "clip_norm": (None, 5.0),
        "student": ("mirror", "light"),
        "balance": (False, True),
        "focus": (0.0, 1.0),
        "flat_loss": (True, False),
        "pseudo_share": (0.0, 0.5),
        "gate_weight": (0.0, 0.1),
        "logic_weight": (0.0, 1.0),
        "described": ("both", "features"),
        "regions": (1, 4),
        "most_groups": (1, 16),
    }


def test_all_switches_off_is_reverse_distillation() -> None:
    plain = build(semantics=False, compensation=False, gate=False, logical=False)
    torch.manual_seed(0)
    reference = RD(RDConfig(), small_teacher("tiny-three"), SIZE).eval()
    images = pictures(2)
    assert plain.state_dict().keys() == reference.state_dict().keys()
    with torch.inference_mode():
        assert torch.equal(plain(images).anomaly_map, reference(images).anomaly_map)
        assert plain(images).departure is None
    assert plain.branch_names == ()
    assert plain.held_out_share == 0
    batch = Batch(images=images)
    losses = [m.loss(batch, m.stages()[0])["total"].item() for m in (plain, reference)]
    assert losses[0] == losses[1]


def slow_z_scores(method: LogicRD, name: str, *, held: torch.Tensor) -> np.ndarray:
    """z-scores ``(N, P)`` of Mahalanobis distances of one description, by scikit-learn."""
    seen = pictures(48, size=method.input_size)

    def parts(images: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            levels = method.standardise(tuple(method.teacher(images)))
            described = method.maps(levels)[name].double().numpy()
        n, channels, height, width = described.shape
        found = [described.mean((2, 3))]
        for divisions in (2, 4):
            if divisions > method.config.regions:
                break
            rows = [round(k * height / divisions) for k in range(divisions + 1)]
            columns = [round(k * width / divisions) for k in range(divisions + 1)]
            for top, bottom in pairwise(rows):
                for left, right in pairwise(columns):
                    found.append(described[:, :, top:bottom, left:right].mean((2, 3)))
        assert found[0].shape == (n, channels)
        return np.stack(found, 1)

    def distances(good: np.ndarray, new: np.ndarray) -> np.ndarray:
        scale = np.maximum(good.std(0), 1e-3 * good.std(0).max())
        covariance = LedoitWolf(assume_centered=True).fit((good - good.mean(0)) / scale)
        inverse = np.linalg.inv(covariance.covariance_)
        apart = (new - good.mean(0)) / scale
        return np.sqrt(np.einsum("nd,de,ne->n", apart, inverse, apart))

    train, new = parts(seen), parts(held)
    z = np.zeros(new.shape[:2])
    for group in (slice(0, None, 2), slice(1, None, 2)):  # the two kinds of pictures
        for part in range(new.shape[1]):
            own = train[group, part]  # 24 pictures, of which a fifth at a time is left out
            fifth = np.arange(24) * 5 // 24
            usual = np.concatenate([distances(own[fifth != k], own[fifth == k]) for k in range(5)])
            z[group, part] = (distances(own, new[group, part]) - usual.mean()) / usual.std()
    return z


@pytest.mark.parametrize("described", ["codes", "features", "both"])
def test_the_score_is_of_distances_and_z_scores_on_pictures_left_out(described: str) -> None:
    method = fitted(build((128, 128), described=described))
    assert method.logic is not None
    assert len(method.logic.groups.centre) == 2
    held = pictures(40, seed=1, size=(128, 128))
    with torch.inference_mode():
        output = method(held)
    logical = np.zeros(40)
    for name in method.config.descriptions:
        z_scores = slow_z_scores(method, name, held=held)
        assert z_scores.shape == (40, 21)
        logical += z_scores.max(1)
    raw = {"structural": output.anomaly_map.flatten(1).amax(1).numpy(), "logical": logical}
    for group in (slice(0, None, 2), slice(1, None, 2)):
        for name, values in raw.items():
            z = (values[group] - values[group].mean()) / values[group].std()
            assert np.allclose(output.branches[name][group], z, atol=2e-2)
    weighed = output.branches["logical"] * method.config.logical_weight
    assert torch.allclose(output.score, torch.logaddexp(output.branches["structural"], weighed))


def test_the_explanation_lies_in_the_oddest_part() -> None:
    method = fitted(build((128, 128)))
    assert method.logic is not None
    distance = method.logic.distances["features"]
    new = pictures(1, seed=2, size=(128, 128))
    new[:, :, 96:, 64:96] = 0  # the part in the last row, third column
    with torch.inference_mode():
        output = method(new)
        maps = method.maps(method.standardise(tuple(method.teacher(new))))
        z, _ = distance(maps["features"], method.logic.membership(maps["features"]))
    worst = int(z.argmax())
    assert output.departure is not None
    peak = int(output.departure[0, 0].argmax())
    assert float(distance.parts.pool[peak, worst]) > 0 or worst == 0
    row, column = divmod(peak, 8)
    assert row >= 5
    assert 3 <= column <= 6


def test_each_branch_can_be_switched_off() -> None:
    images = pictures(3)
    closed = fitted(build(structural=False, described="features"))
    assert closed.stages() == []  # closed form: nothing to train, and no student in the file
    assert not [key for key in closed.inference_state() if key.startswith(("student", "seman"))]
    with torch.inference_mode():
        output = closed(images)
    assert output.branches == {}
    assert output.anomaly_map.shape == (3, 1, *SIZE)
    assert output.departure is not None
    # Of the codes, which are trained without a student.
    logical = fitted(build(structural=False, described="both"))
    assert [group.modules for group in logical.stages()[0].groups] == [(logical.semantics,)]
    assert [key for key in logical.inference_state() if key.startswith("semantics")]
    assert set(logical.loss(Batch(images=images), logical.stages()[0])) == {"total", "logic"}
    both = fitted(build(described="both"))
    assert both.logic is not None
    structural = fitted(build(logical=False))
    with torch.inference_mode():
        levels = both.standardise(tuple(both.teacher(images)))
        logical.semantics, beside = both.semantics, both.logic(both.maps(levels))
        logical.logic = both.logic
        assert torch.allclose(logical(images).score, beside.score, rtol=1e-4)
        output = structural(images)
    assert torch.equal(output.score, output.anomaly_map.flatten(1).amax(1))
    with pytest.raises(ConfigError, match="both off"):
        LogicRDConfig(structural=False, logical=False)
    with pytest.raises(ConfigError, match="needs semantics"):
        LogicRDConfig(semantics=False)
    with pytest.raises(ConfigError, match="described=both needs semantics"):
        LogicRDConfig(semantics=False, compensation=False, described="both")
    with pytest.raises(ConfigError, match="regions=3"):
        LogicRDConfig(regions=3)


def test_codes_learn_to_show_parts_that_changed_places() -> None:
    method = build(structural=False, described="codes", learning_rate=0.003).train()
    images = pictures(16)
    with torch.inference_mode():
        method.prepare([Batch(images=images)])
        levels = tuple(level.clone() for level in method.teacher(images))
    features = tuple(level.detach().clone() for level in levels)
    stage = method.stages()[0]
    optimiser = torch.optim.Adam(stage.groups[0].parameters(), lr=0.003)
    losses = []
    for step in range(30):
        torch.manual_seed(step)
        total = method.loss(Batch(features=features), stage)["total"]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_the_gate_closes_where_pseudo_anomalies_are() -> None:
    method = build(teacher=build_teacher(), gate_weight=1.0, learning_rate=0.01).train()
    images = pictures(16)
    with torch.inference_mode():
        method.prepare([Batch(images=images)])
        levels = tuple(level.clone() for level in method.teacher(images))
    levels = tuple(level.detach().clone() for level in levels)
    stage = method.stages()[0]
    optimiser = torch.optim.Adam(stage.groups[0].parameters(), lr=0.005)
    first = last = math.nan
    for step in range(25):
        torch.manual_seed(step)
        losses = method.loss(Batch(features=levels), stage)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        last = losses["gate"].item()
        first = last if step == 0 else first
    assert last < 0.9 * first
    method.eval()
    clean = method.standardise(levels)
    hurt = [level.clone() for level in clean]
    for level in hurt:
        half = level.shape[2] // 2
        level[:, :, :half, : level.shape[3] // 3] = 0
    with torch.inference_mode():
        _, before = method.reconstruct(clean, method.maps(clean))
        _, after = method.reconstruct(tuple(hurt), method.maps(tuple(hurt)))
    closes = [
        float(
            (torch.sigmoid(b) - torch.sigmoid(a))[:, :, : b.shape[2] // 2, : b.shape[3] // 3].mean()
        )
        for b, a in zip(before, after, strict=True)
    ]
    assert sum(closes) > 0.1


def test_the_gates_loss_weighs_both_kinds_of_place_alike() -> None:
    mask = torch.zeros(1, 1, 2, 4, dtype=torch.bool)
    mask[..., 0, 0] = True
    logits = torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    changed, clean = [], []
    for y in range(4):
        for x in range(8):
            value = float(logits[0, 0, y, x])
            closed = bool(mask[0, 0, y // 2, x // 2])
            (changed if closed else clean).append(math.log1p(math.exp(value if closed else -value)))
    expected = (np.mean(changed) + np.mean(clean)) / 2
    assert float(gate_loss([logits], mask)) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def loco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loco") / "line"
    return write_demo_line(
        root,
        products=["board", "tray"],
        size=(64, 96),
        train=24,
        validation=12,
        test_good=3,
        defects_per_kind=3,
    )


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


def of_brief(**settings: object) -> Detector:
    return Detector("logicrd", image_size=SIZE, teacher="tiny-three", settings=settings)


@pytest.fixture(scope="module")
def detector(loco: Path) -> Detector:
    detector = of_brief(steps=4, batch_size=4)
    detector.fit(loco, false_alarm_rate=0.3, training=CPU, progress=Progress(quiet=True))
    return detector


@pytest.mark.parametrize("off", ["structural", "logical"])
def test_a_detector_of_one_branch_names_none(loco: Path, off: str, tmp_path: Path) -> None:
    """Nor does its file: else no graph of it can be opened."""
    detector = of_brief(**{off: False}, steps=1, batch_size=2)
    assert detector.branch_names == ("structural", "logical")
    detector.fit(loco, false_alarm_rate=0.3, training=CPU, progress=Progress(quiet=True))
    detector.save(tmp_path / "m.blemish")
    for model in (detector, Detector.load(tmp_path / "m.blemish")):
        assert model.branch_names == ()
        assert model.inspect(np.zeros(SIZE, np.uint8)).branches == {}


def test_loco_from_end_to_end(loco: Path, detector: Detector, tmp_path: Path) -> None:
    assert detector.calibration is not None
    assert detector.calibration.n == 24  # validation/good, none of which anything was fitted to
    assert detector.calibration.branch_names == ("structural", "logical")
    mean = detector.evaluate(loco).mean
    for kind in ("logical", "structural", "mean"):
        assert 0 <= mean[f"image_auroc_{kind}"] <= 1
        assert 0 <= mean[f"au_spro_0.05_{kind}"] <= 1
    detector.save(tmp_path / "model.blemish")
    loaded = Detector.load(tmp_path / "model.blemish")
    folder = loco / "tray" / "test" / "logical_anomalies"
    predictions = list(loaded.predict(folder, product="tray"))
    same = list(detector.predict(folder, product="tray"))
    assert [p.score for p in predictions] == pytest.approx([p.score for p in same], abs=1e-5)
    table, lines = tmp_path / "out.csv", tmp_path / "out.jsonl"
    branches = loaded.method.branch_names if loaded.method else ()
    with (
        CsvSink(table, branches=branches) as as_table,
        JsonLinesSink(lines) as as_lines,
    ):
        for prediction in predictions:
            assert set(prediction.branches) == {"structural", "logical"}
            objects = prediction.branches["logical"].verdict != "ok"
            assert (prediction.explanation is not None) == objects
            as_table.write(prediction)
            as_lines.write(prediction)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    for row, prediction in zip(rows, predictions, strict=True):
        assert row["branches"]["logical"]["verdict"] == prediction.branches["logical"].verdict
        if prediction.explanation is not None:
            left, top, right, bottom = row["explanation"]["box"]
            assert 0 <= left < right <= 96
            assert 0 <= top < bottom <= 64
            assert "missing" in row["explanation"]["sentence"]
    assert "branch_logical_verdict" in table.read_text().splitlines()[0]
