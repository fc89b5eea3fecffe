"""Registration: turns and shifts are found over the whole range, and what fits nowhere is told."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.data.images.registration import SHIFT, TURN, register, turning, working_size

cv2 = pytest.importorskip("cv2")


def part(size: tuple[int, int] = (180, 256), seed: int = 0) -> np.ndarray:
    """A dark field with a lopsided part in its middle, ``(h, w)`` uint8."""
    rng = np.random.default_rng(seed)
    grey = np.full(size, 30, np.uint8)
    height, width = size
    cv2.ellipse(grey, (width // 2, height // 2), (width // 4, height // 4), 0, 0, 360, 160, -1)
    cv2.rectangle(grey, (width // 2, height // 3), (2 * width // 3, height // 2), 220, -1)
    return np.clip(grey + rng.normal(0, 4, size), 0, 255).astype(np.uint8)


def moved(grey: np.ndarray, angle: float, right: float, down: float) -> np.ndarray:
    size = grey.shape[0], grey.shape[1]
    matrix = turning(angle, right, down, size)
    return cv2.warpAffine(grey, matrix, size[::-1], borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize(
    ("angle", "right", "down"),
    [
        (0, 0, 0),
        (5, 0.05, -0.05),
        (-3.3, 0.013, 0.08),
        (TURN, SHIFT, SHIFT),
        (-TURN, -SHIFT, SHIFT),
        (TURN, -SHIFT, -SHIFT),
    ],
)
@pytest.mark.parametrize("size", [(256, 256), (180, 256), (256, 110)])
def test_every_place_within_the_range_is_found(
    size: tuple[int, int], angle: float, right: float, down: float
) -> None:
    found = register(part(size), moved(part(size, seed=1), angle, right, down))
    assert found.angle == pytest.approx(angle, abs=0.4)
    assert found.right == pytest.approx(right, abs=0.004)
    assert found.down == pytest.approx(down, abs=0.004)
    assert found.in_range
    assert found.quality > 0.95


def test_light_and_contrast_do_not_count() -> None:
    dim = (moved(part(), 4, 0.03, 0) * 0.5 + 60).astype(np.uint8)
    found = register(part(), dim)
    assert found.angle == pytest.approx(4, abs=0.4)
    assert found.quality > 0.95


def test_what_shows_nothing_of_it_has_no_quality() -> None:
    noise = np.random.default_rng(3).integers(0, 255, part().shape).astype(np.uint8)
    for foreign in (noise, np.full_like(noise, 99)):
        assert register(part(), foreign).quality < 0.5


def test_of_the_reference_only_what_is_looked_at_counts() -> None:
    picture = moved(part(), 5, 0.05, 0.0)
    stamped = picture.copy()
    stamped[8:60, 8:60] = np.random.default_rng(0).integers(0, 255, (52, 52))
    looked_at = np.ones(picture.shape, bool)
    looked_at[:75, :75] = False
    whole, part_of_it = register(part(), stamped), register(part(), stamped, looked_at)
    assert whole.quality < 0.95 < part_of_it.quality
    assert abs(whole.angle - 5) > 1
    assert part_of_it.angle == pytest.approx(5, abs=0.4)


def test_the_working_size_keeps_the_shape() -> None:
    assert working_size((500, 1250)) == (102, 256)
