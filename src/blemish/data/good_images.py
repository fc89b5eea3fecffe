"""Good images to set limits by: of a data set its good ones alone, under its products' names.

A folder of nothing but pictures holds good ones because its owner says so. A data set says itself
which are good; its defects would make limits that nothing exceeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from blemish._progress import Important
from blemish.data.folder_pictures import pages_unread
from blemish.data.known_products import as_learned
from blemish.data.layouts import read_data_set, recognise
from blemish.data.layouts.roles import folder_role, named_as
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import ImageSource, images_to_judge
from blemish.errors import ConfigError, DataError
from blemish.stores.local_copy import local_copy
from blemish.stores.urls import as_url


class GoodImages(NamedTuple):
    """Good images, and what is to be said of how they were found.

    Attributes:
        samples: Good images; the product is empty where nothing names it.
        notes: One sentence each.
    """

    samples: list[Sample]
    notes: list[str]


def good_images(
    source: ImageSource,
    known: Sequence[str] = (),
    *,
    folders: Mapping[str, str] | None = None,
    product: str | None = None,
    bit_depth: int = 16,
) -> GoodImages:
    """Good images from files, folders, arrays, or a data set, whose test images are left out.

    Args:
        source: Images or folders of them; a folder or CSV list in a known layout is a data set.
        known: Products that the model knows: the folder of an image may have the name of one.
        folders: Where they lay when they were learned, see :mod:`blemish.data.known_products`.
        product: The one that the images show; of a data set of several, the one to take.
        bit_depth: Bits used in 16-bit images.

    Raises:
        DataError: No image, or a data set without good images beside those of its test.
        ConfigError: A data set of several products, of which none is the one named.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from blemish.data.good_images import good_images
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("good", "scratch"):
        ...         path = Path(root, "lid", kind, "0.png")
        ...         path.parent.mkdir(parents=True)
        ...         Image.new("L", (8, 8)).save(path)
        ...     found = good_images(root, ["lid"])
        >>> [(sample.product, sample.path.parent.name) for sample in found.samples]
        [('lid', 'good')]
    """
    notes: list[str] = []
    items: list[object] = (
        [source] if isinstance(source, DataSet | str | Path) else list(_each(source))
    )
    samples: list[Sample] = []
    for item in items:
        if isinstance(item, str | Path) and as_url(item):
            item = local_copy(item)
        data_set = _data_set(item)
        if data_set is None:
            new = images_to_judge(
                item,  # type: ignore[arg-type]
                product=product,
                bit_depth=bit_depth,
                on_note=notes.append,
            )
            notes += pages_unread(s.path for s in new if s.image is None)
            if isinstance(item, str | Path) and Path(item).is_dir():
                new, said = _good_by_name(Path(item), new)
                notes += said
            samples += [_by_folder(s, item, known) for s in new]
            continue
        named, said = as_learned(data_set, known, folders or {})
        notes += said
        good = [s for s in _of_product(named, product).samples if s.is_good and s.split != "test"]
        if not good:
            raise DataError(
                f"{data_set.root} is a data set (layout {data_set.layout}) without good images for "
                "training or calibration, and its test images measure the model. Give a folder of "
                "nothing but good images."
            )
        left = len(data_set.samples) - len(good)
        if left:
            notes.append(
                f"{data_set.root} is a data set (layout {data_set.layout}): its {len(good)} good "
                f"images for training and calibration are taken; {left} others, of its test or no "
                "good ones, are not."
            )
        unnamed = named.products == (named.root.resolve().name,)
        for sample in good:
            if product is not None:
                sample = replace(sample, product=product)
            elif unnamed and sample.product not in known:
                sample = _by_folder(replace(sample, product=""), named.root, known)
            samples.append(sample)
    return GoodImages(samples, notes)


def _good_by_name(folder: Path, samples: list[Sample]) -> tuple[list[Sample], list[str]]:
    """Of a folder of pictures those that are not called defective; and what names say of it."""
    notes: list[str] = []
    if folder_role(folder.resolve().name).what in ("defects", "masks"):
        notes.append(
            Important(
                f"{folder} is called as folders of defective parts are; its images are taken as "
                "good all the same, and parts like them will pass."
            )
        )
    called = {s.path: named_as(s.path.stem) for s in samples}
    good = [s for s in samples if called[s.path] != "defects"]
    if good and len(good) < len(samples):
        bad = [s for s in samples if called[s.path] == "defects"]
        notes.append(
            f"{len(bad)} of the {len(samples)} images in {folder} are called defective, such as "
            f"{bad[0].path.name}, and are left out."
        )
        return good, notes
    return samples, notes


def _each(source: ImageSource) -> Sequence[object]:
    """The things given, an array of many as one of them."""
    return list(source) if isinstance(source, list | tuple) else [source]


def _data_set(item: object) -> DataSet | None:
    """The item as a data set, if it is one that says which of its images are good."""
    if isinstance(item, DataSet):
        return item if any(s.label is not None for s in item.samples) else None
    if not isinstance(item, str | Path):
        return None
    path = Path(item)
    if not path.is_dir() and path.suffix.lower() != ".csv":
        return None
    return read_data_set(path) if path.exists() and recognise(path) is not None else None


def _of_product(data_set: DataSet, product: str | None) -> DataSet:
    if product is None or len(data_set.products) < 2:
        return data_set
    if product not in data_set.products:
        raise ConfigError(
            f"{data_set.root} holds the products {', '.join(data_set.products)}, none of which is "
            f"{product}. Give the folder of the one that is."
        )
    return data_set.of_products([product])


def _by_folder(sample: Sample, item: object, known: Sequence[str]) -> Sample:
    """The sample as of the product whose name a folder of it has, from the one given inwards."""
    if sample.product or not isinstance(item, str | Path):
        return sample
    root = Path(item)
    if not root.is_dir() or not sample.path.is_relative_to(root):
        return sample
    inside = sample.path.relative_to(root).parts[:-1]
    name = next((name for name in (*inside, root.resolve().name) if name in known), "")
    return replace(sample, product=name) if name else sample
