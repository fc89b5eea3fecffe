"""Draw what RADAR sees in a good and in a defective part: picture, noise residual, map.

python benchmarks/draw_radar.py MODEL.blemish DATA docs/images/radar.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from blemish import Detector
from blemish.data.sources import load_input, training_data
from blemish.methods.radar.model import RADAR

SIDE, GAP = 192, 6


def main(model: str, data: str, picture: str) -> None:
    torch.set_num_threads(1)
    detector = Detector.load(model)
    method, preprocessing = detector.method, detector.preprocessing
    assert isinstance(method, RADAR)
    assert preprocessing is not None
    samples = training_data(Path(data)).split("test").samples
    chosen = [next(s for s in samples if s.label == label) for label in (0, 1)]
    images = [load_input(sample, preprocessing)[0] for sample in chosen]
    stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        departures = method.smooth(method.residuals(stack) - method.usual)[:, 0].numpy()
        maps = method(stack).anomaly_map[:, 0].numpy()
    # One scale for both parts: what is dark in the good one may be dark in the other.
    columns = [images, grey(departures, -departures.std() * 4, departures.std() * 4)]
    columns.append(grey(maps, 0, maps.max()))
    height, width = 2 * SIDE + GAP, 3 * SIDE + 2 * GAP
    sheet = Image.new("RGB", (width, height), "white")
    for x, column in enumerate(columns):
        for y, pixels in enumerate(column):
            part = Image.fromarray(pixels).convert("RGB").resize((SIDE, SIDE))
            sheet.paste(part, (x * (SIDE + GAP), y * (SIDE + GAP)))
    sheet.save(picture, quality=85)
    print(picture, [sample.path.name for sample in chosen], f"t* = {int(method.timestep)}")


def grey(maps: NDArray[np.float32], low: float, high: float) -> list[NDArray[np.uint8]]:
    scaled = np.clip((maps - low) / (high - low), 0, 1)
    return list((255 * scaled).astype(np.uint8))


if __name__ == "__main__":
    main(*sys.argv[1:])
