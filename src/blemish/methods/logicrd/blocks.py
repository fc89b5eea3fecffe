"""Codes, gates and pseudo-anomalies: what LogicRD adds to the student of reverse distillation.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025, names the modules; the layers are ours. Global semantic enhancement (GSE): the
teacher's levels, fused across the hierarchy, become codes of the whole picture that hold how its
parts belong together. The feature compensation pathway (FCP) hands the student the detail that
global semantics lose, and the normal-information-inhibition gate (NII) stops anomalies from leaking
through it. Pseudo-anomalies cost nothing (features are changed, no image is drawn) and teach what
must not pass: the clean feature is what has to be rebuilt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.nn.reverse_distillation import StudentDecoder, StudentPlan

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
    """GSE: joined levels to tokens, transformer blocks, one code per student level.

    The blocks see relations between places; the positions are learned for the levels' ``size``.

    Shapes: joined levels ``(N, ΣC, H_L, W_L)`` → ``levels`` codes ``(N, width)``.
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


class Modulation(nn.Module):
    """Scale and shift of every channel by a code (FiLM: Perez et al., AAAI 2018).

    Starts as the identity, so that the student learns from where plain distillation would.
    """

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(code, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.project(code)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class InhibitionGate(nn.Module):
    """NII: how much of the detail passes at each place, given the detail and the whole picture.
    In training a share ``dropout`` of the detail's channels is hidden from it, so that it does not
    come to depend on one of them.

    Shapes: detail ``(N, C, H, W)`` and code ``(N, D)`` → logits ``(N, 1, H, W)``; their sigmoid is
    the share that passes.
    """

    def __init__(self, channels: int, code: int, *, dropout: float = 0.1, narrow: int = 8) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.detail = nn.Conv2d(channels, narrow, 3, padding=1)
        self.code = nn.Linear(code, narrow)
        self.out = nn.Conv2d(narrow, 1, 3, padding=1)

    def forward(self, detail: Tensor, code: Tensor) -> Tensor:
        seen = self.detail(self.dropout(detail)) + self.code(code)[:, :, None, None]
        return self.out(torch.relu(seen))  # (N, 1, H, W)


class CompensationPathway(nn.Module):
    """FCP: a teacher level, squeezed to an eighth of its channels, times the gate if ``gated``.

    Shapes: level ``(N, C_l, H, W)`` and code ``(N, D)`` → what is added to the student
    ``(N, width, H, W)``, and the gate's logits ``(N, 1, H, W)`` or ``None``.
    """

    def __init__(self, channels: int, width: int, *, code: int, gated: bool) -> None:
        super().__init__()
        narrow = max(1, channels // 8)
        self.squeeze = nn.Conv2d(channels, narrow, 1)
        self.gate = InhibitionGate(narrow, code) if gated else None
        self.widen = nn.Conv2d(narrow, width, 1, bias=False)

    def forward(self, level: Tensor, code: Tensor) -> tuple[Tensor, Tensor | None]:
        detail = self.squeeze(level)
        if self.gate is None:
            return self.widen(detail), None
        logits = self.gate(detail, code)
        return self.widen(detail * torch.sigmoid(logits)), logits


class GuidedDecoder(StudentDecoder):
    """The student of reverse distillation, with codes that modulate it and detail added to it.
    ``compensate``: the teacher's detail is given back (FCP); ``gated``: a gate inhibits it (NII).

    Shapes: bottleneck ``(N, C, ⌈H_L/2⌉, ⌈W_L/2⌉)``, the teacher's levels and one code ``(N, D)``
    each → the levels rebuilt, and the gates' logits ``(N, 1, H_l, W_l)``, empty without gates.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        size: tuple[int, int],
        *,
        plan: StudentPlan,
        code: int,
        compensate: bool = True,
        gated: bool = True,
    ) -> None:
        super().__init__(channels, strides, size, plan=plan)
        self.modulate = nn.ModuleList(Modulation(code, width) for width in plan.widths)
        self.pathways = nn.ModuleList(
            CompensationPathway(outputs, width, code=code, gated=gated)
            for outputs, width in zip(channels, plan.widths, strict=True)
            if compensate
        )

    def guided(
        self, bottleneck: Tensor, levels: Sequence[Tensor], codes: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Rebuild the levels, shallow to deep; see the class for the shapes."""
        x, rebuilt, gates = bottleneck, [], []
        stages = zip(self.up, self.refine, self.out, strict=True)
        for (up, refine, out), level in zip(stages, reversed(range(len(levels))), strict=True):
            x = self.modulate[level](up(x), codes[level])
            if self.pathways:
                added, logits = self.pathways[level](levels[level], codes[level])
                x = x + added
                if logits is not None:
                    gates.append(logits)
            x = refine(x)
            rebuilt.append(out(x))
        return rebuilt[::-1], gates[::-1]


def corrupt_patches(
    levels: Sequence[Tensor], *, share: float = 0.5, most: int = 3
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Replace rectangles in a share of the images, at the same place in every level.

    A rectangle is masked (zero, the mean of standardised features), or filled with another place
    of the same image, or with another place of another image. Random numbers come from torch's
    generator.
    An image has ``most`` of them at most, each side an eighth to a third of the image's.

    Returns:
        The changed levels and the mask ``(N, 1, H_L, W_L)`` bool at the deepest level's size.
    """
    n, _, height, width = levels[-1].shape
    device = levels[-1].device
    mask = _rectangles(n, (height, width), most).to(device)
    mask &= (torch.rand(n, 1, 1, 1) < share).to(device)
    kind = torch.randint(0, 3, (n, 1, 1, 1)).to(device)
    other = torch.roll(torch.arange(n), 1)
    rows = int(torch.randint(height // 4, height - height // 4 + 1, ())) if height > 1 else 0
    columns = int(torch.randint(width // 4, width - width // 4 + 1, ())) if width > 1 else 0
    changed = []
    for level in levels:
        factor = level.shape[2] // height
        moved = torch.roll(level, (rows * factor, columns * factor), dims=(2, 3))
        filling = torch.where(kind == 1, moved, moved[other])
        filling = torch.where(kind == 0, torch.zeros_like(level), filling)
        here = mask.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        changed.append(torch.where(here, filling, level))
    return tuple(changed), mask


def _rectangles(n: int, size: tuple[int, int], most: int) -> Tensor:
    """``(N, 1, H, W)`` bool: the union of one to ``most`` rectangles per image."""
    count = torch.randint(1, most + 1, (n, 1))  # (N, 1)
    inside = []
    for length in size:
        side = torch.rand(n, most) * (length / 3 - length / 8) + length / 8
        start = torch.rand(n, most) * (length - side)
        place = torch.arange(length) + 0.5  # (L,)
        inside.append((place >= start[..., None]) & (place < (start + side)[..., None]))
    rectangles = inside[0][..., :, None] & inside[1][..., None, :]  # (N, most, H, W)
    used = torch.arange(most) < count  # (N, most)
    return (rectangles & used[..., None, None]).any(1, keepdim=True)


def gate_loss(gates: list[Tensor], mask: Tensor) -> Tensor:
    """Cross-entropy of the gates' logits: open where nothing was changed, closed where it was."""
    losses = []
    for logits in gates:
        factor = logits.shape[2] // mask.shape[2]
        here = mask.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        # Changed places are few; each kind of place has half the say.
        loss = F.binary_cross_entropy_with_logits(logits.float(), (~here).float(), reduction="none")
        changed = loss[here].sum() / here.sum().clamp_min(1)
        losses.append((changed + loss[~here].sum() / (~here).sum().clamp_min(1)) / 2)
    return torch.stack(losses).mean()
