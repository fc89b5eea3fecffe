"""Samples through a network: decode ahead, batch, infer, bring to source size, one answer each.

    samples ─ decode ─▶ pixels ─ batch ─▶ network ─▶ raw maps ─ post ─▶ Prediction ─▶ the caller

A picture is one input of the network, or as many as it has tiles; a batch is full either way, of
tiles of several pictures where one has too few.

Each arrow is a queue of fixed length between threads, so that decoding, the network and what the
caller does with an answer (writing it down) overlap: many images take as long as the slowest of
the three, not their sum. Pillow, NumPy, PyTorch and ONNX Runtime let go of Python's lock while
they work. Answers come in the order of the samples, from the same batches whatever the timing, and
memory does not depend on how many samples there are. Torch-free: trained and exported models pass
through the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration
from blemish.data.images.preprocess import Preprocessing
from blemish.data.prefetch import ahead
from blemish.data.sample import Sample
from blemish.data.sources import Loaded, load_input
from blemish.errors import ImageError
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.prediction import make_prediction, one_of
from blemish.inspection.tiling import TiledAnswer
from blemish.results import Note, PartPose, Prediction
from blemish.runtime.cores import usable_cores

OnError = Callable[[Path, ImageError], None]
Load = Callable[[Sample, Preprocessing], Loaded]
#: Told, for a picture of several tiles, how many of them are judged and how many there are.
OnTile = Callable[[int, int], None]
In = TypeVar("In")

#: Each thread that decodes holds an image at full size; beyond this, disks are the limit.
MOST_DECODERS = 8
#: Predictions computed ahead of the caller. Their maps are as large as the images.
POST_AHEAD = 2
#: Pictures decoded ahead where they have tiles: each may be as large as the memory has room for.
TILED_AHEAD = 2


class UnderWay(NamedTuple):
    """A sample, and what the network says of it so far."""

    sample: Sample
    source_size: tuple[int, int]
    answer: TiledAnswer
    pose: PartPose | None
    notes: tuple[Note, ...]


class Tile(NamedTuple):
    """One input of the network: a tile of a picture, or the whole of it."""

    picture: UnderWay
    place: int
    pixels: NDArray[np.uint8]  # (H, W, 3)


#: A picture, the place of one of its tiles, and the network's answer for that.
Answered = tuple[UnderWay, int, NetworkOutput]


class Failed(NamedTuple):
    """An image that could not be read; it keeps its place in the order."""

    sample: Sample
    error: ImageError


def decoder_threads(cores: int | None = None) -> int:
    """Threads that decode: half of the cores, the network's own threads have the rest.

    Example:
        >>> from blemish.inspection.pipeline import decoder_threads
        >>> [decoder_threads(cores) for cores in (1, 2, 4, 64)]
        [1, 1, 2, 8]
    """
    cores = usable_cores() if cores is None else cores
    return min(max(1, cores // 2), MOST_DECODERS)


def judge_samples(
    network: Network,
    preprocessing: Preprocessing,
    samples: Iterable[Sample],
    *,
    calibration: Calibration | None,
    batch_size: int = 8,
    on_error: OnError | None = None,
    on_tile: OnTile | None = None,
    load: Load = load_input,
) -> Iterator[tuple[Sample, Prediction]]:
    """Judge samples in order, each prediction beside the sample it is of.

    Args:
        network: Judges pixels at the input size; called from one thread, not the caller's.
        preprocessing: The one the network was trained with.
        samples: Taken from the iterator as they are needed, about three batches ahead. An
            iterator that waits for its next sample holds back the answers before it.
        calibration: Limits, or ``None`` for predictions without verdict.
        batch_size: Inputs, which are samples or tiles of them, per call of the network.
        on_error: Called in the caller's thread, in order, for each unreadable image, which is then
            left out; ``None`` raises.
        on_tile: Called in the caller's thread for each tile of a picture that has several.
        load: Reads one sample at the input size.

    Raises:
        ImageError: An image cannot be read and ``on_error`` is ``None``.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from blemish.data.images.preprocess import Preprocessing
        >>> from blemish.data.sample import Sample
        >>> from blemish.inspection.network import NetworkOutput
        >>> from blemish.inspection.pipeline import judge_samples
        >>> def brightness(pixels):  # a network of its own kind
        ...     maps = pixels.mean(3, dtype=np.float32)
        ...     return NetworkOutput(maps, maps.max((1, 2)).astype(np.float64))
        >>> grey = [Sample(Path(f"#{i}"), "", "test", None, image=np.full((40, 30), i, np.uint8))
        ...         for i in range(3)]
        >>> pairs = judge_samples(brightness, Preprocessing(32, 32), grey, calibration=None)
        >>> [(s.path.name, p.anomaly_map.shape) for s, p in pairs]
        [('#0', (40, 30)), ('#1', (40, 30)), ('#2', (40, 30))]
    """

    tiled = preprocessing.tiling is not None

    def decode(sample: Sample) -> tuple[Sample, Loaded] | Failed:
        try:
            return sample, load(sample, preprocessing)
        except ImageError as error:
            return Failed(sample, error)

    def tiles(decoded: Iterator[tuple[Sample, Loaded] | Failed]) -> Iterator[Tile | Failed]:
        for item in decoded:
            if isinstance(item, Failed):
                yield item
                continue
            sample, (pixels, source_size, pose, notes) = item
            grid = preprocessing.grid((pixels.shape[0], pixels.shape[1]))
            answer = TiledAnswer(grid, preprocessing.tiling)
            picture = UnderWay(sample, source_size, answer, pose, notes)
            for place in range(len(grid)):
                tile = grid.cut(pixels, place)
                # A copy of a tile: a view, wherever one waits, would keep the picture in memory.
                yield Tile(picture, place, tile.copy() if tiled else tile)

    def infer(batch: list[Tile | Failed]) -> list[Answered | Failed]:
        ready = [item for item in batch if isinstance(item, Tile)]
        if not ready:
            return [item for item in batch if isinstance(item, Failed)]
        output = network(np.stack([item.pixels for item in ready]))  # (N, H, W, 3)
        rows = iter((item.picture, item.place, one_of(output, n)) for n, item in enumerate(ready))
        return [item if isinstance(item, Failed) else next(rows) for item in batch]

    def post(answered: Answered | Failed) -> tuple[Sample, Prediction] | tuple[int, int] | Failed:
        if isinstance(answered, Failed):
            return answered
        (sample, source_size, answer, pose, notes), place, output = answered
        answer.add(place, output)  # from this thread alone, and so in order
        if not answer.complete:
            return answer.done, len(answer.grid)
        return sample, make_prediction(
            sample,
            answer.output(),
            source_size=source_size,
            preprocessing=preprocessing,
            calibration=calibration,
            pose=pose,
            notes=notes,
        )

    decoders = decoder_threads()
    pools = [ThreadPoolExecutor(count) for count in (decoders, 1, 1)]
    try:
        # A batch is being decoded while the one before waits and the one before that is inferred.
        depth = TILED_AHEAD if tiled else max(batch_size, decoders + 1)
        decoded = ahead(pools[0], decode, samples, depth)
        batches = ahead(pools[1], infer, _batches(tiles(decoded), batch_size), 2)
        answers = ahead(pools[2], post, (item for batch in batches for item in batch), POST_AHEAD)
        for answer in answers:
            if isinstance(answer, Failed):
                if on_error is None:
                    raise answer.error
                on_error(answer.sample.path, answer.error)
            elif isinstance(answer[0], Sample):
                yield answer
            elif on_tile is not None:
                on_tile(*answer)
    finally:  # also when the caller stops early: what has not begun is dropped
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _batches(items: Iterator[In], size: int) -> Iterator[list[In]]:
    while batch := list(islice(items, size)):
        yield batch
