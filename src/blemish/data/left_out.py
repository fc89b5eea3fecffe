"""Data cleaning: good images that are named to be left out of learning.

A name is as much of the end of an image's path as tells it from the others, or
``<product>/<name>``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from blemish._names import nearest_hint
from blemish.data.sample import DataSet, Sample
from blemish.errors import DataError


def without_images(data_set: DataSet, names: Iterable[str | Path]) -> DataSet:
    """The data set without the good images of these names, which neither train nor calibrate.

    Args:
        data_set: Where they are; its test images stay as they are.
        names: A path, its last parts: ``003.jpg``, ``bottle/train/good/003.jpg``; or the product
            and the file: ``bottle/003.jpg``.

    Raises:
        DataError: No good image has the name, or several have.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.left_out import without_images
        >>> from blemish.data.sample import DataSet, Sample
        >>> good = tuple(Sample(Path(f"nut/train/good/{i}.png"), "nut", "train", 0) for i in (1, 2))
        >>> without_images(DataSet("mvtec_ad", Path("."), good), ["1.png"])
        DataSet('mvtec_ad', '.', nut: 1 train)
    """
    good = [s for s in data_set.samples if s.is_good and s.split != "test"]
    gone: set[Path] = set()
    for name in names:
        called = [s for s in good if _is_called(s, PurePath(name))]
        if not called:
            hint = nearest_hint(PurePath(name).name, [s.path.name for s in good])
            raise DataError(
                f"{name} is not among the {len(good)} good images that train or calibrate, and "
                f"cannot be left out.{hint}"
            )
        if len(called) > 1:
            which = ", ".join(short_names(called[:4], good))
            raise DataError(
                f"{len(called)} good images are called {name}: {which}. Give more of the path."
            )
        gone.add(called[0].path)
    return data_set.where(lambda s: s.path not in gone or s.split == "test")


def short_names(samples: Iterable[Sample], among: Sequence[Sample]) -> list[str]:
    """For each sample the shortest end of its path that no other of ``among`` has."""
    return [_short_name(sample, among) for sample in samples]


def leave_out_flags(names: Iterable[str]) -> str:
    """What `blemish fit` is told to leave images out."""
    return shlex.join([word for name in names for word in ("--leave-out", name)])


def _is_called(sample: Sample, name: PurePath) -> bool:
    return (
        sample.path.parts[-len(name.parts) :] == name.parts
        or (name.is_absolute() and sample.path.absolute() == name)
        or name.parts == (sample.product, sample.path.name)
    )


def _short_name(sample: Sample, among: Sequence[Sample]) -> str:
    parts = sample.path.parts
    for length in range(1, len(parts)):
        end = PurePath(*parts[-length:])
        if sum(_is_called(other, end) for other in among) == 1:
            return str(end)
    return str(sample.path)
