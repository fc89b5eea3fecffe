from __future__ import annotations

import torch

from blemish.nn.standardise import ChannelStandardiser


def test_features_have_mean_zero_and_deviation_one_over_all_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 30.0, 0.5]).view(1, 3, 1, 1)
    batches = [
        (scale * torch.randn(count, 3, 4, 5, generator=generator) + 7,) for count in (3, 5, 1)
    ]
    standardise = ChannelStandardiser((3,))
    standardise.fit(batches)
    result = torch.cat([standardise(batch)[0] for batch in batches]).double()
    assert result.mean((0, 2, 3)).abs().max() < 1e-4
    assert (result.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_a_channel_that_never_moves_stays_finite_and_quiet() -> None:
    level = torch.randn(4, 3, 8, 8)
    level[:, 1] = 2.0
    standardise = ChannelStandardiser((3,))
    standardise.fit([(level,)])
    (result,) = standardise((level,))
    assert result.isfinite().all()
    noisy = level.clone()
    noisy[:, 1] += 1e-4
    assert (standardise((noisy,))[0][:, 1]).abs().max() < 0.1


def test_large_offsets_do_not_cancel() -> None:
    """E[x²] − E[x]² in single precision would lose everything here."""
    level = 1000 + torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    standardise = ChannelStandardiser((1,))
    standardise.fit([(level,)])
    assert abs(float(standardise((level,))[0].std()) - 1) < 0.01


def test_unfitted_it_changes_nothing_and_its_statistics_are_saved() -> None:
    standardise = ChannelStandardiser((2, 3))
    levels = (torch.randn(1, 2, 4, 4), torch.randn(1, 3, 2, 2))
    assert all(torch.equal(a, b) for a, b in zip(standardise(levels), levels, strict=True))
    standardise.fit([levels])
    other = ChannelStandardiser((2, 3))
    other.load_state_dict(standardise.state_dict())
    assert torch.equal(other(levels)[1], standardise(levels)[1])
