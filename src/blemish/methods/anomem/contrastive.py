"""Contrastive losses on unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def nt_xent(
    anchors: Tensor, targets: Tensor, *, temperature: float, others: Tensor | None = None
) -> Tensor:
    """NT-Xent (Chen et al., "SimCLR", ICML 2020) of anchors against their targets.

    ``−log(p_i / (Σ_j p_ij + Σ_{j≠i} q_ij + Σ_k r_ik))``, the mean over i, with
    ``p_ij = exp(⟨a_i, t_j⟩/τ)``, ``q_ij = exp(⟨a_i, a_j⟩/τ)``, ``r_ik = exp(⟨a_i, o_k⟩/τ)`` and
    ``p_i = p_ii``.

    Args:
        anchors: ``(…, N, d)`` of unit length.
        targets: ``(…, N, d)`` of unit length; the i-th belongs to the i-th anchor.
        temperature: τ.
        others: ``(…, M, d)`` of unit length: further negatives for every anchor.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.contrastive import nt_xent
        >>> far = torch.eye(4)
        >>> near = torch.ones(4, 4) / 2
        >>> bool(nt_xent(far, far, temperature=0.2) < nt_xent(near, near, temperature=0.2))
        True
    """
    to_targets = anchors @ targets.transpose(-1, -2) / temperature  # (…, N, N)
    among = anchors @ anchors.transpose(-1, -2) / temperature  # (…, N, N)
    itself = torch.eye(anchors.shape[-2], dtype=torch.bool, device=anchors.device)
    candidates = [to_targets, among.masked_fill(itself, -torch.inf)]
    if others is not None:
        candidates.append(anchors @ others.transpose(-1, -2) / temperature)
    positive = to_targets.diagonal(dim1=-2, dim2=-1)  # (…, N)
    return (torch.cat(candidates, -1).logsumexp(-1) - positive).mean()


def variance_penalty(readouts: Tensor) -> Tensor:
    """``mean_d max(0, 1 − std_d √d)``: read-outs of a batch must not be all alike.

    A batch spread evenly over the unit sphere has a deviation of ``1/√d`` in every dimension and
    pays nothing; one of identical read-outs pays 1. After VICReg (Bardes et al., ICLR 2022).

    Args:
        readouts: ``(N, d)``.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.contrastive import variance_penalty
        >>> round(variance_penalty(torch.ones(8, 4)).item(), 2)
        0.98
    """
    # The small term keeps the gradient finite where all are alike.
    std = (readouts.var(0, unbiased=False) + 1e-4).sqrt()  # (d,)
    return (1.0 - std * readouts.shape[-1] ** 0.5).clamp_min(0.0).mean()
