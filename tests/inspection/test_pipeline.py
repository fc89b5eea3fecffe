"""The pipeline: order, the same batches as without threads, bounded, overlapping, clean ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish.inspection.pipeline as pipeline
from blemish.calibration import CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import load_input
from blemish.errors import ImageError
from blemish.inspection.network import NetworkOutput
from blemish.inspection.pipeline import judge_samples
from blemish.inspection.prediction import make_prediction

PREPARE = Preprocessing(32, 64)


def network(pixels: Any) -> NetworkOutput:
    """Depends on the whole batch, as summation order in a real one does."""
    maps = pixels.mean(3, dtype=np.float32) + np.float32(len(pixels))
    return NetworkOutput(maps, maps.max((1, 2)).astype(np.float64), {"mean": maps.mean((1, 2))})


def picture(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(10, 60)), int(rng.integers(10, 60)), 3)
    pixels = rng.integers(0, 256, size).astype(np.uint8)
    return Sample(Path(f"#{seed}"), "nut", "test", None, image=pixels)


def broken(folder: Path, name: str) -> Sample:
    (folder / name).write_bytes(b"no image")
    return Sample(folder / name, "nut", "test", None)


def test_the_same_answers_as_one_after_the_other_without_threads() -> None:
    samples = [picture(seed) for seed in range(23)]
    limits = calibrate([CalibrationRecord("nut", s, s) for s in range(150, 250)])
    pairs = list(judge_samples(network, PREPARE, iter(samples), calibration=limits, batch_size=5))
    expected = []
    for start in range(0, 23, 5):
        batch = samples[start : start + 5]
        loaded = [load_input(sample, PREPARE) for sample in batch]
        output = network(np.stack([one.pixels for one in loaded]))
        expected += [
            make_prediction(
                sample,
                NetworkOutput(
                    output.maps[row][None],
                    output.scores[row][None],
                    {"mean": output.branches["mean"][row][None]},
                ),
                source_size=loaded[row].source_size,
                preprocessing=PREPARE,
                calibration=limits,
            )
            for row, sample in enumerate(batch)
        ]
    assert [sample.path for sample, _ in pairs] == [sample.path for sample in samples]
    for (_, got), wanted in zip(pairs, expected, strict=True):
        assert (got.score, got.verdict, got.branches) == (
            wanted.score, wanted.verdict, wanted.branches,
        )  # fmt: skip
        np.testing.assert_array_equal(got.anomaly_map, wanted.anomaly_map)
        assert got.regions == wanted.regions


def test_unreadable_images_keep_their_place(tmp_path: Path) -> None:
    samples = [picture(seed) for seed in range(12)]
    for place in (0, 4, 5, 6, 7, 11):  # a whole batch among them
        samples[place] = broken(tmp_path, f"{place}.png")
    events: list[str] = []
    pairs = judge_samples(
        network, PREPARE, samples, calibration=None, batch_size=4,
        on_error=lambda path, error: events.append(path.name),
    )  # fmt: skip
    for sample, _ in pairs:
        events.append(sample.path.name)
    assert events == [sample.path.name for sample in samples]


def test_without_a_handler_the_answers_before_the_bad_one_come_first(tmp_path: Path) -> None:
    samples = [picture(0), picture(1), broken(tmp_path, "bad.png"), picture(3)]
    pairs = judge_samples(network, PREPARE, samples, calibration=None, batch_size=2)
    assert [next(pairs)[0].path.name, next(pairs)[0].path.name] == ["#0", "#1"]
    with pytest.raises(ImageError, match=r"bad\.png"):
        next(pairs)


def test_samples_are_taken_as_needed_from_an_endless_iterator() -> None:
    taken = 0

    def endless() -> Iterator[Sample]:
        nonlocal taken
        while True:
            taken += 1
            yield picture(taken)

    pairs = judge_samples(network, PREPARE, endless(), calibration=None, batch_size=4)
    ahead = []
    for count, _ in zip(range(1, 101), pairs, strict=False):
        ahead.append(taken - count)
    pairs.close()  # type: ignore[attr-defined]
    # Three batches, and what is between the threads.
    assert max(ahead) <= 4 * 4 + 2 * pipeline.MOST_DECODERS
    assert taken < 100 + 4 * 4 + 2 * pipeline.MOST_DECODERS


def test_few_predictions_are_held_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal made
        made += 1
        return make_prediction(*args, **kwargs)

    monkeypatch.setattr(pipeline, "make_prediction", counted)
    samples = (picture(seed) for seed in range(64))
    pairs = judge_samples(network, PREPARE, samples, calibration=None, batch_size=32)
    for count, _ in enumerate(pairs, 1):
        time.sleep(0.002)  # a caller that writes: the threads could run far ahead
        assert made - count <= pipeline.POST_AHEAD


def test_decoding_network_and_caller_overlap() -> None:
    # Each pair meets only if both are under way at the same time; the clock decides nothing.
    decoder_and_network = threading.Barrier(2, timeout=30)
    network_and_caller = threading.Barrier(2, timeout=30)
    batches = 0

    def load(sample: Sample, preprocessing: Preprocessing) -> Any:
        if sample.path.name == "#11":
            decoder_and_network.wait()
        return load_input(sample, preprocessing)

    def meeting(pixels: Any) -> NetworkOutput:
        nonlocal batches
        batches += 1
        if batches == 2:
            decoder_and_network.wait()
        if batches == 3:
            network_and_caller.wait()
        return network(pixels)

    samples = [picture(seed) for seed in range(20)]
    pairs = judge_samples(meeting, PREPARE, samples, calibration=None, batch_size=4, load=load)
    for number, _ in enumerate(pairs):
        if number == 4:  # the first of the second batch: the third is with the network
            network_and_caller.wait()
    assert number == 19


def test_the_network_is_called_from_one_thread_at_a_time() -> None:
    inside = threading.Lock()

    def alone(pixels: Any) -> NetworkOutput:
        assert inside.acquire(blocking=False)
        time.sleep(0.002)
        inside.release()
        return network(pixels)

    samples = [picture(seed) for seed in range(20)]
    assert len(list(judge_samples(alone, PREPARE, samples, calibration=None, batch_size=2))) == 20


def test_a_caller_that_stops_leaves_no_threads_behind() -> None:
    before = threading.active_count()
    pairs = judge_samples(
        network, PREPARE, map(picture, range(1000)), calibration=None, batch_size=4
    )
    next(pairs)
    assert threading.active_count() > before
    pairs.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_failing_network_reaches_the_caller() -> None:
    def failing(pixels: Any) -> NetworkOutput:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="allocate"):
        list(judge_samples(failing, PREPARE, [picture(0)], calibration=None))
    assert threading.active_count() == before
