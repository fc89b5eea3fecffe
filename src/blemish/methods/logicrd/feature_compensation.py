"""A student decoder that is told the whole picture and given back its fine detail, through a gate.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025: the feature compensation pathway (FCP) hands the student the detail that global
semantics lose, and the normal-information-inhibition gate (NII) stops anomalies from leaking
through it. The layers are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blemish.nn.reverse_distillation import StudentDecoder


class Modulation(nn.Module):
    """Scale and shift of every channel by a code (FiLM: Perez et al., AAAI 2018).

    Starts as the identity, so that the student learns from where plain distillation would.

    Shapes: ``(N, C, H, W)`` and code ``(N, D)`` → ``(N, C, H, W)``.
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

    Args:
        channels: Channels of the detail.
        code: Channels of the code.
        dropout: Share of the detail's channels hidden from the gate in training, so that it does
            not come to depend on one of them.

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
    """FCP: a teacher level, squeezed to an eighth of its channels, times the gate.

    Args:
        channels: Channels of the teacher's level.
        width: Channels of the student at that level.
        code: Channels of the code the gate sees.
        gated: Without a gate everything passes.

    Shapes: level ``(N, C_l, H, W)`` and code ``(N, D)`` → what is added to the student
    ``(N, width, H, W)``, and the gate's logits ``(N, 1, H, W)`` or ``None``.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.feature_compensation import CompensationPathway
        >>> pathway = CompensationPathway(24, 32, code=8, gated=True)
        >>> added, gate = pathway(torch.ones(2, 24, 4, 6), torch.ones(2, 8))
        >>> tuple(added.shape), tuple(gate.shape)
        ((2, 32, 4, 6), (2, 1, 4, 6))
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

    Args:
        inputs, channels, widths, blocks: As for :class:`StudentDecoder`.
        code: Channels of the codes.
        compensate: Whether the teacher's detail is given back (FCP).
        gated: Whether a gate inhibits it (NII).

    Shapes: bottleneck ``(N, inputs, H_3/2, W_3/2)``, the teacher's levels and one code ``(N, D)``
    each → the levels rebuilt, and the gates' logits ``(N, 1, H_l, W_l)``, empty without gates.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.feature_compensation import GuidedDecoder
        >>> decoder = GuidedDecoder(4, (8, 16), widths=(6, 6), blocks=(1, 1), code=5)
        >>> levels = [torch.ones(2, 8, 8, 8), torch.ones(2, 16, 4, 4)]
        >>> rebuilt, gates = decoder.guided(torch.ones(2, 4, 2, 2), levels, [torch.ones(2, 5)] * 2)
        >>> [tuple(level.shape) for level in rebuilt], len(gates)
        ([(2, 8, 8, 8), (2, 16, 4, 4)], 2)
    """

    def __init__(
        self,
        inputs: int,
        channels: Sequence[int],
        *,
        widths: Sequence[int],
        blocks: Sequence[int],
        code: int,
        compensate: bool = True,
        gated: bool = True,
    ) -> None:
        super().__init__(inputs, channels, widths=widths, blocks=blocks)
        self.modulate = nn.ModuleList(Modulation(code, width) for width in widths)
        self.pathways = nn.ModuleList(
            CompensationPathway(outputs, width, code=code, gated=gated)
            for outputs, width in zip(channels, widths, strict=True)
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
