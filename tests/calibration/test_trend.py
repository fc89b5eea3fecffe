"""The watch over a line's parts, where the good images stand for how it was."""

from __future__ import annotations

from blemish.calibration import CalibrationRecord, calibrate
from blemish.calibration.trend import TrendWatch


def test_the_good_images_are_watched_below_one_of_their_scores() -> None:
    """Between the limit and the next good score a part is exchangeable with it, and counts."""
    calibration = calibrate([CalibrationRecord("nut", float(s), float(s)) for s in range(180)])
    assert 178 < calibration.limits("nut").defect < 178.5
    for score, counts in ((178.5, True), (179.5, False)):
        watch = TrendWatch(calibration, "nut", first=0)
        for name in ("a.png", "b.png"):  # the first bet is as high on either side
            watch.add(name, "defect", {"score": score})
        assert (watch.evidence != 0.0) == counts
