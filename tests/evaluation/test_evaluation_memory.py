"""Memory of an evaluation: that of a few pictures, however many there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: Half of every other picture is defective; the peak in MiB of 45 pictures above that of 15.
_MEASURED = """
import sys
from pathlib import Path
import numpy as np
from blemish.data.sample import Sample
from blemish.evaluation.evaluator import Evaluator
from blemish.report.data import make_row
from blemish.results import Prediction

masks, rng = (Path(sys.argv[1]),), np.random.default_rng(0)

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

def evaluate(pictures):
    evaluator, rows = Evaluator(), []
    for n in range(pictures):
        sample = Sample(Path(f"{n}.png"), "nut", "test", n % 2, mask_paths=masks if n % 2 else ())
        found = rng.random((600, 600), np.float32) + n % 2
        prediction = Prediction(None, "nut", float(found.max()), found)
        evaluator.add(sample, prediction)
        rows.append(make_row(sample, prediction))
    result = evaluator.compute()
    assert 0.4 < result.mean["pixel_aupro"] < 1, result.mean
    assert evaluator.pro_curves()["nut"].rate[-1] == 1

evaluate(15)
few = peak()
evaluate(45)
print(peak() - few)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_neither_pictures_nor_defective_pixels_cost_memory(tmp_path: Path) -> None:
    """2.7 million defective pixels more: 105 MiB when each was counted in memory."""
    mask = np.zeros((600, 600), np.uint8)
    mask[:300] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    command = [sys.executable, "-c", _MEASURED, str(tmp_path / "mask.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30
