"""HFR: rebuild the encoder's feature hierarchy from its deepest level alone.

"A Hierarchically Feature Reconstructed Autoencoder for Unsupervised Anomaly Detection",
arXiv 2405.09148 (2024).

Stated: a frozen, well pre-trained ImageNet encoder gives K = 3 levels; only a decoder is trained,
to rebuild the intermediate features; no augmentation, no anomalous image; the errors of all levels
are fused into one map; one forward pass.
Ours: the decoder sees the deepest level alone, squeezed to half its size (that is what separates
HFR from reverse distillation, whose bottleneck sees all levels); loss = sum over levels of the mean
over positions of ½‖n(f) − n(s)‖², that is 1 − cosine, or plain MSE; fusion by sum or product;
Gaussian σ = 4 on inputs above 128 pixels, none below; image score = maximum of the map, on smaller
inputs its mean, because there the whole picture is the object; the levels' maps balanced, as in
reverse distillation; optimiser and schedule are those of RD.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from blemish.methods.base import Batch, MethodOutput, Stage
from blemish.methods.hfr.config import HFRConfig
from blemish.methods.reconstruction import Reconstruction
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import MapFusion, fuse_levels
from blemish.teachers.teacher import Teacher

#: Inputs up to this many pixels a side are small images: one object fills them.
SMALL_INPUT = 128


class HFR(Reconstruction):
    """Hierarchical feature reconstruction. See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.hfr.config import HFRConfig
        >>> from blemish.methods.hfr.model import HFR
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = HFR(HFRConfig(), build_teacher(weights="random"), (64, 64)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 64)).score.shape)
        (2,)
    """

    config: HFRConfig
    config_class: ClassVar[type[MethodConfig]] = HFRConfig
    stage_name: ClassVar[str] = "rebuild"

    def __init__(self, config: HFRConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        teacher.check_levels("levels", config.levels)
        super().__init__(config, teacher, input_size, sees=1, rebuilds=config.levels)
        self.small = max(input_size) <= SMALL_INPUT
        # A product of maps is no linear form: it is smoothed at the input's size.
        product = config.fusion == "product"
        sizes = [input_size] if product else self.level_sizes[self.rebuilt]
        self.fusion = MapFusion(sizes, input_size, 0.0 if self.small else config.sigma)

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        errors = [error.mean() for error in self.errors(self.levels(batch))]
        return {"total": sum(errors[1:], start=errors[0])}

    def error(self, teacher: Tensor, rebuilt: Tensor) -> Tensor:
        if self.config.loss == "mse":
            return F.mse_loss(rebuilt, teacher, reduction="none").mean(1, keepdim=True)
        return super().error(teacher, rebuilt)

    def forward(self, images: Tensor) -> MethodOutput:
        if self.config.fusion == "sum":
            return super().forward(images)
        errors = self.balance(self.errors(tuple(self.teacher(images))))
        anomaly_map = self.fusion([fuse_levels(errors, self.input_size, product=True)])
        return MethodOutput(anomaly_map, self.score(anomaly_map), {})

    def score(self, anomaly_map: Tensor) -> Tensor:
        if self.config.score == "mean" or (self.config.score is None and self.small):
            return anomaly_map.flatten(1).mean(1)
        return super().score(anomaly_map)
