"""Foreign files: pictures of formats that are not read, named with what to do, and counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from blemish.data.images.image_list import is_visible_folder_name

_RAW = "a camera's raw file: develop it to a 16-bit TIFF or PNG, with the same settings for all"
_HEIC = "a HEIC picture (phones): export it as JPEG or PNG"
_VIDEO = "a video: take pictures out of it, for example with ffmpeg -i video.mp4 -vf fps=5 %06d.png"
_DRAWN = "a drawing or document, no picture: export it as PNG"
_OTHER = "a picture of a format that is not read: convert it to PNG or TIFF"
#: What a file of a suffix is and what to do with it.
WHAT_TO_DO = {
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"), _RAW),
    **dict.fromkeys((".heic", ".heif"), _HEIC),
    ".avif": "an AVIF picture: export it as JPEG or PNG",
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".wmv", ".mpg"), _VIDEO),
    **dict.fromkeys((".svg", ".pdf", ".psd"), _DRAWN),
    **dict.fromkeys((".exr", ".hdr", ".dcm", ".tga", ".jxl", ".jxr", ".fits", ".raw"), _OTHER),
}


def left_out(root: Path) -> list[str]:
    """One sentence that counts the files of a folder that show something and are not read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.data.images.foreign import left_out
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.heic", "b.HEIC", "c.txt"):
        ...         Path(folder, name).touch()
        ...     left_out(Path(folder))[0][:44]
        '2 files were left out: 2 .heic (a HEIC pictu'
    """
    counts: Counter[str] = Counter()
    for _, folders, files in os.walk(root):
        folders[:] = filter(is_visible_folder_name, folders)
        counts.update(suffixes(files))
    if not counts:
        return []
    total = counts.total()
    listed = "; ".join(f"{n} {suffix} ({WHAT_TO_DO[suffix]})" for suffix, n in counts.most_common())
    return [f"{total} file{' was' if total == 1 else 's were'} left out: {listed}."]


def suffixes(names: Iterable[str]) -> list[str]:
    """The suffixes of those names that are foreign pictures."""
    found = (os.path.splitext(name)[1].lower() for name in names if not name.startswith("."))  # noqa: PTH122
    return [suffix for suffix in found if suffix in WHAT_TO_DO]
