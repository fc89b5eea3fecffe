"""Seams on a real picture: the map is no steeper where tiles meet than elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.images.reading import read_image

PILLS = Path(__file__).parents[3] / "shared" / "data" / "mvtec" / "pill"


@pytest.mark.skipif(not PILLS.is_dir(), reason="needs ../shared/data, which is not there")
@pytest.mark.parametrize("coarse", [False, True])
def test_a_good_pill_has_no_seam(coarse: bool) -> None:
    good = [read_image(path) for path in sorted((PILLS / "train" / "good").iterdir())[:9]]
    detector = Detector(
        "patchcore", tile=128, overlap=32, coarse=coarse, settings={"rows": 200, "sigma": 2}
    )
    options, quiet = TrainingOptions(device="cpu"), Progress(quiet=True)
    detector.fit(np.stack(good[:8]), false_alarm_rate=0.5, training=options, progress=quiet)
    preprocessing = detector.preprocessing
    assert preprocessing is not None
    grid = preprocessing.inputs(good[8].shape[:2])
    assert grid.tiles == 9
    amap = detector.inspect(good[8]).anomaly_map
    steps = np.abs(np.diff(amap, axis=1)).mean(0)  # between columns
    ends = {start + end for start in grid.columns for end in (0, grid.tile[1])}
    edges = np.array(sorted(end - 1 for end in ends if 0 < end < amap.shape[1]))
    others = np.setdiff1d(np.arange(len(steps)), edges)
    assert len(edges) == 4
    assert steps[edges].mean() < 1.5 * steps[others].mean()
    assert steps[edges].max() < steps[others].max()
