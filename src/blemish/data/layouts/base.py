"""Data-set layouts: what one is, and what several of them need to read their folders."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from blemish.data.images.image_list import is_visible_folder_name, natural_key
from blemish.data.sample import Sample
from blemish.errors import DataError

Reading = tuple[list[Sample], list[str]]
"""Samples, and one sentence for each problem that does not stop the work."""

_SPLITS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Layout:
    """One way in which data sets are laid out on disk.

    Attributes:
        name: The name users give, e.g. ``mvtec_ad``.
        expects: What a root of this layout holds, as the object of "looked for".
        recognise: Whether an existing file or folder is such a root. Reads no images.
        read: All samples, in the order of :func:`arranged`, and the problems.
    """

    name: str
    expects: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path], Reading]


def arranged(samples: list[Sample]) -> list[Sample]:
    """Samples by product, split (train, validation, test) and path, numbers in natural order."""
    products = {s.product: natural_key(s.product) for s in samples}
    return sorted(
        samples, key=lambda s: (products[s.product], _SPLITS[s.split], natural_key(s.path))
    )


def read_each(categories: Mapping[str, Path], read: Callable[[str, Path], Reading]) -> Reading:
    """Read each category; one that cannot be read becomes a problem and the others go on."""
    samples: list[Sample] = []
    problems: list[str] = []
    for product, path in categories.items():
        try:
            more, sentences = read(product, path)
        except (DataError, OSError) as error:
            problems.append(f"{product}: left out: {error}")
            continue
        samples += more
        problems += sentences
    return arranged(samples), problems


def found_in(path: Path, *, at_most: int = 6) -> str:
    """The first entries of a folder in words, for messages."""
    if not path.is_dir():
        return f"a file of {path.stat().st_size:,} bytes" if path.exists() else "nothing"
    try:
        entries = sorted(path.iterdir(), key=natural_key)
    except OSError as error:
        return f"a folder that cannot be listed ({error})"
    if not entries:
        return "an empty folder"
    shown = [entry.name + ("/" if entry.is_dir() else "") for entry in entries[:at_most]]
    more = f", … ({len(entries)} entries)" if len(entries) > at_most else ""
    return ", ".join(shown) + more


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, in natural order; empty where it is none."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:  # knows what is a folder without asking each file
            names = [e.name for e in entries if is_visible_folder_name(e.name) and e.is_dir()]
        inside = [folder / name for name in names]
    except OSError as error:
        raise DataError(
            f"Cannot list the folder {folder}: {error}. Check its permissions."
        ) from error
    return sorted(inside, key=natural_key)


def find_categories(root: Path, is_category: Callable[[Path], bool]) -> dict[str, Path]:
    """The root itself, its folders, or the folders one level deeper that are categories.

    Where two groups hold a category of the same name, both are called ``<group>-<category>``; a
    model that has learned one of them finds it again (:mod:`blemish.data.known_products`).
    """
    if is_category(root):
        return {root.resolve().name: root}
    found: list[Path] = []
    for child in subfolders(root):
        # A folder that may not be entered is nobody's category.
        with contextlib.suppress(DataError, OSError):
            found += [child] if is_category(child) else filter(is_category, subfolders(child))
    times = Counter(path.name for path in found)
    return {
        path.name if times[path.name] == 1 else f"{path.parent.name}-{path.name}": path
        for path in found
    }


def defects_in_training(product: str, count: int, kind: str) -> str:
    """The sentence for defective images in a training split."""
    return (
        f"{product}: {count} training images are defective (kind {kind!r}); methods that learn "
        "from good images alone leave them out."
    )


def inside(root: Path, text: str, *, source: Path) -> Path:
    """A path relative to ``root`` as written in the list ``source``, which must stay below it.

    Both kinds of slash are accepted. Refused: empty, absolute, naming a drive, climbing with
    ``..``.
    """
    path = PurePosixPath(text.strip().replace("\\", "/"))
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or ":" in parts[0] or "\0" in text:
        raise DataError(
            f"{source} names the path {text!r}. Expected a relative path that stays inside "
            f"{root}; the list is damaged or not to be trusted."
        )
    return root.joinpath(*parts)


class Listing:
    """Whether files exist, asked per folder and not per file: lists name many thousands."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, Path):
            return False
        names = self._names.get(path.parent)
        if names is None:
            try:
                names = frozenset(os.listdir(path.parent))  # noqa: PTH208  names alone are needed
            except OSError:
                names = frozenset()
            self._names[path.parent] = names
        return path.name in names

    def find(self, path: Path) -> Path | None:
        """The file of that path as it is called on disk, however its accents are stored there."""
        if path in self:
            return path
        for name in self._names[path.parent]:
            if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", path.name):
                return path.with_name(name)
        if path.parent == path or path.parent.is_dir():
            return None
        parent = self.find(path.parent)
        return None if parent is None else self.find(parent / path.name)
