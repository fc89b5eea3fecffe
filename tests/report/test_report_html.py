from __future__ import annotations

import pytest

from blemish.report.html import NO_BREAK, Html, breakable, element, join, text

HOSTILE = '"><script>alert(1)</script>&\x00\n\u202egnp.\udcff'


@pytest.mark.parametrize(
    "made",
    [
        text(HOSTILE),
        element("p", HOSTILE),
        element("p", [["a", HOSTILE]]),
        element("img", alt=HOSTILE),
        join([HOSTILE]),
        breakable(HOSTILE),
    ],
)
def test_no_text_becomes_markup(made: Html) -> None:
    assert "<script" not in made
    assert '">' not in made.removesuffix('">')
    made.encode("utf-8")  # no half characters
    assert not set("\x00\n\u202e") & set(made)
    assert "&amp;" in made


def test_markup_is_not_escaped_twice() -> None:
    inner = element("b", "a < b")
    assert element("p", inner, " ", [inner, None]) == ("<p><b>a &lt; b</b> <b>a &lt; b</b></p>")


def test_attributes() -> None:
    made = element("line", x1=1.0, y1=2.345, class_="a b", stroke_width="2", id=None)
    assert made == '<line x1="1" y1="2.35" class="a b" stroke-width="2"></line>'
    assert element("br") == "<br>"


def test_a_space_that_does_not_break_is_kept() -> None:
    assert text(f"5{NO_BREAK}%") == f"5{NO_BREAK}%"


def test_names_break_after_their_separators() -> None:
    assert breakable("a_b/c.png") == "a_<wbr>b/<wbr>c.<wbr>png"
    assert breakable("a_") == "a_"
