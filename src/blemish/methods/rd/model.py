"""Reverse distillation: the trunk that other systems here share, and the baseline to beat.

Deng & Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022.

Stated: frozen ImageNet teacher; one-class bottleneck over its levels; a student decoder rebuilds
the levels from the bottleneck alone; loss = sum over levels of the mean over positions of 1 −
cosine (the paper's text; its authors' code takes the cosine of the whole flattened level instead:
``flat_loss``); Adam 5e-3 with betas (0.5, 0.999), batch 16; map = per-position 1 − cosine, resized,
summed, Gaussian σ = 4; image score = maximum of the map.
Stated by their code: the student mirrors WideResNet-50-2 in residual stages of transposed
convolutions, and the bottleneck ends in a residual stage of three blocks (``student=mirror``).
Ours: a light bottleneck and student whose widths follow the teacher, without residual blocks; in
the loss a position weighs by its own distance, so that what is still rebuilt badly, a rare product
above all, trains most (``focus``; 0 is the paper's plain mean); each level's map is divided by its
deviation over good images before the sum; the learning rate falls to a tenth at 80 % of the steps;
the length follows the number of images within a fewest and a most of steps, so that neither few
images nor very many make it useless.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from blemish.methods.base import Batch, Stage
from blemish.methods.rd.config import RDConfig
from blemish.methods.reconstruction import Reconstruction
from blemish.methods.settings import MethodConfig
from blemish.nn.batch_share import over_batch
from blemish.nn.cosine import cosine_to
from blemish.nn.precision import as_convolved


class RD(Reconstruction):
    """Reverse distillation (Deng & Li, 2022). See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.rd.config import RDConfig
        >>> from blemish.methods.rd.model import RD
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = RD(RDConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 96)).anomaly_map.shape)
        (2, 1, 64, 96)
    """

    config: RDConfig
    config_class: ClassVar[type[MethodConfig]] = RDConfig

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        levels = self.standardise(self.levels(batch))
        return {"total": self.distill(levels, self.student(self.embed(as_convolved(levels))))}

    def distill(
        self,
        levels: tuple[Tensor, ...],
        rebuilt: list[Tensor],
        changed: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The reconstruction loss between the teacher's levels and the student's."""
        flat, focus = self.config.flat_loss, self.config.focus
        return distillation_loss(levels, rebuilt, flat=flat, focus=focus, changed=changed)


def distillation_loss(
    levels: tuple[Tensor, ...],
    rebuilt: list[Tensor],
    *,
    flat: bool = False,
    focus: float = 0.0,
    changed: Sequence[Tensor] | None = None,
) -> Tensor:
    """``Σ_l mean w d`` with ``d = 1 − cos(f_l, s_l)`` over images and positions.

    The weights ``w = d^focus / mean(d^focus)`` carry no gradient and average one: the harder a
    position is to rebuild, the more it trains. The score of a picture is the largest value of its
    map, so that what counts is not how well good pictures are rebuilt on average but where they
    are rebuilt worst. The idea is the focal loss's (Lin et al., ICCV 2017), without labels.

    Args:
        levels: The teacher's, ``(N, C_l, H_l, W_l)``; no gradient goes to them.
        rebuilt: The student's, of the same shapes.
        flat: One cosine of the whole flattened level instead of one per position.
        focus: Power of the weights; 0 is the plain mean, in 0..2 times the number of levels.
        changed: Positions ``(N, 1, H_l, W_l)`` bool of each level where the student did not see
            what it must rebuild. Hard as they are, they would take the others' weight: weights
            average one over these positions, and one over the others.
    """
    if flat:
        levels = tuple(f.flatten(1) for f in levels)  # (N, C·H·W)
        rebuilt = [s.flatten(1) for s in rebuilt]
    losses = []
    for number, (f, s) in enumerate(zip(levels, rebuilt, strict=True)):
        d = 1.0 - cosine_to(f, s)  # (N, H_l, W_l)
        if focus:
            # Rounding can leave a distance a hair below zero, where a power has no value.
            w = d.detach().clamp_min(1e-6).pow(focus)
            if changed is None or flat:
                mean = over_batch(w.mean())
            else:
                here = changed[number][:, 0]
                inside, outside = _mean_over(w, here), _mean_over(w, ~here)
                mean = torch.where(here, inside, outside)
            d = d * (w / mean)
        losses.append(d.mean())
    return sum(losses[1:], start=losses[0])


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values of the whole batch; 0 where none is."""
    count = over_batch(chosen.sum(dtype=values.dtype))
    return over_batch((values * chosen).sum()) / (count + (count == 0))
