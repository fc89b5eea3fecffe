"""Data-set detection: all layouts by name, and the one way to read a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from blemish._names import unknown_name_message
from blemish.data.images.foreign import left_out
from blemish.data.images.image_list import list_images
from blemish.data.layouts.arrays import CIFAR10, FASHION_MNIST, MNIST
from blemish.data.layouts.base import Layout, Reading, found_in
from blemish.data.layouts.kolektor import KOLEKTOR
from blemish.data.layouts.lists import ELPV, ELPV_SHIFT, REAL_IAD, VISA, packaged_elpv
from blemish.data.layouts.manifest import MANIFEST, no_header
from blemish.data.layouts.own_folder import FOLDER, given_root, read_folder
from blemish.data.layouts.roles import Folders, composed
from blemish.data.layouts.trees import BTAD, MVTEC_AD, MVTEC_AD_2, MVTEC_LOCO
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError
from blemish.stores.local_copy import local_copy

#: In the order in which they are tried: the special before the general.
LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *(ELPV, CIFAR10, FASHION_MNIST, MNIST, REAL_IAD),
        *(VISA, KOLEKTOR, MANIFEST, MVTEC_LOCO, BTAD, MVTEC_AD_2, MVTEC_AD, FOLDER, ELPV_SHIFT),
    )
}

#: Archives, in which nobody looks for images.
_PACKED = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".xz"})


def read_data_set(root: str | Path | Folders, *, layout: str = "auto") -> DataSet:
    """Find the images of a data set and what is known of each. No image is decoded.

    Args:
        root: The data set's folder or archive; the word ``elpv`` stands for the installed package
            ``elpv-dataset``; :class:`Folders` say what its folders hold.
        layout: A name in :data:`LAYOUTS`, or ``auto`` to recognise it.

    Raises:
        ConfigError: An unknown layout name.
        DataError: The root does not exist, is of no known layout or not of the named one, or
            holds nothing usable.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from blemish.data.layouts import read_data_set
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("good", "scratch"):
        ...         path = Path(root, "lid", kind, "0.png")
        ...         path.parent.mkdir(parents=True)
        ...         Image.new("L", (8, 8)).save(path)
        ...     data_set = read_data_set(root)
        >>> data_set.layout, data_set.products, [s.split for s in data_set.samples]
        ('folder', ('lid',), ['train', 'test'])
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise ConfigError(unknown_name_message("layout", layout, ["auto", *LAYOUTS]))
    if isinstance(root, Folders) and root:
        if layout not in ("auto", FOLDER.name):
            raise ConfigError(
                f"Folders were given roles and the layout {layout}, which says itself what its "
                "folders hold. Leave one of them out."
            )
        path, chosen = _existing(given_root(root), layout), FOLDER
        read: Callable[[Path], Reading] = partial(read_folder, folders=root)
    else:
        path = _existing(root.root or "" if isinstance(root, Folders) else root, layout)
        chosen = LAYOUTS[_recognised(path) if layout == "auto" else layout]
        read = chosen.read
    try:
        samples, problems = read(path)
    except OSError as error:
        raise DataError(f"Cannot read the data set {path}: {error}.") from error
    if not samples:
        reasons = " ".join(problems[:3])
        raise DataError(
            f"Found no usable images in {path} under the layout {chosen.name}. Looked for "
            f"{chosen.expects}; found {found_in(path)}. {reasons}".rstrip()
        )
    if path.is_dir() and not (isinstance(root, Folders) and root.root is None):
        problems = [*problems, *left_out(path)]
    return DataSet(chosen.name, path, tuple(map(_composed, samples)), tuple(problems))


def _composed(sample: Sample) -> Sample:
    """A product has one name, whichever system wrote its folder."""
    product = composed(sample.product)
    return sample if product == sample.product else replace(sample, product=product)


def recognise(root: str | Path) -> str | None:
    """Name of the layout of an existing root, ``None`` where none fits."""
    path = Path(root)
    return next((name for name, layout in LAYOUTS.items() if layout.recognise(path)), None)


def _existing(root: str | Path, layout: str) -> Path:
    try:
        path = local_copy(root).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"Cannot open the data set {root}: {error}. Check the path.") from error
    if str(root) == "elpv" and layout in ("auto", "elpv", "elpv_shift"):
        return packaged_elpv()
    raise DataError(
        f"There is no data set at {path}: no such file or folder. Check the path (relative paths "
        f"start from {Path.cwd()})."
    )


def _recognised(path: Path) -> str:
    name = recognise(path)
    if name is not None:
        return name
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path} is empty. Give a folder of good images, or a data set.")
    looked_for = "\n".join(f"  {layout.name}: {layout.expects}" for layout in LAYOUTS.values())
    elsewhere = left_out(path) if path.is_dir() else []
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    packed = next((entry.name for entry in inside if entry.suffix.lower() in _PACKED), None)
    if packed is not None:
        elsewhere = [f"Unpack {packed} first.", *elsewhere]
    tables = [entry for entry in inside if entry.suffix.lower() == ".csv"]
    if len(tables) == 1:
        elsewhere = [no_header(tables[0]), *elsewhere]
    if path.is_dir() and list_images(path, recursive=False):
        own = "A folder of nothing but good images is read with layout folder, asked for by name."
    else:
        own = f"Good images of several products: {path.name}/lid/good/, {path.name}/nut/good/, …"
    raise DataError(
        f"{path} is of no known layout: found {found_in(path)}. Looked for\n{looked_for}\n"
        "Point to the folder that holds one of these, or say what folders hold with --good DIR and "
        f"--defects DIR. {' '.join([own, *elsewhere])}"
    )
