"""PatchCore: the score and the map from the memory, few pictures, several products, the export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.planted import plant_anomaly
from blemish.errors import ConfigError, DataError
from blemish.export import export_model
from blemish.inspector import open_model
from blemish.methods.base import Batch
from blemish.methods.patchcore.config import PatchCoreConfig
from blemish.methods.patchcore.model import PatchCore
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import build_teacher

QUIET = Progress(quiet=True)
CPU = TrainingOptions(device="cpu")
SIZE = (64, 96)


def fitted(count: int = 6, **settings: object) -> PatchCore:
    torch.manual_seed(0)
    method = PatchCore(PatchCoreConfig(**settings), build_teacher(), SIZE).eval()  # type: ignore[arg-type]
    batches = [Batch(images=images(count)[n : n + 4]) for n in range(0, count, 4)]
    with torch.inference_mode():
        method.prepare(batches)
        method.fit_statistics(batches)
    return method


def images(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *SIZE), dtype=torch.uint8, generator=generator)


def fit(good: NDArray[np.uint8], **settings: object) -> Detector:
    detector = Detector("patchcore", image_size=64, settings=settings)
    detector.fit(good, false_alarm_rate=0.2, training=CPU, progress=QUIET)
    return detector


def test_score_and_map_are_the_distances_to_the_rows() -> None:
    method = fitted(rows=50)
    with torch.inference_mode():
        output = method(images(2, seed=1))
        queries, _ = method.embed(list(method.teacher(images(2, seed=1))))
    assert queries.shape == (2, 8 * 12, sum(method.teacher.channels))
    rows = method.bank.columns[0].T  # (M, D)
    assert rows.shape == (50, queries.shape[2])
    distances = torch.cdist(queries, rows).amin(2)  # (N, P)
    assert torch.allclose(output.score, distances.amax(1), rtol=1e-4)
    resized = torch.nn.functional.interpolate(
        distances.view(2, 1, 8, 12), size=SIZE, mode="bilinear"
    )
    expected = [gaussian_filter(one, 4, mode="nearest") for one in resized[:, 0].numpy()]
    assert output.anomaly_map[:, 0].numpy() == pytest.approx(np.stack(expected), rel=1e-3)


def test_with_every_patch_as_a_row_good_pictures_are_at_no_distance() -> None:
    method = fitted(rows=10_000, patches=None)
    assert method.bank.columns.shape[2] == 6 * 8 * 12
    with torch.inference_mode():
        known, new = method(images(6)).score, method(images(2, seed=1)).score
    assert float(known.max()) < 0.02 * float(new.min())


def test_a_share_of_all_patches_stays_as_the_paper_has_it() -> None:
    paper = parse_settings(PatchCoreConfig, {"levels": "2,3", "share": 0.1}, preset="paper")
    torch.manual_seed(0)
    method = PatchCore(paper, build_teacher(), SIZE).eval()  # type: ignore[arg-type]
    assert not method.config.standardise
    assert method.patches.size == (8, 12)
    batch = Batch(images=images(5))
    with torch.inference_mode():
        method.prepare([batch])
        method.fit_statistics([batch])
        output = method(images(2, seed=1))
        queries, _ = method.embed(method.taken_of(method.teacher(images(2, seed=1))))
        largest = method.bank(queries).amax(1)
    assert method.bank.columns.shape == (1, sum(method.teacher.channels[1:]), 48)
    assert bool((output.score < largest).all()), "re-weighting takes a part away"
    assert bool((output.score > 0.5 * largest).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": (4,)}, "levels=4"),
        ({"levels": (2, 1)}, "levels=2,1: expected each level once"),
        ({"levels": (2, 3), "grid": 1}, "grid=1: .* one of 2, 3"),
        ({"neighbourhood": 4}, "neighbourhood=4: expected one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PatchCore(PatchCoreConfig(**settings), build_teacher(), SIZE)  # type: ignore[arg-type]


def test_five_good_pictures_are_enough_to_begin(
    draw_part: Callable[..., NDArray[np.uint8]],
) -> None:
    good = np.stack([draw_part(seed, size=64) for seed in range(5)])
    detector = Detector("patchcore", image_size=64)
    report = detector.fit(good, training=CPU, progress=QUIET).fit_report
    assert (report.training_images, report.calibration_images) == (4, 1)
    assert any("needs at least 99 good images" in note for note in report.notes)
    clean = np.stack([draw_part(100 + seed, size=64) for seed in range(6)])
    bad = [plant_anomaly(c, np.random.default_rng(n), kind="rough")[0] for n, c in enumerate(clean)]
    before = [p.score for p in detector.predict(clean)]
    after = [p.score for p in detector.predict(np.stack(bad))]
    assert sum(b > a for a, b in zip(before, after, strict=True)) >= 5


def test_one_picture_is_refused_and_two_learn_without_limits(
    good_parts: NDArray[np.uint8],
) -> None:
    with pytest.raises(DataError, match="at least 2 are needed"):
        fit(good_parts[:1])
    detector = Detector("patchcore", image_size=64)
    report = detector.fit(good_parts[:2], training=CPU, progress=QUIET).fit_report
    assert any("Not calibrated" in note for note in report.notes)


def test_products_get_rows_of_their_own_and_each_is_as_if_alone(
    draw_part: Callable[..., NDArray[np.uint8]],
) -> None:
    parts = np.stack([draw_part(seed, size=64) for seed in range(16)])
    others = np.random.default_rng(0).integers(0, 256, parts.shape).astype(np.uint8)
    both = fit(np.concatenate([parts, others]), rows=300, standardise=False).method
    alone = fit(parts, rows=300, standardise=False).method
    assert isinstance(both, PatchCore)
    assert isinstance(alone, PatchCore)
    assert both.bank.groups == 2
    assert alone.bank.groups == 1
    new = np.stack([draw_part(seed, size=64) for seed in range(50, 54)])
    pixels = torch.from_numpy(new).permute(0, 3, 1, 2)
    with torch.inference_mode():
        _, group = both.embed(list(both.teacher(pixels)))
        one, other = both(pixels).score, alone(pixels).score
    assert len(group.unique()) == 1
    assert torch.allclose(one, other, rtol=0.15)


@pytest.fixture(scope="module", params=["light", "paper"])
def two_looks(
    request: pytest.FixtureRequest, draw_part: Callable[..., NDArray[np.uint8]]
) -> Iterator[tuple[Detector, NDArray[np.uint8]]]:
    """A model of parts and of their negatives, and the parts."""
    parts = np.stack([draw_part(seed, size=64) for seed in range(16)])
    good = np.concatenate([parts, 255 - parts[:, ::-1]])
    with known_by_name():  # the graph of the real teacher is that of `model_file`
        preset = {"preset": request.param, "teacher": "tiny-three"}
        detector = Detector("patchcore", image_size=SIZE, **preset)
        yield detector.fit(good, false_alarm_rate=0.2, training=CPU, progress=QUIET), parts


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_the_exported_graph_says_the_same(
    two_looks: tuple[Detector, NDArray[np.uint8]], format: str, tmp_path: Path
) -> None:
    pytest.importorskip("openvino" if format == "openvino" else "onnxscript")
    detector, parts = two_looks
    detector.save(tmp_path / "m.blemish")
    report = export_model(tmp_path / "m.blemish", tmp_path / "e.blemish", format=format)  # type: ignore[arg-type]
    assert report.parity.score < 1e-3
    exported = open_model(tmp_path / "e.blemish")
    for n in (1, 3):  # batches of any size
        pairs = zip(detector.predict(parts[:n]), exported.predict(parts[:n]), strict=True)
        for a, b in pairs:  # pictures that trained: distances near nothing, where rounding shows
            assert a.score == pytest.approx(b.score, rel=1e-3)
            assert np.abs(a.anomaly_map - b.anomaly_map).max() < 1e-3 * a.anomaly_map.max()


def test_it_learns_on_and_leaves_other_groups_as_they_were() -> None:
    method = fitted(12)
    method.products = ("noise",)
    before = method.bank.rows_of(0)
    grey = torch.full((12, 3, *SIZE), 90, dtype=torch.uint8)
    grey[:, :, 8:24, 8:24] += (images(12, 3)[:, :, 8:24, 8:24] // 8) + 60
    noise, new = images(3, 9), grey[:2]
    with torch.inference_mode():
        known, odd = method(noise), method(new)
        method.learn([Batch(images=grey[2:])], "grey")
        assert method.products == ("noise", "grey")
        assert torch.equal(method.bank.rows_of(0), before)
        assert torch.equal(method(noise).score, known.score)
        assert float(method(new).score.max()) < 0.5 * float(odd.score.min())
        # More of a known one: the rows are chosen anew from old and new.
        method.learn([Batch(images=images(6, 20))], "noise")
        assert method.bank.rows_of(0).shape == before.shape
        assert not torch.equal(method.bank.rows_of(0), before)
        assert len(method.groups.centre) == method.bank.groups == 2


def test_a_share_of_the_new_patches_stays_where_a_share_is_asked_for() -> None:
    method = fitted(6, share=0.1, groups=1, patches=None)
    count = method.bank.columns.shape[2]
    with torch.inference_mode():
        method.learn([Batch(images=images(3, 20))], "other")
    assert method.bank.columns.shape == (1, 176, count + round(0.1 * 3 * 8 * 12 + 0.5))
