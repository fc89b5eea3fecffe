"""Share of a batch: the pictures of a global batch that one of several processes computes on.

Of R processes the r-th has pictures r, r + R, … of every batch. What is random for each picture, or
taken over all pictures of the batch, has to come out as in one process; here is what a loss needs
for that. In one process nothing of it changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from blemish.nn.precision import single_at_least


class _Share(NamedTuple):
    rank: int = 0
    processes: int = 1


_share = _Share()


@contextmanager
def sharing(rank: int, processes: int) -> Iterator[None]:
    """Losses computed inside are those of one of several processes, which have met by now.

    Every process has the same number of pictures, and seeds torch's generator alike at each step.
    """
    global _share
    before, _share = _share, _Share(rank, processes)
    try:
        yield
    finally:
        _share = before


def drawn(draw: Callable[[int], Tensor], count: int, dim: int = 0) -> Tensor:
    """Random numbers of ``count`` pictures, those that one process would draw for them.

    Args:
        draw: From a number of pictures to a tensor with that many places along ``dim``.
        count: Pictures that this process has.
        dim: Where pictures are.

    Example:
        >>> import torch
        >>> from blemish.nn.batch_share import drawn, sharing
        >>> _ = torch.manual_seed(0)
        >>> whole = drawn(lambda n: torch.rand(n, 2), 4)
        >>> _ = torch.manual_seed(0)
        >>> with sharing(1, 2):
        ...     torch.equal(drawn(lambda n: torch.rand(n, 2), 2), whole[1::2])
        True
    """
    rank, processes = _share
    if processes == 1:
        return draw(count)
    own = torch.arange(rank, count * processes, processes)
    whole = draw(count * processes)
    return whole.index_select(dim, own.to(whole.device))


def over_batch(mean: Tensor) -> Tensor:
    """A mean over a process's pictures → over the whole batch, without gradient."""
    if _share.processes == 1:
        return mean
    total = mean.detach().clone() if mean.is_floating_point() else mean.float()
    dist.all_reduce(total)
    return total / _share.processes


def previous_pictures(x: Tensor) -> Tensor:
    """For each picture ``(N, C, H, W)`` the one before it in the batch, without gradient.

    The first gets the last of the batch.
    """
    rank, processes = _share
    if processes == 1:
        return x[torch.roll(torch.arange(len(x)), 1)]
    # Its neighbour is with the process before, at the same place; of the first process, at the
    # place before.
    mine = x.detach().permute(0, 2, 3, 1).contiguous()
    theirs = torch.empty_like(mine)
    swap = [
        dist.P2POp(dist.isend, mine, (rank + 1) % processes),
        dist.P2POp(dist.irecv, theirs, (rank - 1) % processes),
    ]
    for under_way in dist.batch_isend_irecv(swap):
        under_way.wait()
    return (theirs if rank else theirs.roll(1, 0)).permute(0, 3, 1, 2)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the whole batch, of which this process may have a share.

    torch's ``SyncBatchNorm`` does it on GPUs alone. Means and variances travel, no pixels (Chan,
    Golub, LeVeque, "Algorithms for computing the sample variance", 1983), with more digits than
    torch takes in one process: the sums over a batch in channels-last order lose some there.

    Shapes: ``(N, C, H, W)`` → the same.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or _share.processes == 1:
            return super().forward(input)
        x = single_at_least(input)  # sums need the digits that mixed precision drops
        with torch.no_grad():
            own = _mean(x)
            mean = over_batch(own)
            spread = _mean((x - _channels(own.to(x))).square())
            variance = over_batch(spread + (own - mean).square())
            self._keep(mean, variance, x.numel() // x.shape[1] * _share.processes)
            scale = (variance + self.eps).rsqrt().to(x)
        weight = self.weight if self.affine else torch.ones_like(scale)
        bias = self.bias if self.affine else torch.zeros_like(scale)
        normed: Tensor = _Normalised.apply(x, weight, bias, mean.to(x), scale)
        return normed.to(input.dtype)

    def _keep(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move what prediction will use, as torch does it."""
        if self.running_mean is None or self.running_var is None:
            return
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        assert momentum is not None
        unbiased = variance * (values / max(1, values - 1))
        for kept, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            kept.copy_(momentum * new + (1 - momentum) * kept)


class _Normalised(torch.autograd.Function):
    """``(x − mean) scale · weight + bias`` with moments of all processes, which depend on x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, scale)
        factor = scale * weight
        return x * _channels(factor) + _channels(bias - mean * factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        apart = x - _channels(mean)
        own = torch.stack([_mean(gradient), _mean(gradient * apart)])
        shift, slope = over_batch(own)
        values = x.numel() // x.shape[1]
        along = _channels((slope * scale.double().square()).to(x))
        through = (gradient - _channels(shift.to(x)) - apart * along) * _channels(scale * weight)
        return through, (own[1] * scale * values).to(x), (own[0] * values).to(x), None, None


def _mean(x: Tensor) -> Tensor:
    """Mean over pictures and places ``(C,)``, float64; the sums over places are float32's."""
    return x.mean((2, 3)).double().mean(0)


def _channels(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
