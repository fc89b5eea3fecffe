"""Box labels: YOLO's text files beside images, which say which of them are not good.

``1.txt`` beside ``1.jpg``, or in ``labels/`` where the image lies in ``images/``, holds a line for
each marked box: a number for the kind, and four shares of the picture's sides or more. Boxes are no
masks, and kinds have no names there: all that is taken from them is that an image is marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_LARGEST = 2**20  # bytes; a list of boxes is far smaller


def marked_by_boxes(images: Iterable[Path]) -> dict[Path, Path]:
    """Images that a text file marks something in, and the file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.data.layouts.box_labels import marked_by_boxes
        >>> with tempfile.TemporaryDirectory() as root:
        ...     texts = {"1.txt": "0 0.5 0.5 0.1 0.2", "2.txt": ""}
        ...     _ = [Path(root, name).write_text(text) for name, text in texts.items()]
        ...     found = marked_by_boxes(Path(root, name) for name in ("1.jpg", "2.jpg", "3.jpg"))
        >>> [path.name for path in found]
        ['1.jpg']
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for image in images:
        by_folder[image.parent].append(image)
    found: dict[Path, Path] = {}
    for folder, own in by_folder.items():
        for place in _places(folder):
            texts = {path.stem: path for path in place.glob("*.txt")}  # mostly there is none
            if texts:
                found |= {
                    image: texts[image.stem]
                    for image in own
                    if image.stem in texts and _holds_boxes(texts[image.stem])
                }
    return found


def _places(folder: Path) -> Iterable[Path]:
    """Where the text files of a folder's images may lie."""
    yield folder
    parts = folder.parts
    for place in range(len(parts) - 1, 0, -1):
        if parts[place].casefold() == "images":
            yield Path(*parts[:place], "labels", *parts[place + 1 :])
            return


def _holds_boxes(path: Path) -> bool:
    try:
        if path.stat().st_size > _LARGEST:
            return False
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return False
    lines = [line for line in lines if line]
    return bool(lines) and all(_is_box(line) for line in lines)


def _is_box(words: list[str]) -> bool:
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        return False
    return words[0].isdecimal() and len(values) >= 4 and all(0 <= value <= 1 for value in values)
