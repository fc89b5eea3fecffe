"""Running a trained network over samples: decode ahead, batch, judge, one prediction each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blemish.calibration import Calibration
from blemish.data.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.errors import ImageError
from blemish.judging import make_prediction
from blemish.methods.base import Method
from blemish.results import Prediction

OnError = Callable[[Path, ImageError], None]
Loaded = tuple[Sample, NDArray[np.uint8], tuple[int, int]]


def predict_samples(
    method: Method,
    preprocessing: Preprocessing,
    samples: Sequence[Sample],
    *,
    calibration: Calibration | None,
    batch_size: int = 8,
    on_error: OnError | None = None,
) -> Iterator[Prediction]:
    """Judge samples in order; memory is bounded by two batches, whatever their number.

    Args:
        method: Trained, in evaluation mode.
        calibration: Limits, or ``None`` for predictions without verdict.
        on_error: Called for each unreadable image, which is then left out; ``None`` raises.

    Example: see :meth:`blemish.detector.Detector.predict`.
    """
    pairs = judge_samples(
        method,
        preprocessing,
        samples,
        calibration=calibration,
        batch_size=batch_size,
        on_error=on_error,
    )
    return (prediction for _, prediction in pairs)


def judge_samples(
    method: Method,
    preprocessing: Preprocessing,
    samples: Sequence[Sample],
    *,
    calibration: Calibration | None,
    batch_size: int = 8,
    on_error: OnError | None = None,
) -> Iterator[tuple[Sample, Prediction]]:
    """As :func:`predict_samples`, each prediction beside the sample it is of.

    Example: see :meth:`blemish.detector.Detector.judge_test_images`.
    """

    def load(sample: Sample) -> Loaded | ImageError:
        try:
            return (sample, *preprocessing.load(sample))
        except ImageError as error:
            return error

    # One thread decodes the next batch while the network works on this one.
    with ThreadPoolExecutor(1) as pool:
        waiting = iter(samples)

        def ahead() -> list[Any]:
            return [(s, pool.submit(load, s)) for s in islice(waiting, batch_size)]

        upcoming = ahead()
        while upcoming:
            current, upcoming = upcoming, ahead()
            ready: list[Loaded] = []
            for sample, future in current:
                loaded = future.result()
                if not isinstance(loaded, ImageError):
                    ready.append(loaded)
                elif on_error is None:
                    raise loaded
                else:
                    on_error(sample.path, loaded)
            if ready:
                yield from _judge(method, preprocessing, ready, calibration)


def _judge(
    method: Method,
    preprocessing: Preprocessing,
    ready: list[Loaded],
    calibration: Calibration | None,
) -> Iterator[tuple[Sample, Prediction]]:
    pixels = torch.from_numpy(np.stack([image for _, image, _ in ready]))  # (N, H, W, 3)
    device = next(method.parameters()).device
    with torch.inference_mode():
        output = method(pixels.permute(0, 3, 1, 2).to(device))
    scores = output.score.double().cpu().numpy()
    maps = output.anomaly_map.float().cpu().numpy()  # (N, 1, H, W)
    for row, (sample, _, size) in enumerate(ready):
        prediction = make_prediction(
            sample,
            score=float(scores[row]),
            input_map=maps[row, 0],
            branches={name: float(values[row]) for name, values in output.branches.items()},
            source_size=size,
            preprocessing=preprocessing,
            calibration=calibration,
        )
        yield sample, prediction
