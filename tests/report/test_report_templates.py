"""No text becomes markup, wherever it stands; and each template is asked for by somebody."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from blemish.report import words
from blemish.report.words import NO_BREAK, breakable, template

HOSTILE = '"><script>alert(1)</script>&\x00\n\u202egnp.\udcff {{ 7 * 7 }} \'"'
PAGES = resources.files("blemish.report").joinpath("templates")


def filled(source: str, **values: object) -> str:
    """A piece of a template, filled in as the page's own are."""
    return words._environment().from_string(source).render(values)


@pytest.mark.parametrize(
    "source",
    [
        "<p>{{ name }}</p>",
        '<p title="{{ name }}"></p>',
        '<p>{{ "of " ~ name }}</p>',
        "<p>{{ name | breakable }}</p>",
        '<p>{{ [name, "a"] | join(" · ") }}</p>',
        "<p>{{ name | upper }}</p>",
        '{% import "macros.html" as m %}{{ m.row(name, [name, 1]) }}',
        '{% import "macros.html" as m %}{% call m.table(name, [name]) %}{{ name }}{% endcall %}',
        '{% import "plots.svg" as s %}{{ s.label(1, 2, "end", name) }}',
        '{% import "plots.svg" as s %}{% call s.drawing(name) %}{% endcall %}',
    ],
)
def test_no_text_becomes_markup(source: str) -> None:
    made = filled(source, name=HOSTILE)
    assert "<script" not in made.lower()
    # Every attribute ends where the template ends it, and nothing else is an element.
    bare = re.sub(r'<\/?[a-z]+( [a-zA-Z-]+="[^"<>]*")*>', "", made)
    assert not set('<>"') & set(bare)
    made.encode("utf-8")  # no half characters
    assert not set("\x00\u202e") & set(made)
    assert "�" in made
    assert "&amp;" in made
    assert "49" not in made  # a name is no template either


def test_markup_is_not_escaped_twice() -> None:
    inner = Markup("<b>a &lt; b</b>")
    assert filled("<p>{{ inner }}</p>", inner=inner) == "<p><b>a &lt; b</b></p>"


def test_what_is_not_there_is_an_error_and_no_gap() -> None:
    with pytest.raises(UndefinedError):
        filled("{{ missing }}")


def test_a_space_that_does_not_break_is_kept() -> None:
    assert filled("{{ text }}", text=f"5{NO_BREAK}%") == f"5{NO_BREAK}%"


def test_names_break_after_their_separators() -> None:
    assert breakable("a_b/c.png") == "a_<wbr>b/<wbr>c.<wbr>png"
    assert breakable("a_") == "a_"


def test_lengths_have_at_most_two_decimals() -> None:
    assert [words.pixels(value) for value in (1.0, 2.345, 0.5, 100)] == ["1", "2.35", "0.5", "100"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.98765, "0.988"), (float("nan"), "–"), (float("inf"), "–")]
)
def test_what_cannot_be_given_is_a_dash(value: float, shown: str) -> None:
    assert words.fraction(value) == shown
    assert words.metric({"image_ap": value}, "image_ap") == shown
    assert words.metric({}, "image_ap") == "–"


def test_every_template_is_whole_and_used() -> None:
    names = {file.name for file in PAGES.iterdir() if file.name.endswith((".html", ".svg"))}
    assert "page.html" in names
    text = "".join(PAGES.joinpath(name).read_text("utf-8") for name in names)
    for name in names:
        template(name)  # compiles
        assert name in ("page.html", "plots.svg") or f'"{name}"' in text, name
    assert "safe" not in re.findall(r"\|\s*(\w+)", text)
