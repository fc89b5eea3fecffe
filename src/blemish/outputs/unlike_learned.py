"""Pictures unlike those that were learned: what a run has to say of them, a sentence per kind."""

from __future__ import annotations

from collections import Counter

from blemish._progress import Important
from blemish.results import Note, Prediction


class UnlikeLearned:
    """Counts the notes of a run's predictions.

    Example:
        >>> from dataclasses import replace
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from blemish.outputs.unlike_learned import UnlikeLearned
        >>> from blemish.results import Note, Prediction
        >>> one = Prediction(Path("a.png"), None, 1.0, np.zeros((2, 2), "f4"),
        ...                  notes=(Note("size", "It is far smaller than the good pictures."),))
        >>> unlike = UnlikeLearned()
        >>> unlike.add(one)
        >>> unlike.add(replace(one, path=Path("b.png")))
        >>> unlike.sentences()
        ['2 pictures, such as a.png: It is far smaller than the good pictures.']
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, tuple[str, Note]] = {}

    def add(self, prediction: Prediction) -> None:
        """Count one more image."""
        for note in prediction.notes:
            self._counts[note.kind] += 1
            name = "an array" if prediction.path is None else prediction.path.name
            self._first.setdefault(note.kind, (name, note))

    def sentences(self) -> list[str]:
        """What the user should know, the most frequent kind first."""
        found: list[str] = []
        for kind, count in self._counts.most_common():
            name, note = self._first[kind]
            of = name if count == 1 else f"{count} pictures, such as {name}"
            found.append(Important(f"{of}: {note.sentence}"))
        return found
