"""Trio: nearest neighbour, position Gaussian and layout of one frozen teacher, as one verdict.

Ours, of known parts: the memory of PatchCore, the Gaussians of PaDiM, a layout.

Three questions about a picture, each answered from good pictures alone and in closed form: is every
patch, by itself and with what is around it, like some patch seen before (the memory of PatchCore,
Roth et al., CVPR 2022); is it what belongs at this place (the Gaussians of PaDiM, Defard et al.,
ICPR 2021); and do the quarters of the picture hold, on the whole, what they should (the Mahalanobis
distance of mean features, as of a logical branch)? What makes them one measure is that each is
standardised by what good pictures leave of it: for the row of the memory, for the place, for the
product; and always for pictures that the measure was not fitted on. A patch's oddness is a mean of
the first two, a place's by its root where it is far out, and the memory's share is larger the fewer
good pictures there are; the
structural score is its maximum; the layout is the logical branch; the score is the soft maximum of
both, in deviations of good pictures, of which the layout's count less (``layout_weight``). What
good pictures score, from which limits come, is cross-fitted: by measures of the other folds.

Each product has its own memory, means and covariance, and so has a coarse look at whole pictures
beside their tiles. Which product a picture shows is told from the picture; where none are named,
kinds of picture that are clearly apart are found without labels.

Large pictures are looked at twice: shrunk (``coarse``), and closely. A small defect is gone before
the first look, and what is large is one odd patch among many more to the second; so a picture is
as odd as the soft maximum of both says, and the close look, whose patches are as usual the odder
the more there are, counts by what is beyond one deviation.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.methods.base import Batch, MethodOutput, OutOfFold
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.look import OneLook
from blemish.nn.joint_score import soft_maximum
from blemish.teachers.teacher import Teacher

#: Deviations of good pictures that a close look is taken to be odder by, for its many patches.
_CLOSER = 1.0


class Trio(OneLook):
    """Memory, position Gaussian and layout. See the module for what they are and where from.

    It is itself the look that settles the product and has the layout; ``close`` is the second one.

    Example:
        >>> import torch
        >>> from blemish.methods.trio.config import TrioConfig
        >>> from blemish.methods.trio.model import Trio
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = Trio(TrioConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> output = method(torch.zeros(2, 3, 64, 96))
        >>> tuple(output.anomaly_map.shape), sorted(output.branches)
        ((2, 1, 64, 96), ['logical', 'structural'])
    """

    def __init__(self, config: TrioConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        (_, seen), *closer = config.passes(teacher.name, input_size)
        super().__init__(config, teacher, seen, comes=input_size)
        self.input_size = input_size
        self.close: OneLook | None = None
        if closer:
            self.close = OneLook(replace(config, coarse=0), teacher.first, input_size)
            # Its weights are in the file once.
            del self.close.teacher
            self.close.__dict__["teacher"] = teacher.first

    @property
    def uses_cached_features(self) -> bool:
        return self.close is None

    @property
    def each(self) -> list[OneLook]:
        return [self] if self.close is None else [self, self.close]

    def out_of_fold(self) -> OutOfFold | None:
        own = super().out_of_fold()
        close = None if self.close is None else self.close.out_of_fold()
        return own if own is None or close is None else _of_both(own, close)

    def forward(self, images: Tensor) -> MethodOutput:
        if self.close is None:
            return super().forward(images)
        features = self.features(self.levels(Batch(images=images)))
        codes = self.codes(features)
        told = self.product(codes)
        own = self.judged(features, codes, told)
        # Groups of an only product are its kinds, which each look finds for itself.
        group = told[0] if self.recognises else None
        close = self.close.measure(self.close.teacher(images), group)
        whole = F.interpolate(own.anomaly_map, self.input_size, mode="bilinear")
        return own._replace(
            anomaly_map=torch.maximum(whole, close.anomaly_map - _CLOSER),
            score=_odder(own.score, close.branches["structural"]),
            branches={
                **own.branches,
                "structural": _odder(own.branches["structural"], close.branches["structural"]),
            },
        )


def _odder(whole: Tensor, close: Tensor) -> Tensor:
    """The soft maximum of what the look at the whole and the close one say ``(n,)``."""
    return soft_maximum(torch.stack([whole, close - _CLOSER], 1), 1.0)


def _of_both(own: OutOfFold, close: OutOfFold) -> OutOfFold:
    """What pictures that both looks have measured score by both."""
    known = torch.isin(own.image, close.image)
    at = torch.searchsorted(close.image, own.image[known])
    structural = close.branches["structural"][at]
    return OutOfFold(
        own.image[known],
        _odder(own.score[known], structural),
        torch.maximum(own.peak[known], close.peak[at] - _CLOSER),
        torch.maximum(own.map_low[known], close.map_low[at] - _CLOSER),
        {
            **{name: values[known] for name, values in own.branches.items()},
            "structural": _odder(own.branches["structural"][known], structural),
        },
        None
        if own.apart is None or close.apart is None
        else _odder(own.apart[known], close.apart[at]),
    )
