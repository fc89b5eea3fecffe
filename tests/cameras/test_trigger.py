"""Which frames a trigger wants: by time, at rest, on call."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_camera import grey

from blemish.cameras.frame import Frame
from blemish.cameras.trigger import AtRest, Every, parse_trigger
from blemish.errors import ConfigError


def fired(trigger: object, frames: list[Frame]) -> list[int]:
    return [at for at, frame in enumerate(frames) if trigger.fires(frame)]  # type: ignore[attr-defined]


def test_every_so_many_seconds_and_a_clock_that_is_set_back() -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.4, -100.0, -99.9, -99.8]
    assert fired(Every(0.2), [Frame(grey(0), at) for at in times]) == [0, 2, 4, 5, 7]
    assert fired(Every(), [Frame(grey(0), 0.04 * at) for at in range(4)]) == [0, 1, 2, 3]


def test_a_part_is_judged_once_when_it_has_come_to_rest() -> None:
    noise = np.random.default_rng(0)

    def seen(left: int) -> np.ndarray:
        picture = np.full((96, 128, 3), 60.0)
        picture[30:60, left : left + 20] = 200  # a small part on a belt
        return np.clip(picture + noise.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)

    places = [*range(0, 60, 6), *[60] * 10, *range(60, 100, 1), *[100] * 10]  # slow movement too
    frames = [Frame(seen(left), 0.04 * at) for at, left in enumerate(places)]
    first, second = fired(AtRest(0.2), frames)
    assert 15 <= first <= 16  # five frames after the last movement
    assert 60 <= second <= 66


def test_what_lies_there_from_the_start_is_judged_too() -> None:
    assert fired(AtRest(0.1), [Frame(grey(90), 0.05 * at) for at in range(6)]) == [2]


def test_words_for_triggers() -> None:
    assert isinstance(parse_trigger("rest"), AtRest)
    assert fired(parse_trigger("call"), [Frame(grey(0), 1.0)]) == []
    assert fired(parse_trigger("every:1"), [Frame(grey(0), at) for at in (0.0, 0.5, 1.0)]) == [0, 2]
    for wrong in ("every", "every:x", "every:-1", "rest:nan", "motion", ""):
        with pytest.raises(ConfigError, match="expected all, every:SECONDS"):
            parse_trigger(wrong)
