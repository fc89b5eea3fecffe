"""Image sources: whatever a user may hand over as images, made into samples and read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blemish.data.folder_pictures import pictures_in
from blemish.data.images.given_picture import (
    Channels,
    InMemory,
    is_array,
    is_encoded,
    one_or_many,
    pixels_of,
    refuse_channels,
)
from blemish.data.images.open_file import open_file
from blemish.data.images.preprocess import Preprocessing, to_rgb
from blemish.data.images.reading import OnNote, image_size, read_image, read_image_bytes
from blemish.data.layouts import Folders, read_data_set, recognise
from blemish.data.layouts.own_folder import only_images
from blemish.data.layouts.roles import folder_role
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError, ImageError
from blemish.results import Note, PartPose
from blemish.stores.local_copy import local_copy
from blemish.stores.remote import is_folder
from blemish.stores.urls import as_url, shown

#: One picture: its file, or what a program holds of it; see :mod:`~.images.given_picture`.
Picture: TypeAlias = "str | Path | Sample | InMemory"
#: A data set, its folder, folders and what they hold, images as one array ``(N, H, W[, C])``, or
#: pictures one by one, all of them good.
TrainingSource: TypeAlias = "DataSet | str | Path | Folders | NDArray | Iterable[Picture]"
#: One picture or many: folders, arrays of several and data sets too, or any number of these.
ImageSource: TypeAlias = "Picture | DataSet | Iterable[Picture]"


class Loaded(NamedTuple):
    """The model's input ``(H, W, 3)``, and what it is made of."""

    pixels: NDArray[np.uint8]
    source_size: tuple[int, int]  # (H_src, W_src) of the picture
    pose: PartPose | None = None  # how its part lay, if it was aligned
    notes: tuple[Note, ...] = ()  # what reading it has found


def training_data(source: TrainingSource, *, layout: str = "auto", bit_depth: int = 16) -> DataSet:
    """A data set from whatever was given to train on.

    An array, or a list of pictures in any form, is taken as good images of one product named
    ``product``, and so is a folder with nothing but images in it: who asks to learn from it says
    that they are good. Of a URL a local copy is made; see :mod:`blemish.stores.local_copy`.

    Raises:
        ConfigError: A layout, of a list of pictures.
        DataError: Nothing usable was found, an array of another shape or type, or a folder, or a
            sample labelled 1, in a list of pictures.

    Example:
        >>> import numpy as np
        >>> from blemish.data.sources import training_data
        >>> len(training_data(np.zeros((5, 28, 28), np.uint8)).samples)
        5
    """
    if isinstance(source, DataSet):
        return source
    if isinstance(source, np.ndarray):
        if source.ndim not in (3, 4) or not len(source):
            raise DataError(
                f"An array of shape {source.shape} was given; expected (N, H, W) or (N, H, W, C) "
                "with N ≥ 1. For a single image add a first axis: image[None]."
            )
        pixels = [to_rgb(image, bit_depth=bit_depth) for image in source]
        good = [
            Sample(Path(f"array#{index}"), "product", "train", 0, image=image)
            for index, image in enumerate(pixels)
        ]
        return DataSet("array", Path("array"), tuple(good))
    if isinstance(source, Folders):
        return read_data_set(source, layout=layout)
    if not isinstance(source, str | Path):
        if layout != "auto":
            raise ConfigError(f"layout={layout!r} is of folders, and a list of pictures was given.")
        return DataSet("list", Path("list"), tuple(_good_pictures(source, bit_depth)))
    path = local_copy(source)
    if layout == "auto" and path.is_dir() and recognise(path) is None:
        layout = "folder" if only_images(path) else layout
    return read_data_set(path if as_url(source) else source, layout=layout)


def _good_pictures(source: Iterable[Picture], bit_depth: int) -> Iterator[Sample]:
    for index, item in enumerate(_items(source)):
        if isinstance(item, Sample):
            sample = item
        elif not isinstance(item, str | Path):
            sample = _in_memory(item, index, bit_depth=bit_depth)
        elif Path(item).is_dir():
            raise DataError(
                f"A list of good pictures was given, and {item} in it is a folder. Give the folder "
                "itself in place of the list, or the pictures in it one by one."
            )
        else:
            sample = Sample(Path(item), "", "train", 0)
        if sample.label == 1:
            raise DataError(
                f"A list of good pictures was given, and {sample.path} in it is labelled a defect. "
                "Leave it out, or give it as one of the known defects: defects=…"
            )
        yield replace(sample, product=sample.product or "product", split="train", label=0)


