"""Global semantics: codes of a picture that hold how its parts belong together.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025, states global semantic enhancement (GSE): the teacher's levels, fused across the
hierarchy. The layers are ours, and so is the loss that has the codes hold what is logical: codes of
a picture of which parts were swapped, doubled or taken away must stand out against what differs
between good pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.nn.precision import single_at_least

_FEWEST_TOKENS = 128  # below, neighbouring parts would share a token


def join_levels(levels: Sequence[Tensor]) -> Tensor:
    """All levels at the deepest one's size, concatenated.

    Shapes: levels ``(N, C_l, H_l, W_l)``, each a whole multiple of the deepest's size →
    ``(N, ΣC_l, H_L, W_L)``.
    """
    deepest = levels[-1]
    pooled = []
    for level in levels:
        # Whole factors, not adaptive pooling, whose windows no exporter can promise.
        factor = level.shape[2] // deepest.shape[2]
        pooled.append(F.avg_pool2d(level, factor) if factor > 1 else level)
    return torch.cat(pooled, dim=1)  # (N, ΣC, H_L, W_L)


def token_grid(size: tuple[int, int]) -> tuple[int, int]:
    """Whole-number reduction of the deepest level's size to about 16 × 16 tokens.

    The cost of attention grows with the square of the tokens, so that the grid stays near 16 × 16
    however large the input is.
    """
    height, width = size
    best = 1
    for factor in range(1, min(size) + 1):
        fits = height % factor == 0 and width % factor == 0
        if fits and height * width // factor**2 >= _FEWEST_TOKENS:
            best = factor
    return height // best, width // best


class AttentionBlock(nn.Module):
    """Transformer block: self-attention and a two-layer perceptron, each after a normalisation.

    Shapes: tokens ``(N, T, width)`` → the same.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        n, t, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, T, width/heads)
        read = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, width)
        tokens = tokens + self.out(read)
        return tokens + self.mlp(self.norm2(tokens))


class GlobalSemantics(nn.Module):
    """GSE: joined levels to tokens, transformer blocks, a code at every place of the token grid.

    The blocks see relations between places; the positions are learned for the levels' ``size``. The
    codes' mean over the picture is its global code, from which follows what guides the student at
    each of its ``levels``; their mean over a part is what that part is within the whole. Codes that
    are ``measured`` have a layer more.

    Shapes: joined levels ``(N, ΣC, H_L, W_L)`` → codes ``(N, width, h, w)``.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        levels: int,
        measured: bool = False,
        width: int = 64,
        blocks: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.grid = token_grid(size)
        self.factor = size[0] // self.grid[0]
        self.fuse = nn.Conv2d(channels, width, 1)
        self.position = nn.Parameter(torch.randn(1, self.grid[0] * self.grid[1], width) * 0.02)
        self.blocks = nn.Sequential(*(AttentionBlock(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.code: nn.Module = nn.Linear(width, width) if measured else nn.Identity()
        self.levels = nn.ModuleList(nn.Linear(width, width) for _ in range(levels))

    def tokens(self, joined: Tensor) -> Tensor:
        """Joined levels at the token grid's size ``(N, ΣC, h, w)``."""
        return F.avg_pool2d(joined, self.factor) if self.factor > 1 else joined

    def forward(self, joined: Tensor) -> Tensor:
        fused = self.fuse(self.tokens(joined)).flatten(2).transpose(1, 2)  # (N, T, width)
        codes = self.code(self.norm(self.blocks(fused + self.position)))
        return codes.transpose(1, 2).reshape(-1, codes.shape[2], *self.grid)

    def guides(self, codes: Tensor) -> list[Tensor]:
        """What modulates each student level ``(N, width)``, given the codes of every place."""
        whole = codes.mean((2, 3))  # (N, width), the global code
        return [level(whole) for level in self.levels]


def logic_loss(clean: Tensor, changed: Tensor, dose: Tensor, membership: Tensor) -> Tensor:
    """How little the codes of changed pictures stand out against those of good ones.

    ``Σ w log(1 + 1/m) / Σ w`` over pictures and parts, with ``m = δᵀ S⁻¹ δ / D`` of the change δ of
    a part's code. S is the covariance of the good codes about their group's mean in the batch, half
    of it shrunk to a multiple of the identity: ``m`` is the distance that the Mahalanobis measure
    would see. A part weighs by its ``dose``, relative to the mean of those that changed, one at
    most: swapped background is no anomaly.

    Args:
        clean: Codes ``(N, P, D)`` of the parts of good pictures.
        changed: Those of the same pictures once parts changed places.
        dose: ``(N, P)`` how far the features of each part changed, 0 where they did not.
        membership: ``(N, K)`` the picture's group, one 1 per row.

    Returns:
        The loss; zero where no two pictures of a group are in the batch, or nothing changed.
    """
    count = membership.sum(0)  # (K,)
    free = int(len(clean) - (count > 0).sum())
    weight = (dose / (dose.sum(0) / (dose > 0).sum(0).clamp_min(1)).clamp_min(1e-6)).clamp_max(1)
    if free < 1 or not bool((weight > 0).any()):
        return clean.sum() * 0.0
    # The covariance needs the digits that mixed precision drops.
    with torch.autocast(clean.device.type, enabled=False):
        good, other = single_at_least(clean), single_at_least(changed)
        member = membership.to(good)
        share = member / count.clamp_min(1).to(good)
        centre = torch.einsum("nk,npd->kpd", share, good)  # (K, P, D)
        apart = good - torch.einsum("nk,kpd->npd", member, centre)
        scatter = torch.einsum("npd,npe->pde", apart, apart) / free  # (P, D, D)
        size = scatter.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + 1e-4
        identity = torch.eye(good.shape[2]).to(good)
        shrunk = 0.5 * scatter + 0.5 * size * identity
        change = (other - good).transpose(0, 1)  # (P, N, D)
        solved = torch.linalg.solve(shrunk, change.transpose(1, 2)).transpose(1, 2)
        stands_out = (change * solved).mean(2).T  # (N, P)
        return (torch.log1p(1 / (stands_out + 1e-4)) * weight).sum() / weight.sum()
