"""New images: which of those given are learned, under which product's name, and which calibrate.

An image that the model knows by its content is not learned again, whatever it is called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from blemish.calibration import Calibration
from blemish.calibration.good_scores import known_as, same_image
from blemish.data.grouping import grouped
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.reading import image_size
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError, ImageError
from blemish.methods.base import Method
from blemish.training.sides import Sides, sides
from blemish.training.tile_sample import choose_tiles

_NAMED = 3  # images that a sentence names


def new_images(
    method: Method, calibration: Calibration | None, data_set: DataSet, product: str | None
) -> tuple[list[Sample], int, list[str]]:
    """Good images under the names of their products; how many were known, and what is said."""
    good = [s for s in data_set.samples if s.is_good and s.split != "test"]
    if not good:
        raise DataError(
            f"{data_set.root} (layout {data_set.layout}) has no good image to learn. Put them into "
            "a folder named good, or give a folder of nothing but good images."
        )
    if all(sample.split == "validation" for sample in good):
        raise DataError(
            f"{data_set.root} has good validation images only, which set limits and are not "
            "learned: blemish calibrate MODEL IMAGES --how join"
        )
    name = _product(method, data_set, product)
    if name is not None:
        good = [replace(sample, product=name) for sample in good]
    there = {
        same_image(image): group.product
        for group in (() if calibration is None else calibration.groups)
        for image in group.images
        if image
    }
    new, repeated, elsewhere = [], [], []
    for sample in good:
        content = same_image(identity(sample))
        if content in there:
            repeated.append(sample)
            elsewhere += [sample] if there[content] not in (None, sample.product) else []
            continue
        if content:
            there[content] = sample.product
        new.append(sample)
    notes = []
    if repeated:
        notes.append(f"{len(repeated)} images are known already and count once: {some(repeated)}.")
    if elsewhere:
        notes.append(
            f"{len(elsewhere)} of them are known as images of another product than the one named: "
            f"{some(elsewhere)}."
        )
    return new, len(repeated), notes


def split_new(
    method: Method,
    preprocessing: Preprocessing,
    new: Sequence[Sample],
    group: str,
    trained: Mapping[str, Any],
    seed: int,
) -> Sides:
    """Who of the new images is learned and who calibrates alone."""
    rules = {product: entry["by"] for product, entry in trained.items() if entry["by"]}
    found = grouped(new, group, known=rules)
    good = [sample for sample in found.samples if sample.split == "train"]
    split = sides(
        good,
        [sample for sample in found.samples if sample.split == "validation"],
        [],
        group="auto",
        share=None,
        cross_fits=method.cross_fits and choose_tiles(good, preprocessing, seed=seed).whole,
        seed=seed,
    )
    for product, entry in split.groups.items():
        entry["by"] = found.rules.get(product, "")
    return split._replace(notes=[*found.said, *split.notes])


def identity(sample: Sample) -> str:
    """As it is known by in a calibration; nothing where it cannot be opened, as will be said."""
    try:
        return known_as(sample)
    except OSError:
        return ""


def _product(method: Method, data_set: DataSet, product: str | None) -> str | None:
    """The one product that all images show; ``None`` where the data set names them."""
    found, known = data_set.products, method.products
    if product is not None:
        if len(found) > 1:
            raise ConfigError(
                f"{data_set.root} holds the products {', '.join(found)}, and {product} was named "
                "for all. Give the folder of one product, or name none."
            )
        if "" in (product, *(known if product not in known else ())):
            raise ConfigError(
                "A product without a name cannot stand beside another. Fit a model with both, each "
                "in a folder of its own."
            )
        return product
    # What the folder itself is called, such as more_good, names no product unless it is known.
    unnamed = data_set.layout == "array" or found == (data_set.root.resolve().name,)
    if not unnamed or found[0] in known:
        return None
    if len(known) == 1:
        return known[0]
    raise ConfigError(
        f"Which product do the images in {data_set.root} show? The model knows {', '.join(known)}: "
        "name one of them, or a new one, with --product."
    )


def some(samples: Sequence[Sample]) -> str:
    """The first few names, for a message."""
    names = ", ".join(sample.path.name for sample in samples[:_NAMED])
    return names + (", …" if len(samples) > _NAMED else "")


def sizes_of(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """``(H, W)`` of those whose header can be read."""
    sizes = []
    for sample in samples:
        with contextlib.suppress(ImageError):
            shape = image_size(sample.path) if sample.image is None else sample.image.shape
            sizes.append((shape[0], shape[1]))
    return sizes
