"""Text with glyphs: what the font that Pillow brings along can draw of a caption."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

#: What stands for characters that have no parts to take them for.
_INSTEAD = {"×": "x", "−": "-", "–": "-", "—": "-", "ß": "ss", "µ": "u", "μ": "u"}
#: No character, so that every font draws it as one that it lacks.
_MISSING = "\uffff"


def drawable(text: str) -> str:
    """The text in characters that can be drawn, for those without a glyph would be empty boxes.

    Signs and letters with accents become plain ones, those of other scripts a question mark.
    Pictures alone need that: tables, JSON and the page have the text as it is.

    Example:
        >>> from blemish.outputs.drawable import drawable
        >>> drawable("2.41 × limit · Größe 検査")
        '2.41 x limit · Grosse ??'
    """
    return "".join(c if _is_drawn(c) else _instead(c) for c in text)


def _instead(character: str) -> str:
    parts = unicodedata.normalize("NFKD", _INSTEAD.get(character, character))
    return "".join(filter(_is_drawn, parts)) or "?"


@cache
def _is_drawn(character: str) -> bool:
    font = ImageFont.load_default(16)
    return bytes(font.getmask(character)) != bytes(font.getmask(_MISSING))
