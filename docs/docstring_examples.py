"""Docstrings as the site's parser expects them.

The section ``Example:`` is a code block under griffe's name for it, and a role of Sphinx, which
editors show, is the code that it names.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^( *)Example:$", re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?([\w.]+)`")


class DocstringExamples(griffe.Extension):
    """Rename section and roles before they are parsed; one example reads better in the singular."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = _SECTION.sub(r"\1Examples:", obj.docstring.value)
            obj.docstring.value = _ROLE.sub(lambda found: f"`{found[1].split('.')[-1]}`", text)