def good_training_samples(
    data_set: DataSet, failures: list[tuple[Path, str]]
) -> tuple[list[Sample], list[tuple[int, int]]]:
    """The good training images whose header can be read, and their sizes ``(H, W)``.

    ``failures`` receives path and reason of each that cannot.

    Raises:
        DataError: Fewer than two such images, or a product whose name is not text.
    """
    for product in data_set.products:
        try:
            product.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The name of the product {product!r} in {data_set.root} is not valid text, and a "
                "model file could not hold it. Rename its folder."
            ) from None
    good: list[Sample] = []
    sizes: list[tuple[int, int]] = []
    for sample in data_set.split("train").samples:
        if not sample.is_good:
            continue
        try:
            shape = image_size(sample.path) if sample.image is None else sample.image.shape
        except ImageError as error:
            failures.append((sample.path, str(error)))
            continue
        good.append(sample)
        sizes.append((shape[0], shape[1]))
    if len(good) < 2:
        reasons = "".join(f"\n  {reason}" for _, reason in failures[:5])
        advice = "Put them into a folder named good, or name the one that holds them: --good DIR."
        if len(good) + len(failures) > 1:  # they are where they belong
            advice = f"{len(failures)} more cannot be read:"
        raise DataError(
            f"{data_set.root} (layout {data_set.layout}) has {len(good)} readable good images to "
            f"train on; at least 2 are needed, and some 20 for a useful model. {advice}{reasons}"
        )
    return good, sizes


def labelled_defects(
    source: ImageSource, *, product: str = "", bit_depth: int = 16
) -> tuple[Sample, ...]:
    """Samples labelled defective from whatever was given as the known defects.

    Files, folders (their sub-folders included, one per kind if you like) and arrays show defects;
    of a data set, or among samples, only those labelled as defects are taken. ``product`` is that
    of images which do not say theirs.

    Raises:
        DataError: There are none, a path does not exist, or a folder holds good images as well.
    """
    for item in _items(source):
        if isinstance(item, str | Path):
            _only_defects(Path(item))
    found = []
    for sample in images_to_judge(source, bit_depth=bit_depth):
        given = isinstance(source, DataSet) or sample.product or sample.label is not None
        if given and sample.label != 1:
            continue
        kind = sample.defect_kind or (None if sample.image is not None else sample.path.parent.name)
        name = sample.product or product
        found.append(replace(sample, product=name, split="train", label=1, defect_kind=kind))
    if not found:
        named = source.root if isinstance(source, DataSet) else source
        said = str(named) if isinstance(named, str | Path) else "what was given"
        raise DataError(
            f"No labelled defect was found in {said}. Give images that show defects: a folder, "
            "files, an array, or samples labelled 1."
        )
    return tuple(found)


def _only_defects(path: Path) -> None:
    """A folder of a data set is easily given instead of one kind's."""
    if not path.is_dir():
        return
    wrong = [p for p in path.rglob("*") if p.is_dir() and _is_other(p)]
    if _is_other(path):
        wrong.append(path)
    if wrong:
        raise DataError(
            f"{path} was given as labelled defects and holds {wrong[0].name}/, which is not of "
            "defects. Give the folders of the defects alone, such as "
            f"{path / 'scratch' if path not in wrong else path.parent / 'scratch'}."
        )


def _is_other(folder: Path) -> bool:
    return folder_role(folder.name).what in ("good", "masks")


def images_to_judge(
    source: ImageSource,
    *,
    recursive: bool = True,
    product: str | None = None,
    bit_depth: int = 16,
    on_note: Callable[[str], None] | None = None,
) -> list[Sample]:
    """Samples of unknown label from files, folders and pictures in memory, in order.

    ``product`` is that of images which do not say theirs. Masks in a folder are left out;
    ``on_note`` is told, and by default a warning says it.

    Raises:
        DataError: A path that does not exist, a folder without images, an array whose shape
            leaves open what it is, or something that is no picture.
        ImageError: A picture in memory that cannot be read.
    """
    return list(_each(source, recursive, product, bit_depth, on_note or _warn))


def stream_to_judge(
    source: ImageSource, *, product: str | None = None, bit_depth: int = 16
) -> Iterable[Sample]:
    """As :func:`images_to_judge`, and of an iterator one by one, as they are asked for.

    A program's own iterator may go on for as long as a line runs; everything else is looked at now,
    so that what is wrong is said now.
    """
    if isinstance(source, Iterator):
        return _each(source, True, product, bit_depth, _warn)
    return images_to_judge(source, product=product, bit_depth=bit_depth)


def _each(
    source: ImageSource,
    recursive: bool,
    product: str | None,
    bit_depth: int,
    on_note: Callable[[str], None],
) -> Iterator[Sample]:
    for index, item in enumerate(_items(source)):
        if isinstance(item, Sample):
            found = [item]
        elif isinstance(item, str | Path):
            found = _from_path(Path(item), recursive, on_note)
        else:
            found = [_in_memory(item, index, bit_depth=bit_depth)]
        for s in found:
            yield s if s.product or product is None else replace(s, product=product)


