"""Shrinking in plain operations is the antialiased resize that PyTorch has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blemish.nn.shrink import Shrink


@pytest.mark.parametrize(
    ("size", "to"),
    [((640, 640), (384, 384)), ((992, 416), (608, 256)), ((64, 96), (64, 32)), ((5, 7), (3, 2))],
)
def test_it_is_the_antialiased_bilinear_resize(size: tuple[int, int], to: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (2, 3, *size), generator=generator, dtype=torch.uint8)
    expected = F.interpolate(pictures.float(), to, mode="bilinear", antialias=True)
    # PyTorch's own weights have the precision of float32.
    torch.testing.assert_close(Shrink(size, to)(pictures), expected, atol=0.02, rtol=0)


def test_a_field_keeps_its_grey_to_the_border() -> None:
    grey = torch.full((1, 3, 50, 70), 77, dtype=torch.uint8)
    torch.testing.assert_close(Shrink((50, 70), (32, 32))(grey), torch.full((1, 3, 32, 32), 77.0))


def test_it_has_nothing_to_save() -> None:
    assert not Shrink((64, 64), (32, 32)).state_dict()
