"""Part writer: judges one block of pictures and writes its file; what runs in every worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from blemish._files import atomic_write
from blemish.distributed.columns import Row
from blemish.distributed.judge import Judge
from blemish.distributed.result_folder import MAPS, Block, ResultFolder
from blemish.errors import ConfigError
from blemish.results import Prediction
from blemish.stores.urls import as_url


class PartWriter:
    """Judges blocks and writes them into a result folder.

    Args:
        judge: Judges; opens its model with the first block.
        results: Where the files go.
        maps: Write each anomaly map as PNG beside.
    """

    def __init__(self, judge: Judge, results: ResultFolder, *, maps: bool = False) -> None:
        self.judge, self.results, self.maps = judge, results, maps

    def write(self, block: Block) -> list[Row]:
        """Judge a block, write its file, and give its rows."""
        number, paths = block

        def save(place: int, prediction: Prediction) -> Row:
            name = f"{MAPS}/part-{number:06d}/{place:06d}.png"
            write_map(self.results.folder / name, prediction)
            return {"map": name}

        rows = self.judge.rows(paths, on_prediction=save if self.maps else None)
        self.results.write(number, rows)
        return rows


def write_map(path: Path, prediction: Prediction) -> None:
    """The anomaly map as grey PNG of the picture's size, 0 and 255 being the ends of the product's
    colour scale; their raw values stand in the file's text ``blemish``.

    Raises:
        ConfigError: The model has no limits, which the scale is tied to.
    """
    if prediction.map_scale is None:
        raise ConfigError(
            "Maps need limits, which their scale is tied to, and this model is not calibrated. "
            "Run: blemish calibrate MODEL GOOD_DIR"
        )
    low, high = prediction.map_scale
    part = (prediction.anomaly_map.astype(np.float64) - low) / max(high - low, 1e-300)  # (H, W)
    grey = (np.clip(np.nan_to_num(part), 0, 1) * 255).round().astype(np.uint8)
    text = PngInfo()
    text.add_text("blemish", f"{low!r} {high!r}")
    if as_url(path) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        Image.fromarray(grey).save(file, "PNG", pnginfo=text)
