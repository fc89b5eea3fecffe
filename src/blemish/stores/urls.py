"""URLs as paths: ``s3://bucket/key`` is carried as a ``Path``, like any other file's name.

A ``Path`` keeps one of the two slashes behind the scheme, which is enough to tell it by. What is
shown, written down and opened is the URL. A name with an empty part (``a//b``) cannot be carried so
and is refused where it is found.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from blemish.errors import ConfigError

# Two letters at least: one is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\]+(.*)", re.DOTALL)


def as_url(path: str | Path) -> str | None:
    """The URL that a path stands for, ``None`` for a file of this machine.

    Raises:
        ConfigError: It holds a password or a signature, which would stand in every table and log.

    Example:
        >>> from pathlib import Path
        >>> from blemish.stores.urls import as_url
        >>> as_url(Path("s3://line3/a.png")), as_url("C:/a.png"), as_url("parts/a.png")
        ('s3://line3/a.png', None, None)
    """
    found = _URL.fullmatch(os.fspath(path))
    if found is None:
        return None
    scheme, rest = found[1].lower(), found[2].replace("\\", "/")
    host = rest.partition("/")[0]
    if "@" in host or (scheme in ("http", "https") and "?" in rest):
        raise ConfigError(
            f"A URL of {scheme} was given with credentials in it, which would stand in every table "
            "and log. Give them by the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, …) and the URL "
            "without."
        )
    return f"{scheme}:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def shown(path: str | Path) -> str:
    """A path as it is shown and written down: the URL, where it is one."""
    return as_url(path) or os.fspath(path)


def absolute(path: str | Path) -> Path:
    """Absolute, without ``..``, links kept; a URL is so already."""
    return Path(path) if as_url(path) else Path(os.path.abspath(path))  # noqa: PTH100
