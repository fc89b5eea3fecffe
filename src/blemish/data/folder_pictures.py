"""Folder of pictures to judge: its images without the masks among them, and what was left out."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from blemish.data.images.foreign import left_out
from blemish.data.images.image_list import list_images
from blemish.data.images.reading import read_header
from blemish.data.layouts.masks_of_images import mask_stem, masks_beside
from blemish.data.layouts.roles import composed, folder_role
from blemish.errors import DataError, ImageError
from blemish.stores.urls import as_url, shown

_PAGED = frozenset({".tif", ".tiff", ".gif"})
_LOOKED_AT = 1000


def pictures_in(folder: Path, *, recursive: bool = True) -> tuple[list[Path], list[str]]:
    """The images of a folder in natural order, and a sentence for what was left out.

    A mask is a file in a folder that says so, or beside its image as ``<stem>_mask``, that has the
    name of an image. A folder of masks that is given itself holds what is asked for.

    Raises:
        DataError: There is no image.
    """
    found = list_images(folder, recursive=recursive)
    notes = left_out(folder) if recursive and not as_url(folder) else []
    if not found:
        reasons = "".join(f" {note}" for note in notes)
        raise DataError(
            f"{shown(folder)} holds no images (PNG, JPEG, BMP, TIFF, WebP, PGM, JPEG 2000 or GIF"
            f"{', sub-folders included' if recursive else '; sub-folders were not searched'})."
            f"{reasons}"
        )
    masks = set(_masks(folder, found))
    if masks:
        places = Counter(path.parent.relative_to(folder).as_posix() for path in masks)
        named = ", ".join(f"{name}/" for name, _ in places.most_common(3))
        notes.append(
            f"{len(masks)} mask{'s' if len(masks) > 1 else ''} of images in {folder} "
            f"{'were' if len(masks) > 1 else 'was'} left out, in {named}"
            f"{' and elsewhere' if len(places) > 3 else ''}. To have them judged, name that folder "
            "or the files."
        )
    return [path for path in found if path not in masks], notes


def _masks(folder: Path, found: Iterable[Path]) -> list[Path]:
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in found:
        by_folder[path.parent].append(path)
    masks: list[Path] = []
    suspects: list[Path] = []
    stems: set[str] = set()
    for parent, files in by_folder.items():
        if any(folder_role(part).what == "masks" for part in parent.relative_to(folder).parts):
            suspects += files
        else:
            masks += masks_beside(files).values()
            stems |= {composed(path.stem) for path in files}
    return masks + [
        path for path in suspects if mask_stem(path.stem)[0] in stems or path.parent.name in stems
    ]


def pages_unread(paths: Iterable[Path]) -> list[str]:
    """A sentence for the files of several pages or frames, of which only the first is judged.

    TIFF and GIF files of this machine are looked at, a thousand at most.
    """
    candidates = [p for p in paths if p.suffix.lower() in _PAGED and not as_url(p)][:_LOOKED_AT]
    paged = []
    for path in candidates:
        with contextlib.suppress(ImageError):  # said when it is judged
            frames = read_header(path).frames
            if frames > 1:
                paged.append(f"{path.name} ({frames})")
    if not paged:
        return []
    shown = ", ".join(paged[:3]) + (", …" if len(paged) > 3 else "")
    several = "files hold" if len(paged) > 1 else "file holds"
    return [
        f"{len(paged)} {several} several pages or frames, of which only the first is judged: "
        f"{shown}. Save each page as a file of its own to have them all judged."
    ]
