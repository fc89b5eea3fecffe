"""Input sizes other than a small square, in both formats: exported, and judged alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish import Detector
from blemish._progress import Progress
from blemish.export import export_model
from blemish.inspector import open_model


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [512, (256, 1024), (640, 96)], ids=str)
def test_both_formats_judge_as_the_trained_model(size: Any, tmp_path: Path) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(0)
    coarse = rng.integers(90, 160, (6, height // 16, width // 16, 3)).astype(np.uint8)
    good = coarse.repeat(16, 1).repeat(16, 2) + rng.integers(0, 9, (6, height, width, 3), np.uint8)
    quiet = Progress(quiet=True)
    detector = Detector(image_size=size, settings={"pool": 400, "rows": 100})
    detector.fit(good, false_alarm_rate=0.3, progress=quiet).save(tmp_path / "m.blemish")
    wanted = [detector.inspect(picture) for picture in good[:2]]
    for format in ("onnx", "openvino"):
        path = tmp_path / f"{format}.blemish"
        export_model(tmp_path / "m.blemish", path, format=format, progress=quiet)  # type: ignore[arg-type]
        model = open_model(path)
        assert model.ready()[1].size == (height, width)
        for picture, one in zip(good[:2], wanted, strict=True):
            other = model.inspect(picture)
            assert other.score == pytest.approx(one.score, rel=1e-3, abs=1e-3)
            assert other.anomaly_map.shape == (height, width)
