"""Synthetic line: its four products and their defects, one picture or a data set on disk."""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.demo_line import board, tray
from blemish.demo_line.camera import Light, shoot
from blemish.demo_line.surfaces import FABRIC_DEFECTS, METAL_DEFECTS, render_fabric, render_metal
from blemish.errors import ConfigError, DataError

RECORD = "demo-line.json"
"""File in the root that says how the line was made; written last."""

_REVISION = 1  # raise it when the same parameters give other pictures
DefectGroup = Literal["logical", "structural"]

PRODUCTS: tuple[str, ...] = ("metal", "fabric", "board", "tray")
"""Names of the products: two surfaces, two assemblies."""

_RENDERERS = {
    "metal": render_metal,
    "fabric": render_fabric,
    "board": board.render,
    "tray": tray.render,
}
_SMALLEST = 64  # pixels; below it a resistor is less than two pixels wide
_MOST_OBLONG = 3.0  # long side over short side


DEFECTS: dict[str, dict[str, DefectGroup]] = {
    "metal": dict.fromkeys(METAL_DEFECTS, "structural"),
    "fabric": dict.fromkeys(FABRIC_DEFECTS, "structural"),
    "board": {
        **dict.fromkeys(board.LOGICAL, "logical"),
        **dict.fromkeys(board.STRUCTURAL, "structural"),
    },
    "tray": {
        **dict.fromkeys(tray.LOGICAL, "logical"),
        **dict.fromkeys(tray.STRUCTURAL, "structural"),
    },
}
"""Defects by product: name to ``logical`` or ``structural``."""


def picture_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width from one number or two, where they can be drawn."""
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if min(height, width) < _SMALLEST or max(height, width) > _MOST_OBLONG * min(height, width):
        raise ConfigError(
            f"A demo picture of {height} x {width} pixels was asked for. Sides of at least "
            f"{_SMALLEST} pixels are needed, the longer at most {_MOST_OBLONG:g} times the "
            "shorter: choose another size, for example 320 or (320, 400)."
        )
    return height, width


def check_product(product: str) -> None:
    """Raise :class:`ConfigError` for a product the line does not make."""
    if product not in PRODUCTS:
        raise ConfigError(
            f"The demo line makes no product {product!r}. It makes: {', '.join(PRODUCTS)}."
        )


def render(
    product: str,
    *,
    size: int | tuple[int, int],
    rng: np.random.Generator,
    defect: str | None = None,
) -> tuple[NDArray[np.uint8], list[tuple[str, NDArray[np.bool_]]]]:
    """Take one synthetic picture of a product.

    Args:
        product: One of :data:`PRODUCTS`.
        size: Side of a square picture, or height and width, in pixels.
        rng: Decides everything that differs between pictures; equal states give equal pictures.
            An equal state without the defect shows the same part before it was spoiled (except
            that a compartment of the tray whose contents change is filled anew).
        defect: A name from ``DEFECTS[product]``, or ``None`` for a good part.

    Returns:
        The picture ``(H, W, 3)`` uint8 sRGB, and one ``(defect name, mask (H, W) bool)`` for
        each defect in it, as MVTec LOCO annotates defects. A part in the wrong compartment
        counts twice: where it lies, and as missing where it should be.

    Raises:
        ConfigError: An unknown product or defect, or a size that cannot be drawn.

    Example:
        >>> import numpy as np
        >>> from blemish.demo_line import render
        >>> rng = np.random.default_rng(0)
        >>> image, defects = render("metal", size=(64, 96), rng=rng, defect="dent")
        >>> image.shape, [name for name, mask in defects]
        ((64, 96, 3), ['dent'])
    """
    check_product(product)
    shape = picture_size(size)
    if defect is not None and defect not in DEFECTS[product]:
        raise ConfigError(
            f"Product {product!r} has no defect {defect!r}. It has: {', '.join(DEFECTS[product])}."
        )
    light = Light.drawn(rng)
    fault = np.random.default_rng(int(rng.integers(2**63)))
    scene, areas = _RENDERERS[product](shape, rng, fault, defect)
    return shoot(scene, light, rng), areas


def defects_config(product: str, *, size: int | tuple[int, int]) -> list[dict[str, Any]]:
    """The contents of a product's ``defects_config.json``, as in MVTec LOCO.

    ``size`` is that of the pictures; absolute saturation areas are in their pixels.
    """
    check_product(product)
    shape = picture_size(size)
    entries: list[dict[str, Any]] = []
    for i, name in enumerate(DEFECTS[product]):
        threshold, relative = 1.0, True
        if product == "tray":
            threshold, relative = tray.saturation(name, shape)
        elif product == "board":
            threshold, relative = board.saturation(name)
        entries.append(
            {
                "defect_name": name,
                "pixel_value": 255 - i,
                "saturation_threshold": threshold if relative else int(threshold),
                "relative_saturation": relative,
            }
        )
    return entries


def write_demo_line(
    root: Path,
    *,
    products: Sequence[str] = PRODUCTS,
    size: int | tuple[int, int] = 320,
    train: int = 60,
    validation: int = 20,
    test_good: int = 20,
    defects_per_kind: int = 20,
    seed: int = 0,
) -> Path:
    """Write a synthetic inspection line: good parts to learn from, good and bad ones to test on.

    The pictures are computed, not photographed. Image *k* of a split depends on the seed, the
    product, the split and *k* alone: a larger line begins with the pictures of a smaller one.
    The line appears under ``root`` when it is complete, never in part.

    Args:
        root: Folder to make. A line with the same parameters already there is left as it is.
        products: Which of :data:`PRODUCTS`.
        size: Side of the square pictures, or height and width, in pixels.
        train: Good pictures for training, per product.
        validation: Good pictures for calibration, per product.
        test_good: Good pictures for testing, per product.
        defects_per_kind: Pictures with logical and, as many again, with structural defects, per
            product; the surfaces have structural ones only.
        seed: A different seed gives different pictures of the same products.

    Returns:
        ``root``.

    Raises:
        ConfigError: An unknown product, a negative number, or a size that cannot be drawn.
        DataError: ``root`` holds something else; nothing is overwritten.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.demo_line import write_demo_line
        >>> root = Path(tempfile.mkdtemp()) / "line"
        >>> _ = write_demo_line(root, products=["metal"], size=64, train=2, validation=1,
        ...                     test_good=1, defects_per_kind=1)
        >>> sorted(p.name for p in (root / "metal" / "train" / "good").iterdir())
        ['000.png', '001.png']
    """
    root = Path(root)
    shape = picture_size(size)
    counts = {
        "train": train,
        "validation": validation,
        "test_good": test_good,
        "defects_per_kind": defects_per_kind,
    }
    for name, count in {**counts, "seed": seed}.items():
        if count < 0:
            raise ConfigError(f"{name} is {count}: give zero or more.")
    if not products:
        raise ConfigError(f"No product was named. The demo line makes: {', '.join(PRODUCTS)}.")
    for product in products:
        check_product(product)
    made = [product for product in PRODUCTS if product in products]
    record = {
        "synthetic": True,
        "about": "Computed pictures of an imaginary inspection line, made by blemish.",
        "revision": _REVISION,
        "products": made,
        "size": list(shape),
        **counts,
        "seed": seed,
    }
    if _is_there(root, record):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{root.name}-", suffix=".partial", dir=root.parent))
    try:
        for product in made:
            _write_product(partial / product, product, shape, counts, seed)
        (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        if root.is_dir():
            root.rmdir()  # empty, or this fails and nothing is lost
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _is_there(root: Path, record: dict[str, Any]) -> bool:
    """True when ``root`` already holds this line; :class:`DataError` when another thing."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    choose = "Choose another folder, or remove this one."
    try:
        found = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"{root} exists and is not a demo line (it has no readable {RECORD}); it is left as "
            f"it is. {choose}"
        ) from None
    if found != record:
        known = found if isinstance(found, dict) else {}
        differ = [key for key in record if known.get(key) != record[key]]
        what = ", ".join(f"{k} {known.get(k)!r} instead of {record[k]!r}" for k in differ)
        raise DataError(
            f"{root} holds a demo line made with other parameters "
            f"({what or 'unknown entries in its record'}); it is left as it is. {choose}"
        )
    missing = [product for product in record["products"] if not (root / product).is_dir()]
    if missing:
        raise DataError(
            f"{root} holds a demo line without its product folders {', '.join(missing)}. {choose}"
        )
    return True


