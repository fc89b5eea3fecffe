"""Does the promised false-alarm rate hold on good images that nothing was fitted to?

    blemish fit DATA --method rd --products bottle,pill --out MODEL
    python benchmarks/check_false_alarms.py MODEL DATA benchmarks/results/false-alarms.json

Judges the good test images of every product at the asked-for rate. With n calibration images the
number of alarms among m new good images is beta-binomial, not binomial: the limit itself is drawn.
The result says how probable the found number, or a larger one, is if the promise holds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from blemish import Detector
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.report.promise import check_promise

RATE = 0.05


def main(model: str, data: str, result: str) -> None:
    detector = Detector.load(model)
    if detector.calibration is None:
        sys.exit(f"{model} is not calibrated.")
    calibration = detector.calibration = detector.calibration.at(false_alarm_rate=RATE)
    products = {}
    for product in detector.products:
        tests = read_data_set(data).of_products([product]).split("test").samples
        good = [sample for sample in tests if sample.is_good]
        alarms = sum(p.verdict == "defect" for p in detector.predict(good))
        limits = calibration.limits(product)
        check = check_promise(limits, good=len(good), alarms=alarms)
        products[product] = {
            "calibration_images": limits.n,
            "promised_rate": check.promised,
            "good_test_images": check.good,
            "false_alarms": check.alarms,
            "usual_at_most": check.usual,
            "probability_of_so_many_or_more": check.chance,
            "promise_kept": check.kept,
        }
        print(product, products[product])
    content = {
        "command": f"python benchmarks/check_false_alarms.py {Path(model).name} {Path(data).name}",
        "rate": RATE,
        "training": detector.training,
        "products": products,
    }
    write_result(result, content)


if __name__ == "__main__":
    main(*sys.argv[1:])
