from __future__ import annotations

import re
from importlib import resources

import pytest

PAGES = resources.files("blemish.report").joinpath("templates")
CSS = PAGES.joinpath("report.css").read_text(encoding="utf-8")


def colours(scheme: str) -> dict[str, str]:
    """The page's colours by name."""
    blocks = re.findall(r":root \{([^}]+)\}", CSS)
    chosen = blocks[0] if scheme == "light" else blocks[1]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", chosen))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """By WCAG 2: 1 for equal colours, 21 for black on white."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "dim", "link", "ok", "unsure", "defect"])
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_words_can_be_read(scheme: str, ink: str, ground: str) -> None:
    found = colours(scheme)
    assert contrast(found[ink], found[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fill", ["good", "bad", "ok-fill", "defect-fill"])
def test_bars_and_curves_stand_out(scheme: str, fill: str) -> None:
    found = colours(scheme)
    assert contrast(found[fill], found["paper"]) >= 3.0


def test_both_schemes_name_the_same_colours() -> None:
    light, dark = colours("light"), colours("dark")
    assert set(light) == set(dark)
    assert {"paper", "card", "ink"} <= set(light)