def _plan(product: str, counts: dict[str, int]) -> Iterator[tuple[str, int, str | None]]:
    """Split, number and defect of every picture of a product."""
    for split, count in (
        ("train/good", counts["train"]),
        ("validation/good", counts["validation"]),
        ("test/good", counts["test_good"]),
    ):
        for k in range(count):
            yield split, k, None
    for group in ("logical", "structural"):
        names = [name for name, of in DEFECTS[product].items() if of == group]
        for k in range(counts["defects_per_kind"] if names else 0):
            yield f"test/{group}_anomalies", k, names[k % len(names)]


def _write_product(
    folder: Path, product: str, size: tuple[int, int], counts: dict[str, int], seed: int
) -> None:
    """All pictures of one product, their ground truth and its ``defects_config.json``."""
    folder.mkdir()
    config = defects_config(product, size=size)
    value = {entry["defect_name"]: entry["pixel_value"] for entry in config}
    (folder / "defects_config.json").write_text(
        json.dumps(config, indent=4) + "\n", encoding="utf-8"
    )
    for split, k, defect in _plan(product, counts):
        rng = np.random.default_rng([seed, zlib.crc32(f"{product}/{split}".encode()), k])
        image, areas = render(product, size=size, rng=rng, defect=defect)
        path = folder / split / f"{k:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        # The sensor's noise leaves nothing to match; run lengths are as small and quicker.
        Image.fromarray(image).save(path, compress_level=1, compress_type=zlib.Z_RLE)
        for i, (name, mask) in enumerate(areas):
            kind = split.removeprefix("test/")
            truth = folder / "ground_truth" / kind / path.stem / f"{i:03d}.png"
            truth.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * np.uint8(value[name])).save(truth)
