"""One thread brings requests together for the network."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np
import pytest
from numpy.typing import NDArray
from spot_model import SpotNetwork

from blemish.inspection.network import NetworkOutput
from blemish.serving.batching import BatchQueue, QueueFullError


def pixels(level: int) -> NDArray[np.uint8]:
    return np.full((8, 8, 3), level, np.uint8)


class Held(SpotNetwork):
    """Waits in its first pass until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, batch: NDArray[np.uint8]) -> NetworkOutput:
        self.began.set()
        assert self.go.wait(10)
        return super().__call__(batch)


def test_what_gathers_during_a_pass_is_the_next_batch_in_order() -> None:
    network = Held()
    queue = BatchQueue(network, batch=4, capacity=16)
    first = queue.submit(pixels(1))
    assert network.began.wait(10)
    rest = [queue.submit(pixels(level)) for level in range(2, 8)]
    assert queue.depth == 6
    network.go.set()
    scores = [future.result(10).scores[0] for future in [first, *rest]]
    queue.close()
    assert scores == [1, 2, 3, 4, 5, 6, 7]
    assert network.batches == [1, 4, 2]
    assert (queue.passes, queue.inputs) == (3, 7)


def test_it_holds_no_more_than_its_capacity() -> None:
    network = Held()
    queue = BatchQueue(network, batch=1, capacity=2)
    waiting = [queue.submit(pixels(1))]
    assert network.began.wait(10)
    waiting += [queue.submit(pixels(2)), queue.submit(pixels(3))]
    with pytest.raises(QueueFullError):
        queue.submit(pixels(4))
    network.go.set()
    assert [future.result(10).scores[0] for future in waiting] == [1, 2, 3]
    queue.close()


def test_the_place_of_who_went_away_is_free_at_once() -> None:
    network = Held()
    queue = BatchQueue(network, batch=1, capacity=2)
    first = queue.submit(pixels(1))
    assert network.began.wait(10)
    gone = [queue.submit(pixels(2)), queue.submit(pixels(3))]
    assert all(future.cancel() for future in gone)
    rest = [queue.submit(pixels(4)), queue.submit(pixels(5))]  # the network is at its first still
    with pytest.raises(QueueFullError):
        queue.submit(pixels(6))
    network.go.set()
    assert [future.result(10).scores[0] for future in (first, *rest)] == [1, 4, 5]
    queue.close()


def test_a_failed_pass_fails_its_inputs_and_no_others() -> None:
    class Fragile(SpotNetwork):
        def __call__(self, batch: NDArray[np.uint8]) -> NetworkOutput:
            if batch.max() == 13:
                raise ValueError("thirteen")
            return super().__call__(batch)

    queue = BatchQueue(Fragile(), batch=1, capacity=8)
    futures: list[Future] = [queue.submit(pixels(level)) for level in (12, 13, 14)]
    assert futures[0].result(10).scores[0] == 12
    with pytest.raises(ValueError, match="thirteen"):
        futures[1].result(10)
    assert futures[2].result(10).scores[0] == 14
    queue.close()


def test_a_cancelled_input_never_reaches_the_network() -> None:
    network = Held()
    queue = BatchQueue(network, batch=8, capacity=8)
    queue.submit(pixels(1))
    assert network.began.wait(10)
    gone, kept = queue.submit(pixels(2)), queue.submit(pixels(3))
    assert gone.cancel()
    network.go.set()
    assert kept.result(10).scores[0] == 3
    queue.close()
    assert network.batches == [1, 1]


def test_closing_answers_what_was_accepted_and_takes_no_more() -> None:
    network = Held()
    queue = BatchQueue(network, batch=2, capacity=8)
    futures = [queue.submit(pixels(level)) for level in range(5)]
    closing = threading.Thread(target=queue.close)
    closing.start()
    network.go.set()
    closing.join(10)
    assert [future.result(0).scores[0] for future in futures] == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError):
        queue.submit(pixels(6))


def test_an_answer_does_not_keep_the_maps_of_its_batch() -> None:
    queue = BatchQueue(SpotNetwork(), batch=2, capacity=8)
    answer = queue.submit(pixels(3)).result(10)
    queue.close()
    assert answer.maps.base is None
    assert answer.maps.dtype == np.float32
