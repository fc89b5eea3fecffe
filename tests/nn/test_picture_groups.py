"""Groups of pictures: as many as are clearly apart, found without labels."""

from __future__ import annotations

import numpy as np
import torch

from blemish.nn.picture_groups import PictureGroups


def descriptions(n: int, *, shift: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(int(10 * shift) + n)
    mixing = rng.normal(size=(12, 12)) * np.linspace(0.2, 3, 12)
    return torch.from_numpy(rng.normal(size=(n, 12)) @ mixing + shift).float()


def test_groups_are_found_without_labels_and_one_product_stays_one() -> None:
    parts = [descriptions(30, shift=s) for s in (0.0, 60.0, 140.0)]
    groups = PictureGroups(12)
    groups.fit(torch.cat(parts), most=8)
    assert len(groups.centre) == 3
    for part in parts:
        member = groups(part)
        assert bool((member.sum(1) == 1).all())
        assert len(member.argmax(1).unique()) == 1
    alone = PictureGroups(12)
    alone.fit(torch.randn(60, 12, generator=torch.Generator().manual_seed(0)), most=8)
    assert len(alone.centre) == 1
    few = PictureGroups(12)
    few.fit(torch.cat([descriptions(4), descriptions(4, shift=60.0)]), most=8)
    assert len(few.centre) == 1
