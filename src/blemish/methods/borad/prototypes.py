"""A bank of learned prototypes per location, and what is aligned through it.

"BoRAD: Bootstrap your Own Representations for Multi-class Anomaly Detection", arXiv 2606.14129.
Shapes: S = H·W locations, K prototypes, C channels; ``mid`` is the bottleneck's output.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.borad.projection import conv_norm_act


class PrototypeBank(nn.Module):
    """Learned prototypes ``P (S, K, C)``, orthonormal at each location at the start.

    Args:
        size: ``(H, W)`` of the bottleneck's output.
        prototypes: K, at most C.
        channels: C.

    Example:
        >>> from blemish.methods.borad.prototypes import PrototypeBank
        >>> bank = PrototypeBank((2, 3), prototypes=4, channels=8)
        >>> tuple(bank.P.shape), tuple(bank.shared().shape)
        ((6, 4, 8), (4, 8))
    """

    def __init__(self, size: tuple[int, int], *, prototypes: int, channels: int) -> None:
        super().__init__()
        columns, _ = torch.linalg.qr(torch.randn(size[0] * size[1], channels, prototypes))
        self.P = nn.Parameter(columns.transpose(1, 2).contiguous())  # (S, K, C)

    def shared(self) -> Tensor:
        """The global prototypes ``p̄_i = n(mean_j P_ji)``: ``(K, C)``."""
        return F.normalize(self.P.mean(0), dim=1)

    def read(self, mid: Tensor) -> Tensor:
        """Read-out ``r_j = Σ_i <n(mid_j), n(P_ji)> P_ji``: ``(N, C, H, W)`` → the same."""
        m = mid.flatten(2).transpose(1, 2)  # (N, S, C)
        a = torch.einsum("nsc,skc->nsk", F.normalize(m, dim=2), F.normalize(self.P, dim=2))
        r = torch.einsum("nsk,skc->nsc", a, self.P)  # (N, S, C)
        return r.transpose(1, 2).reshape(mid.shape)


class SpatialAlignment(nn.Module):
    """Spatial prototype alignment: at every location the online view predicts the target's merge.

    ``u = M([mid, r])``, ``z = q(u)``, ``t = M([mid', r'])`` without gradient;
    ``L_sp = 2 − 2 mean_j <n(z_j), n(t_j)>``.

    Args:
        channels: C.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.prototypes import PrototypeBank, SpatialAlignment
        >>> bank = PrototypeBank((2, 2), prototypes=3, channels=8)
        >>> mid = torch.randn(4, 8, 2, 2)
        >>> 0 <= SpatialAlignment(8)(mid, mid, bank).item() <= 4
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = conv_norm_act(2 * channels, channels, kernel=1)  # M
        self.predict = nn.Sequential(  # q
            conv_norm_act(channels, channels, kernel=1), conv_norm_act(channels, channels, kernel=1)
        )

    def forward(self, mid: Tensor, target: Tensor, bank: PrototypeBank) -> Tensor:
        z = self.predict(self.merge(torch.cat([mid, bank.read(mid)], dim=1)))  # (N, C, H, W)
        with torch.no_grad():
            t = self.merge(torch.cat([target, bank.read(target)], dim=1))
        return 2 - 2 * F.cosine_similarity(z.float(), t.float(), dim=1).mean()


class GlobalAlignment(nn.Module):
    """Prototype-relative global alignment: the pooled views agree as seen from each prototype.

    ``d_i = g − p̄_i``, ``e_i = g' − p̄_i`` without gradient, ``y_i = h(d_i)``;
    ``L_gl = mean_i (2 − 2 <n(y_i), n(e_i)>)``.

    Args:
        channels: C.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.prototypes import GlobalAlignment, PrototypeBank
        >>> bank = PrototypeBank((2, 2), prototypes=3, channels=8)
        >>> mid = torch.randn(4, 8, 2, 2)
        >>> 0 <= GlobalAlignment(8)(mid, mid, bank).item() <= 4
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(  # h; the last layer is free to be negative, as its target is
            nn.Linear(channels, channels),
            nn.LayerNorm(channels),
            nn.LeakyReLU(inplace=True),
            nn.Linear(channels, channels),
        )

    def forward(self, mid: Tensor, target: Tensor, bank: PrototypeBank) -> Tensor:
        p = bank.shared()  # (K, C)
        y = self.predict(mid.mean((2, 3))[:, None] - p)  # (N, K, C)
        with torch.no_grad():
            e = target.mean((2, 3))[:, None] - p
        return 2 - 2 * F.cosine_similarity(y.float(), e.float(), dim=2).mean()
