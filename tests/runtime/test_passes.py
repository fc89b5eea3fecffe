"""A graph's input cut into passes: which images go together, through how many threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.errors import BundleError
from blemish.inspector import open_model
from blemish.runtime import networks as room
from blemish.runtime.networks import OnnxPasses


class Session:
    """Doubles its input, and notes what it was given."""

    def __init__(self, threads: int, seen: list[tuple[int, int]]) -> None:
        self.threads, self.seen = threads, seen

    def run(self, names: list[str], given: dict[str, Any]) -> list[Any]:
        self.seen.append((self.threads, len(given["pixels"])))
        return [2 * given["pixels"].astype(np.float32) for _ in names]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the sessions were given, as (threads of the session, images)."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(room, "open_session", lambda graph, threads: Session(threads, found))
    return found


@pytest.mark.parametrize(
    ("threads", "count", "expected"),
    [
        (2, 1, [(2, 1)]),  # alone: all threads
        (2, 2, [(1, 1), (1, 1)]),
        (2, 5, [(1, 1), (1, 2), (1, 2)]),
        (2, 8, [(1, 2)] * 4),
        (8, 8, [(1, 1)] * 8),
        (4, 8, [(1, 2)] * 4),
        (16, 8, [(16, 4), (16, 4)]),  # too few to give every thread one
        (1, 6, [(1, 2), (1, 4)]),
    ],
)
def test_each_thread_has_passes_of_its_own_where_there_are_enough_images(
    seen: list[tuple[int, int]], threads: int, count: int, expected: list[tuple[int, int]]
) -> None:
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    found = OnnxPasses(b"", threads)(["a", "b"], pixels)
    assert sorted(seen) == expected
    for output in found:
        np.testing.assert_array_equal(output, 2.0 * pixels)  # in their order


def test_passes_side_by_side_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=10)

    class Meeting(Session):
        def run(self, names: list[str], given: dict[str, Any]) -> list[Any]:
            both.wait()  # one after the other would wait here until it is an error
            return super().run(names, given)

    monkeypatch.setattr(room, "open_session", lambda graph, threads: Meeting(threads, []))
    found = OnnxPasses(b"", 2)(["a"], np.zeros((4, 1, 1, 1), np.uint8))
    assert found[0].shape == (4, 1, 1, 1)


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_an_image_has_the_same_answer_in_any_company(exported_file: Path, count: int) -> None:
    one, several = (open_model(exported_file, threads=threads) for threads in (1, 2))
    size = one.preprocessing.size
    pixels = np.random.default_rng(3).integers(0, 256, (count, *size, 3), np.uint8)
    together = several.network(pixels)
    assert together.maps.shape == (count, *size)
    for row in range(count):
        alone = one.network(pixels[row : row + 1])
        np.testing.assert_allclose(together.maps[row], alone.maps[0], rtol=1e-5, atol=1e-5)
        assert together.scores[row] == pytest.approx(alone.scores[0], rel=1e-5)


def test_the_second_session_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[bytes, int]] = []

    def open_session(graph: bytes, threads: int) -> Session:
        opened.append((graph, threads))
        return Session(threads, [])

    monkeypatch.setattr(room, "open_session", open_session)
    run = OnnxPasses(b"graph", 2)
    for count in (1, 4, 3, 1):
        run(["a"], np.zeros((count, 1, 1, 1), np.uint8))
    assert opened == [(b"graph", 2), (b"graph", 1)]


def test_what_is_no_graph_says_so() -> None:
    with pytest.raises(BundleError, match="ONNX Runtime cannot load the graph"):
        OnnxPasses(b"no graph at all", 1)
