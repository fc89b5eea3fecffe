"""Reference of an exported graph in plain NumPy and Pillow: what another language has to do.

    python examples/numpy_reference.py part-onnx.onnx part.png

Prints score, verdict and the place of the highest map value. Everything that decides is in
:func:`judge`; reading is Pillow's, for 8-bit pictures that need no turning.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image


def judge(model: str, picture: Image.Image) -> tuple[float, str, np.ndarray]:
    """Score, verdict by the limits of the only product, and the map ``(H, W)`` at input size."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    manifest = json.loads(session.get_modelmeta().custom_metadata_map["blemish"])
    size, calibration = manifest["preprocessing"], manifest["calibration"]
    group: dict[str, Any] = calibration["groups"][0]
    if size.get("tiling") or calibration.get("estimate") or any(group.get("image_groups", ())):
        raise SystemExit("Tiles, groups, and limits that are estimated are beyond this reference.")
    scale = min(size["height"] / picture.height, size["width"] / picture.width)
    height = min(size["height"], max(1, round(picture.height * scale)))
    width = min(size["width"], max(1, round(picture.width * scale)))
    narrow = picture.convert("RGB").resize((width, picture.height), Image.Resampling.BICUBIC)
    resized = narrow.resize((width, height), Image.Resampling.BICUBIC)  # columns first, always
    pixels = np.empty((1, size["height"], size["width"], 3), np.uint8)
    pixels[:] = size["fill"]
    top, left = (size["height"] - height) // 2, (size["width"] - width) // 2
    pixels[0, top : top + height, left : left + width] = np.asarray(resized)
    anomaly_map, score = session.run(["anomaly_map", "score"], {"pixels": pixels})
    rates = calibration["false_alarm_rate"], calibration["unsure_rate"]
    limits = [np.quantile(group["scores"], 1 - rate, method="weibull") for rate in rates]
    verdict = "defect" if score[0] > limits[0] else "unsure" if score[0] > limits[1] else "ok"
    return float(score[0]), verdict, anomaly_map[0]


if __name__ == "__main__":
    found, said, amap = judge(sys.argv[1], Image.open(sys.argv[2]))
    row, column = np.unravel_index(int(amap.argmax()), amap.shape)
    print(f"{said}, score {found:.6g}, highest at row {row}, column {column} of the input")
