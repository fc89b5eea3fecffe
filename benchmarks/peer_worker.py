"""anomalib's PatchCore and PaDiM, one picture at a time, for bench_peer.py.

Runs in an environment of its own, in which anomalib 2 is installed, and takes orders from standard
input: a line ``NAME PATH`` is answered by ``wall_ms cpu_ms`` of that model on that picture, from
decoded pixels to map and score. Nothing of blemish is imported.

The teacher is timm's EfficientNet-Lite0, the architecture of blemish's default teacher, with
random weights: the time of a forward pass does not depend on them. PatchCore's memory bank holds
as many vectors as its coreset would, drawn at random from the same patches: choosing them is part
of training, and how long a search takes depends on their number alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings

import numpy as np
import torch

_ANSWERS = os.fdopen(os.dup(1), "w")  # libraries print to standard output as they like
os.dup2(2, 1)
warnings.simplefilter("ignore")
if torch.version.cuda is None:
    # Beside a CPU build of torch the public torchvision can be imported once these are declared.
    _OPERATORS = torch.library.Library("torchvision", "DEF")
    _OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import anomalib  # noqa: E402
import timm  # noqa: E402
from anomalib.models import Padim, Patchcore  # noqa: E402
from PIL import Image  # noqa: E402

BACKBONE = "tf_efficientnet_lite0"


def read(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def prepared(model: torch.nn.Module, pixels: np.ndarray) -> torch.Tensor:
    """As anomalib's own pre-processing: scaled to 256×256, normalised."""
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    return model.pre_processor.transform(image)


def patchcore(paths: list[str], ratio: float) -> torch.nn.Module:
    model = Patchcore(
        backbone=BACKBONE,
        layers=["blocks.2", "blocks.4"],  # strides 8 and 16, as the paper's layers 2 and 3
        pre_trained=False,
        coreset_sampling_ratio=ratio,
    )
    core = model.model.train()
    with torch.no_grad():
        for path in paths:
            core(prepared(model, read(path)))
    patches = torch.vstack(core.embedding_store)
    core.embedding_store.clear()
    chosen = torch.randperm(len(patches))[: max(1, int(ratio * len(patches)))]
    core.memory_bank = patches[chosen].clone()
    core.eval()
    return model


def padim(paths: list[str]) -> torch.nn.Module:
    model = Padim(
        backbone=BACKBONE,
        layers=["blocks.1", "blocks.2", "blocks.4"],  # strides 4, 8 and 16
        pre_trained=False,
        n_features=100,  # the paper's number for ResNet-18
    )
    core = model.model.train()
    with torch.no_grad():
        for path in paths:
            core(prepared(model, read(path)))
        core.fit()
    core.eval()
    return model


def main(threads: int, training: list[str]) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    models = {
        "patchcore-2%": patchcore(training, 0.02),
        "patchcore-10%": patchcore(training, 0.1),
        "padim": padim(training),
    }
    about = {
        "anomalib": anomalib.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "models": list(models),
        "bank": {
            name: len(model.model.memory_bank)
            for name, model in models.items()
            if name.startswith("patchcore")
        },
    }
    print(json.dumps(about), file=_ANSWERS, flush=True)
    for order in sys.stdin:
        name, _, path = order.rstrip("\n").partition(" ")
        model, pixels = models[name], read(path)
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            answer = model.model(prepared(model, pixels))
            answer.anomaly_map.numpy()
            float(answer.pred_score)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(wall * 1e3, cpu * 1e3, file=_ANSWERS, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
