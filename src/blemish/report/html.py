"""HTML put together so that no text can become markup: strings are escaped, elements are not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Union

#: A space at which no line ends, as between a number and its unit.
NO_BREAK = "\u00a0"

_BREAKS = re.compile(r"([_/.-])(?=.)")
_VOID = frozenset(("img", "meta", "br", "hr"))

#: What an element may hold; ``None`` is left out.
Child = Union["Html", str, None, Iterable["Child"]]


class Html(str):
    """A string that is markup already: of :func:`element`, or a file of this package."""

    __slots__ = ()


def text(words: str) -> Html:
    """Any words as HTML text; characters that are not printable become a replacement sign.

    File names may hold line ends, halves of characters and signs that turn the writing direction.

    Example:
        >>> from blemish.report.html import text
        >>> text("<b>&\\u202e")
        '&lt;b&gt;&amp;�'
    """
    shown = "".join(c if c.isprintable() or c == NO_BREAK else "�" for c in words)
    return Html(escape(shown, quote=True))


def element(name: str, *children: Child, **attributes: str | float | None) -> Html:
    """An element with its children and attributes.

    Args:
        name: Tag.
        children: Markup as it is, plain strings escaped, iterables of both, ``None`` left out.
        attributes: Python names: a final underscore is dropped (``class_``), others become
            hyphens (``stroke_width``); ``None`` is left out.

    Example:
        >>> from blemish.report.html import element
        >>> element("p", "a < b ", element("b", "c"), class_="note")
        '<p class="note">a &lt; b <b>c</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_written(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Child) -> Html:
    """Children one after the other, without an element around them."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str):
        return text(children)
    return Html("".join(join(child) for child in children))


def breakable(name: str) -> Html:
    """A name that may go on in the next line after ``_``, ``/``, ``-`` and ``.``.

    Example:
        >>> from blemish.report.html import breakable
        >>> breakable("broken_large/003.png")
        'broken_<wbr>large/<wbr>003.<wbr>png'
    """
    return Html(_BREAKS.sub(r"\1<wbr>", text(name)))


def _written(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
