"""One way to say that a name is not known."""

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
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    shown = ", ".join(names[:30]) + (f", … ({len(names)} in all)" if len(names) > 30 else "")
    return f"Unknown {kind} {name!r}.{hint} Known: {shown}."
