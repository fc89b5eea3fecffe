"""Targets: what a line of text means, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.delivery.message import Message, message_of
from blemish.delivery.target import Target
from blemish.errors import ConfigError
from blemish.results import Prediction, Verdict


def message(verdict: Verdict, product: str = "nut") -> Message:
    found = Prediction(None, product, 1.0, np.zeros((2, 2), np.float32), verdict=verdict)
    return message_of(found, "m.blemish")


def test_a_target_wants_the_verdicts_and_products_it_names() -> None:
    target = Target.parse("https://mes/hook?line=3#verdict=defect,unsure&product=nut&every=2.5")
    assert target.address == "https://mes/hook?line=3"
    assert target.every == 2.5
    assert not target.overlay
    wanted = [target.wants(message(v, p)) for v in ("ok", "defect") for p in ("nut", "bolt")]
    assert wanted == [False, False, True, False]
    assert Target.parse("folder:/tmp/x").wants(message("ok"))


def test_secrets_are_in_no_name_and_no_key() -> None:
    with_secret = Target.parse("mqtts://me:hunter2@broker/plant/line3")
    assert with_secret.name == "mqtts://broker/plant/line3"
    assert with_secret.key == Target.parse("mqtts://broker/plant/line3").key
    assert "hunter2" not in Target.parse("https://mes/hook?token=hunter2").name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://x/y", "is no target"),
        ("webhook", "is no target"),
        ("https://", "is no target"),
        ("mqtt://broker", "names no topic"),
        ("folder:", "names none"),
        ("csv:", "names none"),
        ("csv:x#overlay=1", "holds no pictures"),
        ("https://x/#verdicts=ok", "did you mean 'verdict'|Did you mean verdict|verdict"),
        ("https://x/#verdict=bad", "verdict"),
        ("https://x/#verdict=", "names none"),
        ("https://x/#every=soon", "is no time"),
        ("https://x/#every=-1", "is no time"),
        ("https://me:hunter2@x:port/#every=nan", "is no time"),
    ],
)
def test_what_is_no_target_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        Target.parse(text)
    assert "hunter2" not in str(refused.value)
