"""What a layout is: a name, a way to recognise a root, and a way to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from blemish.data.images.image_list import natural_key
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


def read_each(
    categories: Mapping[str, Path], read: Callable[[str, Path], Reading], *, left_out: str = ""
) -> Reading:
    """Read each category; one that cannot be read becomes a problem and the others go on.

    Args:
        categories: Product name to its folder or file.
        read: Called with the name and the path.
        left_out: Words put before the reason, e.g. the kind of file.
    """
    samples: list[Sample] = []
    problems: list[str] = []
    for product, path in categories.items():
        try:
            more, sentences = read(product, path)
        except (DataError, OSError) as error:
            problems.append(f"{product}: left out{left_out}: {error}")
            continue
        samples += more
        problems += sentences
    return arranged(samples), problems


def found_in(path: Path, *, at_most: int = 6) -> str:
    """The first entries of a folder in words, for messages.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.data.layouts.base import found_in
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "train").mkdir()
        ...     Path(folder, "notes.txt").touch()
        ...     found_in(Path(folder))
        'notes.txt, train/'
    """
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
