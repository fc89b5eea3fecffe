"""Data-set summary: as what its folders were read, with the number of images in each.

Said before anything is learned or measured: a folder's name can be misunderstood, and whoever
knows the folder sees it here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from blemish.data.sample import DataSet, Sample

_SHOWN = 4  # folders, or kinds, in one line
_BY_NAMES = ("folder", "mvtec_ad", "mvtec_ad_2", "btad", "kolektor")
_FOR = {"train": "for training", "validation": "to calibrate", "test": "for testing"}


def read_as(data_set: DataSet) -> list[str]:
    """One line per role that folders were given or that their names say; empty for other layouts.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.read_as import read_as
        >>> from blemish.data.sample import DataSet, Sample
        >>> samples = [Sample(Path(f"lid/normal/{i}.png"), "lid", "train", 0) for i in range(3)]
        >>> read_as(DataSet("folder", Path("lid"), tuple(samples)))
        ['good, for training: 3 images in normal/']
    """
    if data_set.layout not in _BY_NAMES:
        return []
    groups: dict[tuple[int | None, str], list[Sample]] = {}
    for sample in data_set.samples:
        groups.setdefault((sample.label, sample.split), []).append(sample)
    lines = []
    for (label, split), own in sorted(groups.items(), key=lambda item: _place(*item[0])):
        what = {0: "good", 1: "defects"}.get(-1 if label is None else label, "unlabelled")
        kinds = Counter(sample.defect_kind for sample in own if sample.defect_kind)
        of = f" of {len(kinds)} kinds ({_most(kinds)})" if len(kinds) > 1 else ""
        folders = Counter(_folder(sample.path, data_set.root) for sample in own)
        lines.append(f"{what}, {_FOR[split]}: {_images(len(own))}{of} in {_most(folders)}")
    masked = [sample for sample in data_set.samples if sample.mask_paths]
    if masked:
        defects = sum(sample.label == 1 for sample in data_set.samples)
        folders = Counter(_folder(s.mask_paths[0], data_set.root) for s in masked)
        lines.append(f"masks: {len(masked)} for {_images(defects)} with defects, {_most(folders)}")
    return lines


def _place(label: int | None, split: str) -> tuple[int, int]:
    return list(_FOR).index(split), 2 if label is None else label


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _folder(path: Path, root: Path) -> str:
    for base in (root, root.resolve()):
        if path.is_relative_to(base):
            return f"{path.relative_to(base).parent.as_posix()}/".removeprefix("./")
    return f"{path.parent}/"


def _most(counts: Counter[str]) -> str:
    shown: Iterable[str] = (name or "the folder itself" for name, _ in counts.most_common(_SHOWN))
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return ", ".join(shown) + more
