"""Gates and pathways: what LogicRD adds to the student of reverse distillation.

"Efficient logical anomaly detection based on reverse distillation", Journal of Computer
Applications 2025, names the modules; the layers are ours. The feature compensation pathway (FCP)
hands the student the detail that global semantics lose, and the normal-information-inhibition gate
(NII) stops anomalies from leaking through it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.logicrd.pseudo_anomalies import at_levels
from blemish.nn.batch_share import drawn, over_batch
from blemish.nn.precision import single_at_least
from blemish.nn.reverse_distillation import StudentDecoder, StudentPlan


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
        self.dropout = dropout
        self.detail = nn.Conv2d(channels, narrow, 3, padding=1)
        self.code = nn.Linear(code, narrow)
        self.out = nn.Conv2d(narrow, 1, 3, padding=1)

    def forward(self, detail: Tensor, code: Tensor) -> Tensor:
        if self.training and self.dropout:
            detail = detail * drawn(lambda n: self._shown(detail, n), len(detail))
        seen = self.detail(detail) + self.code(code)[:, :, None, None]
        return self.out(torch.relu(seen))  # (N, 1, H, W)

    def _shown(self, detail: Tensor, n: int) -> Tensor:
        """Dropout of whole channels, as ``torch.nn.Dropout2d`` draws it for n pictures."""
        kept = 1 - self.dropout
        return detail.new_empty(n, detail.shape[1], 1, 1).bernoulli_(kept).div_(kept)


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


def gate_loss(gates: list[Tensor], mask: Tensor) -> Tensor:
    """Cross-entropy of the gates' logits: open where nothing was changed, closed where it was."""
    losses = []
    for logits, here in zip(gates, at_levels(mask, gates), strict=True):
        # Changed places are few; each kind of place has half the say.
        logits = single_at_least(logits)
        loss = F.binary_cross_entropy_with_logits(logits, (~here).to(logits), reduction="none")
        counts = [over_batch(of.sum()) for of in (here, ~here)]
        changed, others = (
            loss[of].sum() / (count + (count == 0))
            for of, count in zip((here, ~here), counts, strict=True)
        )
        losses.append((changed + others) / 2)
    return torch.stack(losses).mean()
