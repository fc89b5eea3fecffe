"""Text that may be published: nothing in it names a folder of the machine."""

from __future__ import annotations

import re
from pathlib import Path

# An absolute POSIX path of two parts or more, or a Windows path with a drive; the last part stays.
_POSIX = re.compile(r"(?<![\w./~-])~?/(?:[^\s/'\"`:;,()]+/)+([^\s/'\"`:;,()]*)")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:[\\/](?:[^\s\\/'\"`:;,()]+[\\/])+([^\s\\/'\"`:;,()]*)")


def without_paths(text: str, *, root: Path | None = None, name: str = "") -> str:
    """The text with the data set's root called by its name and other paths cut to their last part.

    Args:
        text: A message.
        root: Folder of the data set.
        name: The data set's name.

    Example:
        >>> from pathlib import Path
        >>> from blemish.benchmark.public_text import without_paths
        >>> without_paths("/mnt/a b/x/nut/1.png is damaged", root=Path("/mnt/a b/x"), name="nuts")
        'nuts/nut/1.png is damaged'
        >>> without_paths("Cannot read /home/me/weights.pth: no such file")
        'Cannot read weights.pth: no such file'
    """
    if root is not None:
        forms = {str(root), str(root.absolute()), str(root.resolve())}
        # A single word is no folder of the machine, and may be an ordinary word of the message.
        for form in sorted((f for f in forms if len(Path(f).parts) > 1), key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(form)}(?![\w-])", name or root.name, text)
    return _WINDOWS.sub(r"\1", _POSIX.sub(r"\1", text))
