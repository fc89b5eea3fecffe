"""What the metrics refuse, and that the messages name what was found."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.errors import ConfigError, DataError
from blemish.metrics import (
    PixelAccumulator,
    SaturationRule,
    SproAccumulator,
    auroc,
    auroc_interval,
    confusion,
    loco_image_auroc,
    parse_defects_config,
    pixel_metrics,
    roc_curve,
    spro,
)

GOOD = np.zeros((3, 4), np.float32)
MASK = np.eye(3, 4, dtype=bool)


def test_nan_scores() -> None:
    with pytest.raises(DataError, match="1 of 3 scores are NaN"):
        auroc([0.1, np.nan, 0.3], [0, 1, 1])
    with pytest.raises(DataError, match="threshold is NaN"):
        confusion([0.1], [0], threshold=np.nan)


def test_strange_labels_and_lengths() -> None:
    with pytest.raises(DataError, match=r"Labels hold \[-1, 2\]"):
        auroc([0.1, 0.2, 0.3], [-1, 0, 2])
    with pytest.raises(DataError, match=r"\(3,\) and labels \(2,\)"):
        auroc([0.1, 0.2, 0.3], [0, 1])
    with pytest.raises(DataError, match="shape"):
        auroc([[0.1, 0.2]], [[0, 1]])


def test_maps_that_cannot_be_measured_are_named_and_leave_no_trace() -> None:
    broken = GOOD.copy()
    broken[1, 2] = np.nan
    with pytest.raises(DataError, match=r"Map 1: .*1 NaN"):
        pixel_metrics([GOOD, broken], [MASK, MASK])
    with pytest.raises(DataError, match=r"\(3, 4\) and the mask \(4, 3\)"):
        pixel_metrics([GOOD], [MASK.T])
    with pytest.raises(DataError, match="2 anomaly maps and 1 masks"):
        pixel_metrics([GOOD, GOOD], [MASK])
    with pytest.raises(DataError, match=r"shape \(1, 3, 4\)"):
        pixel_metrics([GOOD[None]], [None])
    with pytest.raises(DataError, match="complex"):
        pixel_metrics([GOOD.astype(complex)], [None])
    with pytest.raises(DataError, match="range of float32"):
        pixel_metrics([np.full((2, 2), 1e300)], [None])
    pixels = PixelAccumulator()
    pixels.add(GOOD + MASK, MASK)
    before = pixels.compute()
    with pytest.raises(DataError):
        pixels.add(broken, MASK)
    assert pixels.compute() == before


def test_options() -> None:
    with pytest.raises(ConfigError, match="'fast'"):
        PixelAccumulator("fast")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 16"):
        PixelAccumulator("histogram", max_bins=3)
    with pytest.raises(ConfigError, match="'anomalib'"):
        PixelAccumulator(compatibility="anomalib")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="exact"):
        PixelAccumulator("histogram", compatibility="ader")
    for limit in (0.0, 1.5, np.nan):
        with pytest.raises(DataError, match="false-positive rate"):
            PixelAccumulator(fpr_limit=limit)
    with pytest.raises(ConfigError, match=r"95\.0"):
        auroc_interval([1, 2], [0, 1], level=95.0)
    with pytest.raises(DataError, match="at least 2"):
        roc_curve([1, 2], [0, 1], points=1)


def test_loco_inputs() -> None:
    rule = SaturationRule("dent", 255, 0.5, True)
    channel = np.where(MASK, 255, 0).astype(np.uint8)
    spros = SproAccumulator({255: rule})
    with pytest.raises(DataError, match="'bad'"):
        spros.add(GOOD, [channel], "bad")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'good' has 1"):
        spros.add(GOOD, [channel], "good")
    with pytest.raises(DataError, match="has 0"):
        spros.add(GOOD, [], "logical_anomalies")
    with pytest.raises(DataError, match=r"pixel value 7; .* \[255\]"):
        spros.add(GOOD, [np.where(MASK, 7, 0)], "logical_anomalies")
    two = channel.copy()
    two[0, 3] = 7
    with pytest.raises(DataError, match=r"values \[7, 255\]"):
        spros.add(GOOD, [two], "logical_anomalies")
    with pytest.raises(DataError, match=r"values \[\]"):
        spros.add(GOOD, [np.zeros((3, 4), np.uint8)], "logical_anomalies")
    with pytest.raises(DataError, match=r"\(3, 4\) and ground-truth channel 1 \(4, 3\)"):
        spros.add(GOOD, [channel, channel.T], "logical_anomalies")
    assert all(np.isnan(v) for v in spros.compute()[0.05].values())  # nothing was taken
    with pytest.raises(DataError, match="'bad'"):
        loco_image_auroc([1, 2], ["good", "bad"])
    with pytest.raises(DataError, match="shape"):
        loco_image_auroc([1, 2, 3], ["good", "good"])
    with pytest.raises(DataError, match="equal shapes"):
        spro(MASK, channel.T, rule)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_value": 0}, "1 to 255"),
        ({"saturation_threshold": 1.5, "relative_saturation": True}, "share"),
        ({"saturation_threshold": 0}, "positive"),
        ({"saturation_threshold": None}, "expected defect_name"),
    ],
)
def test_defects_config(change: dict, message: str) -> None:
    entry = {
        "defect_name": "dent",
        "pixel_value": 255,
        "saturation_threshold": 90,
        "relative_saturation": False,
    }
    assert parse_defects_config([entry])[255] == SaturationRule("dent", 255, 90.0, False)
    with pytest.raises(DataError, match=message):
        parse_defects_config([entry | change])
    with pytest.raises(DataError, match="share the pixel value 255"):
        parse_defects_config([entry, entry])
    with pytest.raises(DataError, match="expected defect_name"):
        parse_defects_config([{"defect_name": "dent"}])
