"""Published folder trees: MVTec AD, AD 2 and LOCO, BTAD; a folder's name says what is in it.

``mvtec_ad`` (Bergmann et al., CVPR 2019), and data sets in its tree, MPDD among them; the root is
a category, a folder of categories, or a folder of such folders::

    bottle/
      train/good/000.png …
      test/good/000.png … , test/<defect>/000.png …
      ground_truth/<defect>/000_mask.png …     (or 000.png, any image suffix)

``btad`` (Mishra et al., ISIE 2021) is the same with ``ok`` for good and ``ko`` for defective.
``mvtec_ad_2`` (Heckler-Kram et al., 2025) has ``validation/good/``, ``test_public/`` with ``good``,
``bad`` and ``ground_truth/bad`` in it, and ``test_private`` and ``test_private_mixed``, unlabelled.
``mvtec_loco`` (Bergmann et al., IJCV 2022) adds ``validation/good/``, the kinds of defect
``logical_anomalies`` and ``structural_anomalies``, one PNG per defect as
``ground_truth/<kind>/000/000.png, 001.png …``, and ``defects_config.json``. The unit of AU-sPRO is
one such PNG; its pixel value selects the entry of that file with the saturation threshold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blemish.data.layouts.base import Layout, Reading, find_categories, read_each
from blemish.data.layouts.product_folder import read_product
from blemish.data.layouts.roles import RoleBook
from blemish.errors import DataError

if TYPE_CHECKING:
    from blemish.metrics.spro import SaturationRule

CONFIG_NAME = "defects_config.json"


def read_defects_config(path: str | Path) -> dict[int, SaturationRule]:
    """The rules of a ``defects_config.json`` by pixel value, from its path or its folder.

    Raises:
        DataError: The file is missing, not JSON, or an entry is incomplete or out of range.
    """
    from blemish.metrics.spro import parse_defects_config  # of all layouts, one has such a file

    path = Path(path)
    if path.is_dir():
        path = path / CONFIG_NAME
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no {path}. AU-sPRO needs the saturation thresholds in it; copy it from the "
            "data set's archive."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"Cannot read {path}: {error}. Expected JSON; copy it from the archive again."
        ) from error
    if not isinstance(entries, list) or not entries:
        raise DataError(
            f"{path} holds a {type(entries).__name__}. Expected a list of defect kinds; copy it "
            "from the archive again."
        )
    try:
        return parse_defects_config(entries)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_category(product: str, category: Path, book: RoleBook | None = None) -> Reading:
    """A published data set's category; what it must have and has not is said."""
    samples, problems = read_product(product, category, book)
    if not any(s.is_good and s.split == "train" for s in samples):
        good = "ok" if (category / "train" / "ok").is_dir() else "good"
        problems.append(f"{product}: there are no images in train/{good}/.")
    if not any(s.split == "test" for s in samples):
        problems.append(f"{product}: there are no images in test/.")
    return samples, problems


def _read_loco(product: str, category: Path) -> Reading:
    samples, problems = read_category(product, category)
    if not any(s.split == "validation" for s in samples):
        problems.append(f"{product}: there are no images in validation/good/.")
    try:
        read_defects_config(category)
    except DataError as error:
        problems.append(f"{product}: {error}")
    return samples, problems


def _is_loco(folder: Path) -> bool:
    kinds = [folder / "test" / f"{kind}_anomalies" for kind in ("logical", "structural")]
    marked = (folder / CONFIG_NAME).is_file() or any(kind.is_dir() for kind in kinds)
    return marked and (folder / "train" / "good").is_dir()


def _tree(
    name: str,
    expects: str,
    read: Callable[[str, Path], Reading],
    *folders: str,
    is_category: Callable[[Path], bool] | None = None,
) -> Layout:
    """A layout of categories, recognised by all of ``folders``; asked for by name, one will do."""

    def has_all(category: Path) -> bool:
        return all((category / folder).is_dir() for folder in folders)

    def has_any(category: Path) -> bool:
        return any((category / folder).is_dir() for folder in folders)

    return Layout(
        name,
        expects,
        lambda root: bool(find_categories(root, is_category or has_all)),
        lambda root: read_each(find_categories(root, has_any), read),
    )


MVTEC_AD = _tree(
    "mvtec_ad",
    "<category>/train/good/ and <category>/test/<kind>/",
    read_category,
    *("train/good", "test"),
)
MVTEC_AD_2 = _tree(
    "mvtec_ad_2",
    "<category>/train/good/ and <category>/test_public/{good,bad}/",
    read_category,
    *("train/good", "test_public"),
)
BTAD = _tree(
    "btad",
    "<product>/train/ok/ and <product>/test/ko/",
    read_category,
    *("train/ok", "test/ko"),
)
MVTEC_LOCO = _tree(
    "mvtec_loco",
    "<category>/train/good/ and <category>/test/{good,logical_anomalies,structural_anomalies}/",
    _read_loco,
    *("train/good", "test"),
    is_category=_is_loco,
)
