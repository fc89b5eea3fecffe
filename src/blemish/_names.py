"""Names: the one way to say that one is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name_message(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: the nearest known one, then all of them.

    Args:
        kind: What is named, e.g. ``method``.
        name: What was given.
        known: The names that exist.

    Example:
        >>> from blemish._names import unknown_name_message
        >>> unknown_name_message("method", "bored", ("rd", "borad"))
        "Unknown method 'bored'. Did you mean 'borad'? Known: rd, borad."
    """
    names = list(known)
    shown = ", ".join(names[:30]) + (f", … ({len(names)} in all)" if len(names) > 30 else "")
    return f"Unknown {kind} {name!r}.{nearest_hint(name, names)} Known: {shown}."


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """`` Did you mean …?`` with the known name nearest to ``name``; empty where none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
