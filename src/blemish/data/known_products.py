"""Known products: products of a data set called as the model calls them, however they are found.

Where two groups of folders hold a product of one name, both are called ``<group>-<product>``. A
model that has learned one of them before the other was there calls it ``<product>`` still, and
knows the group that it lay in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from blemish.data.sample import DataSet, Sample


def product_folders(samples: Iterable[Sample]) -> dict[str, str]:
    """Of each product in folders, the last two names of its folder, ``<group>/<product>``.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.known_products import product_folders
        >>> from blemish.data.sample import Sample
        >>> product_folders([Sample(Path("/data/line/lid/good/1.png"), "lid", "train", 0)])
        {'lid': 'line/lid'}
    """
    found: dict[str, str] = {}
    for sample in samples:
        if sample.product not in found and sample.image is None:
            found[sample.product] = _folder(sample.path.absolute(), sample.product)
    return {product: folder for product, folder in found.items() if folder}


def _folder(path: Path, product: str) -> str:
    for folder in path.parents:
        group = folder.parent.name
        if product in (folder.name, f"{group}-{folder.name}"):
            return f"{group}/{folder.name}"
    return ""


def as_learned(
    data_set: DataSet, products: Sequence[str], folders: Mapping[str, str]
) -> tuple[DataSet, list[str]]:
    """A data set whose products are called as the model calls them, and what was renamed or open.

    Args:
        data_set: Its products may have other names than when they were learned.
        products: Those that the model knows.
        folders: Where they lay, as :func:`product_folders` says; empty for older models.
    """
    new = [name for name in data_set.products if name not in products]
    here = product_folders(s for s in data_set.samples if s.product in new)
    names: dict[str, str] = {}
    notes: list[str] = []
    for known in products:
        if known in data_set.products:
            continue
        last = folders.get(known, known).rpartition("/")[2]
        alike = [name for name in new if here.get(name, name).rpartition("/")[2] == last]
        same = [name for name in alike if here.get(name) == folders.get(known, "")] or alike
        if len(same) == 1:
            names[same[0]] = known
            notes.append(f"{same[0]} in {data_set.root} is what was learned as {known}.")
        elif alike:
            notes.append(
                f"The model has learned {known}, and {' and '.join(alike)} in {data_set.root} may "
                "be meant: neither is taken for it. Give the folder of the one that is."
            )
    if not names:
        return data_set, notes
    renamed = (replace(s, product=names.get(s.product, s.product)) for s in data_set.samples)
    return replace(data_set, samples=tuple(renamed)), notes
