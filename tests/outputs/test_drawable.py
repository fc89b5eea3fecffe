"""Captions hold no empty boxes: every character is drawn, or another in its stead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from blemish.outputs.drawable import drawable
from blemish.outputs.overlay import _numbers, _origin
from blemish.results import Branch, Prediction

FONT = ImageFont.load_default(16)
BOX = bytes(FONT.getmask("\uffff"))


def boxes(text: str) -> list[str]:
    return [c for c in text if bytes(FONT.getmask(c)) == BOX]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("plain ASCII: 100 % of {~}", "plain ASCII: 100 % of {~}"),
        ("2.41 × limit", "2.41 x limit"),
        ("Größe, naïve, façade", "Grosse, naive, facade"),
        ("−3 – 4", "-3 - 4"),
        ("検査/ok", "??/ok"),
        ("", ""),
    ],
)
def test_what_cannot_be_drawn_is_replaced(text: str, drawn: str) -> None:
    assert drawable(text) == drawn
    assert boxes(drawable(text)) == []


def test_a_caption_has_no_empty_boxes() -> None:
    seen = Prediction(
        path=Path("Prüfung/Größe 検/001.png"),
        product="Schlüssel",
        score=2.0,
        anomaly_map=np.zeros((4, 4), np.float32),
        p_value=0.04,
        verdict="defect",
        times_limit=1.17,
        branches={"läge": Branch(0.4, 0.5, "ok")},
    )
    assert "1.17 x limit" in _numbers(seen)
    for one in (seen, replace(seen, recognised="Nüsse")):
        assert boxes(_numbers(one) + _origin(one)) == []
    assert "Grosse ?" in _origin(seen)
