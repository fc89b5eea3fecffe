"""Marked pictures on their way into the project: what people said while inspecting is learned next.

What the project knows already stays where it is. Those that wait there to be sorted are sorted by
the mark; where project and mark disagree, the project's word holds and the disagreement is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from blemish.data.layouts.roles import folder_role
from blemish.results import UNKNOWN_PRODUCT
from blemish.serving.history.pictures import Picture, PictureHistory
from blemish.studio.intake import Intake
from blemish.studio.pictures import ProjectPictures

_KINDS = ("kind", "defects")


def take_marked(
    history: PictureHistory, intake: Intake, pictures: ProjectPictures
) -> dict[str, int]:
    """Copy what was marked; counts of what became of each.

    ``good`` and ``defect`` are new, ``sorted`` waited in the project to be sorted, ``known`` is
    there as it was marked, ``differ`` there as something else, ``unknown`` of no known product.
    """
    counts = Counter(dict.fromkeys(("good", "defect", "sorted", "known", "differ", "unknown"), 0))
    for picture in history.all():
        if picture.mark is None:
            continue
        if picture.product == UNKNOWN_PRODUCT:
            counts["unknown"] += 1
            continue
        kind = folder_of_kind(picture)
        taken = intake.take(
            PurePosixPath(picture.name).name or "picture",
            history.contents(picture.id, "source"),
            product=picture.product,
            role=picture.mark,
            kind=kind,
        )
        if taken.equal_to is None:
            counts[picture.mark] += 1
        elif taken.role == "unsorted":
            pictures.mark([taken.equal_to], picture.mark, kind)
            counts["sorted"] += 1
        else:
            counts["known" if taken.role == picture.mark else "differ"] += 1
    return dict(counts)


def folder_of_kind(picture: Picture) -> str:
    """The kind of defect that people named, as a folder may be called; empty where none fits."""
    said = re.sub(r"[^\w +-]", "_", picture.kind).strip(" _+-")
    return said if picture.mark == "defect" and folder_role(said).what in _KINDS else ""
