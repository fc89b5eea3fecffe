"""Who gets in, and when the others are told to come again."""

from __future__ import annotations

import pytest

from blemish.errors import ConfigError
from blemish.serving.limits import Admission, RefusalError, ServeLimits


def test_places_are_taken_all_or_none_and_given_back() -> None:
    admission = Admission(ServeLimits(images=3, queue=4))
    admission.enter(3)
    with pytest.raises(RefusalError) as caught:
        admission.enter(2)
    assert caught.value.status == 503
    assert admission.images == 3
    admission.enter(1)
    admission.leave(3, now=1.0)
    admission.enter(3)
    assert admission.images == 4


def test_bytes_of_all_bodies_together_are_bounded() -> None:
    admission = Admission(ServeLimits(body_bytes=60, upload_bytes=100))
    admission.hold(60)
    with pytest.raises(RefusalError) as caught:
        admission.hold(41)
    assert caught.value.status == 503
    admission.hold(40)
    admission.release(60)
    assert admission.bytes == 40


def test_the_time_to_wait_follows_from_how_fast_images_are_answered() -> None:
    admission = Admission(ServeLimits(queue=100))
    assert admission.wait() == 1  # nothing is known yet
    admission.enter(40)
    for second in range(10):
        admission.leave(1, now=float(second))
    assert admission.wait() == 15  # 30 are left, one a second: half of them
    admission.enter(70)
    assert admission.wait() == 30  # and never longer


@pytest.mark.parametrize(
    ("bad", "flag"),
    [
        ({"queue": 0}, "--queue is 0"),
        ({"images": 9, "queue": 8}, "Raise --queue"),
        ({"body_bytes": 9, "upload_bytes": 8}, "lower --max-mib"),
        ({"pixels": -1}, "--max-megapixels is -1"),
    ],
)
def test_bounds_that_cannot_work_are_refused_by_their_flags(bad: dict[str, int], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        ServeLimits(**bad)
