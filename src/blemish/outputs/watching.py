"""A line that drops pictures into a folder: each is judged as soon as it is complete."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from blemish.data.images.arrivals import Arrivals
from blemish.data.sample import Sample
from blemish.errors import ImageError
from blemish.inspector import Inspector
from blemish.outputs.outputs import Outputs
from blemish.results import Prediction

#: Seconds between two looks at the folder; more where a look takes long, as with many files.
EVERY = 0.1


def watch(
    model: Inspector,
    arrivals: Arrivals,
    outputs: Outputs,
    *,
    product: str | None = None,
    batch_size: int = 8,
    on_prediction: Callable[[Prediction], None] = lambda prediction: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> NoReturn:
    """Judge pictures as they arrive, until interrupted.

    Pictures that arrive while others are judged wait for the next look and then share batches:
    under load the line gets throughput, otherwise a short latency. Those that an earlier run has
    judged (``outputs.done``) are passed over.

    Args:
        model: Judges.
        arrivals: The folders.
        outputs: Entered; gets every prediction, and the files that were given up.
        product: Product of the pictures.
        batch_size: Images per call of the network, at most.
        on_prediction: Called after a prediction is written down.
        on_note: Called with what a person at the line should know.

    Raises:
        KeyboardInterrupt: The only way it ends; everything written is whole.

    Example: see ``docs/predict.md``.
    """
    unreachable = ""
    while True:
        started = time.monotonic()
        ready = arrivals.poll()
        if arrivals.unreachable != unreachable:
            unreachable = arrivals.unreachable
            on_note(f"Cannot look into the folder: {unreachable}" if unreachable else "Back again.")
        looked = time.monotonic() - started
        samples = [Sample(path, "", "test", None) for path in ready]
        left = outputs.left(samples)
        for path in set(ready) - {sample.path for sample in left}:
            arrivals.finish(path)

        def on_error(path: Path, error: ImageError) -> None:
            arrivals.retry(path, str(error))

        judged = model.predict(left, product=product, batch_size=batch_size, on_error=on_error)
        with closing(judged) as predictions:  # type: ignore[type-var]
            for prediction in predictions:
                outputs.write(prediction)
                if prediction.path is not None:
                    arrivals.finish(prediction.path)
                on_prediction(prediction)
        for path, reason in arrivals.given_up():
            outputs.fail(path, ImageError(reason))
            on_note(f"Given up: {reason}")
        if not left:
            time.sleep(max(EVERY, 4 * looked))