def one_picture(
    picture: Picture, *, channels: Channels = "rgb", product: str | None = None, bit_depth: int = 16
) -> Sample:
    """The sample of one picture in any form; errors as those of :func:`images_to_judge`."""
    if is_array(picture):
        sample = _in_memory(picture, 0, channels=channels, bit_depth=bit_depth)
        return replace(sample, product=product or "")
    refuse_channels(channels)
    if isinstance(picture, str | Path) and Path(picture).is_dir():
        raise DataError(f"{picture} is a folder. Give one picture, or the folder to predict().")
    if not (isinstance(picture, str | Path | Sample) or is_encoded(picture)):
        raise _no_picture(picture)
    return images_to_judge(picture, product=product, bit_depth=bit_depth)[0]


def source_pixels(
    sample: Sample, *, bit_depth: int, on_note: OnNote | None = None
) -> NDArray[np.uint8]:
    """The pixels ``(H, W, 3)`` of a sample, at its own size; notes as of ``read_image``.

    Raises:
        ImageError: The sample's file cannot be read.
    """
    if sample.image is not None:
        return to_rgb(sample.image, bit_depth=bit_depth)
    return read_image(sample.path, bit_depth=bit_depth, on_note=on_note)


def load_input(
    sample: Sample,
    preprocessing: Preprocessing,
    *,
    seen: Callable[[bytes, NDArray[np.uint8]], None] | None = None,
) -> Loaded:
    """A sample as the model sees it; ``seen`` gets the content of its file, read once, and pixels.

    Raises:
        ImageError: The sample's file cannot be read, or its region of interest is of another shape.
        ConfigError: Regions of interest differ by product, and the sample's is not named.
    """
    depth, notes = preprocessing.bit_depth, list(sample.notes)
    if sample.image is not None or seen is None:
        pixels = source_pixels(sample, bit_depth=depth, on_note=notes.append)
    else:
        with open_file(sample.path) as file:
            content = file.read()
        pixels = read_image_bytes(content, shown(sample.path), bit_depth=depth)
        seen(content, pixels)
    size = (pixels.shape[0], pixels.shape[1])
    prepared = preprocessing.prepare(pixels, sample.product, name=str(sample.path))
    return Loaded(prepared.pixels, size, prepared.pose, tuple(notes))


def learnable_input(
    sample: Sample,
    preprocessing: Preprocessing,
    *,
    seen: Callable[[bytes, NDArray[np.uint8]], None] | None = None,
) -> Loaded:
    """As :func:`load_input`, for what is learned or sets limits.

    Raises:
        ImageError: As there, or the picture cannot be aligned.
    """
    loaded = load_input(sample, preprocessing, seen=seen)
    if loaded.pose is not None and loaded.pose.fault:
        raise ImageError(f"{sample.path}: {loaded.pose.fault}")
    return loaded


def _items(source: ImageSource) -> Iterable[Any]:
    """The things that were given, one by one."""
    if isinstance(source, DataSet):
        return source.samples
    if is_array(source):
        return one_or_many(source)  # type: ignore[arg-type]
    if isinstance(source, str | Path | Sample) or is_encoded(source):
        return [source]
    if not isinstance(source, Iterable):
        raise _no_picture(source)
    return source


def _in_memory(item: Any, index: int, *, channels: Channels = "rgb", bit_depth: int = 16) -> Sample:
    if not (is_array(item) or is_encoded(item)):
        raise _no_picture(item)
    notes: list[Note] = []
    pixels = pixels_of(item, channels=channels, bit_depth=bit_depth, on_note=notes.append)
    return Sample(Path(f"array#{index}"), "", "test", None, image=pixels, notes=tuple(notes))


def _no_picture(found: object) -> DataError:
    return DataError(
        f"Something of type {type(found).__name__} was given as a picture. Expected a path, the "
        "bytes of an image file or the file opened for bytes, a PIL image, a NumPy array, or a "
        "torch tensor."
    )


def _from_path(path: Path, recursive: bool, on_note: Callable[[str], None]) -> list[Sample]:
    url = as_url(path)
    if url:
        try:
            single = not is_folder(path)
        except FileNotFoundError as error:
            raise DataError(f"There is nothing at {url}. Check the URL.") from error
        if single:
            return [Sample(path, "", "test", None)]
    elif not path.exists():
        raise DataError(f"{path} does not exist. Give an image or a folder of images.")
    elif not path.is_dir():
        return [Sample(path, "", "test", None)]
    found, notes = pictures_in(path, recursive=recursive)
    for note in notes:
        on_note(note)
    return [Sample(image, "", "test", None) for image in found]


def _warn(note: str) -> None:
    warnings.warn(note, stacklevel=5)
