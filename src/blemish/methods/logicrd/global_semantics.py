"""Global semantic enhancement: one code of the whole picture for every level of a student.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025, names the module (GSE): the teacher's levels, fused across the hierarchy, become
global representations that hold how the parts of a picture belong together. The layers are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEWEST_TOKENS = 128  # below, neighbouring parts would share a token


def join_levels(levels: Sequence[Tensor]) -> Tensor:
    """All levels at the deepest one's size, concatenated.

    Shapes: levels ``(N, C_l, H_l, W_l)``, each a whole multiple of the deepest's size →
    ``(N, ΣC_l, H_L, W_L)``.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.global_semantics import join_levels
        >>> tuple(join_levels([torch.ones(1, 2, 8, 12), torch.ones(1, 3, 4, 6)]).shape)
        (1, 5, 4, 6)
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

    Example:
        >>> from blemish.methods.logicrd.global_semantics import token_grid
        >>> token_grid((16, 16)), token_grid((32, 48)), token_grid((20, 25))
        ((16, 16), (16, 24), (20, 25))
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

    Args:
        width: Channels of the tokens.
        heads: Attention heads; divides ``width``.

    Shapes: ``(N, T, width)`` → the same.
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
    """GSE: joined levels to tokens, two transformer blocks, one code per student level.

    Args:
        channels: Channels of the joined levels.
        size: ``(H_L, W_L)`` of the joined levels; the positions are learned for it.
        levels: Number of codes.
        width: Channels of the tokens and of each code.
        blocks: Transformer blocks: the layers that see relations between places.
        heads: Attention heads.

    Shapes: joined levels ``(N, ΣC, H_L, W_L)`` → ``levels`` codes ``(N, width)``.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.global_semantics import GlobalSemantics
        >>> semantics = GlobalSemantics(9, (4, 6), levels=3, width=8, heads=2)
        >>> [tuple(code.shape) for code in semantics(torch.ones(2, 9, 4, 6))]
        [(2, 8), (2, 8), (2, 8)]
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        levels: int,
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
        self.codes = nn.ModuleList(nn.Linear(width, width) for _ in range(levels))

    def forward(self, joined: Tensor) -> list[Tensor]:
        if self.factor > 1:
            joined = F.avg_pool2d(joined, self.factor)
        tokens = self.fuse(joined).flatten(2).transpose(1, 2) + self.position  # (N, T, width)
        summary = self.norm(self.blocks(tokens)).mean(1)  # (N, width)
        return [code(summary) for code in self.codes]
