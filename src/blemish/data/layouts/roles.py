"""Folder roles: what a folder's name says is in it, one rule for every tree of folders.

A name is cut into words (``OK_parts``, ``goodImages``, ``test-public``); words that say nothing
(``dir``, ``images``, ``parts``, numbers) are dropped, and what is left decides:

- good: ``good``, ``ok``, ``normal``, ``pass``, ``io``, ``defect free``, …
- defects: ``bad``, ``ng``, ``nok``, ``defect``, ``abnormal``, ``anomaly``, ``reject``, …
- masks: ``mask``, ``gt``, ``ground truth``, ``label``, ``annotation``, …, also of one kind, as
  ``crack_mask`` or ``mask_crack`` beside ``crack``
- a split: ``train``, ``val``, ``test``, alone or with one of the above, as ``normal_test``
- unlabelled: ``unlabelled``, ``unsorted``
- anything else is a kind of defect, unless it says good and something else (``good_camera``), or
  a word that people use both ways (``positive``; ``0`` and ``1`` where there is nothing else) or
  for what a program wrote (``results``) or somebody keeps (``backup``, ``raw``): such a folder is
  unclear, left out, and said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from blemish.data.sample import Split
from blemish.errors import ConfigError

What = Literal["good", "defects", "masks", "split", "unlabelled", "wrapper", "kind", "unclear"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GOOD = _words("good ok okay normal pass passed io faultless flawless golden gut")
DEFECTS = _words(
    "bad ng nok nio ko defect defects defective abnormal abnormals anomaly anomalies anomalous "
    "reject rejects rejected fail fails failed faulty fault faults scrap"
)
_NOT = _words("no non not without")
_SURE_MASKS = _words("mask masks gt groundtruth groundtruths")
MASKS = _SURE_MASKS | _words("label labels annotation annotations segmentation segmentations")
SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
    **dict.fromkeys(("test", "tests", "testing"), "test"),
}
_TWO_CLASSES = _words("0 1")
_UNLABELLED = _words("unlabelled unlabeled unsorted")
_BOTH_WAYS = _words(
    "positive positives negative negatives pos neg result results heatmap heatmaps overlay "
    "overlays output outputs prediction predictions "
    "archive backup backups calibration preview previews raw reference references temp thumbnail "
    "thumbnails thumbs tmp trash unknown"  # of what, good or defective, nobody can tell
)
_WRAPPERS = _words("image images img imgs picture pictures pics photo photos data dataset")
_SAY_NOTHING = _WRAPPERS | _words(
    "dir dirs folder folders part parts piece pieces item items sample samples set only"
)
_OF_SPLITS = frozenset({"public", "private", "mixed"})  # MVTec AD 2
_AS_ONE = re.compile(r"(?<![a-z])(?:(ground) (truths?)|(n) ?(i) (o)|(i) (o))(?![a-z])")


@dataclass(frozen=True)
class FolderRole:
    """What a folder's name says.

    Attributes:
        what: ``good``, ``defects``, ``masks``, ``split`` (nothing but a split), ``unlabelled``,
            ``wrapper`` (``images/``: as if its content lay one level higher), ``kind`` (of
            defect), or ``unclear``.
        split: The split that it says as well, if any.
        of: Of masks, the name of the one kind they belong to, if it says one.
        sure: Whether no picture needs to be looked at; ``labels/`` may hold pictures of labels.
        given: Whether the user said it.
    """

    what: What
    split: Split | None = None
    of: str = ""
    sure: bool = True
    given: bool = False


def same_name(name: str) -> str:
    """A name as names are compared: Unicode composed, case folded."""
    return unicodedata.normalize("NFC", name).casefold()


def composed(name: str) -> str:
    """A name with its Unicode composed: macOS writes ``ü`` as two characters."""
    return unicodedata.normalize("NFC", name)


def name_words(name: str) -> list[str]:
    """The words of a name, in lower case, numbers left out."""
    text = re.sub(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])", " ", composed(name)).casefold()
    text = " ".join(re.split(r"[\W_\d]+", text)).strip()
    text = _AS_ONE.sub(lambda match: "".join(filter(None, match.groups())), text)
    return text.split()


def folder_role(name: str, beside: Iterable[str] = ()) -> FolderRole:
    """What a folder's name says, with the names of the folders beside it.

    Example:
        >>> from blemish.data.layouts.roles import folder_role
        >>> [folder_role(name).what for name in ("OK_parts", "abnormal_dir", "mask", "crack")]
        ['good', 'defects', 'masks', 'kind']
        >>> folder_role("normal_test").split, folder_role("crack_mask", ["crack"]).of
        ('test', 'crack')
    """
    beside = list(beside)
    if name in _TWO_CLASSES and {*beside, name} == _TWO_CLASSES:
        return FolderRole("unclear")  # 0 is good in most lists of labels, but nothing says so
    words = name_words(name)
    splits = {SPLITS[word] for word in words if word in SPLITS}
    split = splits.pop() if len(splits) == 1 else None
    nothing = _SAY_NOTHING | _OF_SPLITS if split else _SAY_NOTHING
    left = [word for word in words if word not in nothing and not (split and word in SPLITS)]
    joined = "".join(left)
    if not left:
        if split:
            return FolderRole("split", split)
        return FolderRole("wrapper" if words and _WRAPPERS.issuperset(words) else "kind")
    if joined in GOOD | DEFECTS or _turned(left):
        good = (joined in GOOD) if not _turned(left) else left[0] not in _NOT or left[1] in DEFECTS
        return FolderRole("good" if good else "defects", split)
    if joined in _UNLABELLED:
        return FolderRole("unlabelled", split)
    of_masks = [word for word in left if word in MASKS]
    if of_masks:
        sure = any(word in _SURE_MASKS for word in of_masks)
        rest = [word for word in left if word not in MASKS]
        if not rest or (rest and "".join(rest) in GOOD | DEFECTS):
            return FolderRole("masks", split, sure=sure)
        for other in beside:
            if name_words(other) == rest:
                return FolderRole("masks", split, of=other, sure=sure)
        if sure:
            return FolderRole("masks", split)
    if joined in _BOTH_WAYS or any(word in GOOD for word in left):
        return FolderRole("unclear", split)
    return FolderRole("kind")


def named_as(stem: str) -> Literal["good", "defects", ""]:
    """What the name of an image's file says of it, if it clearly says anything.

    Example:
        >>> from blemish.data.layouts.roles import named_as
        >>> [named_as(stem) for stem in ("OK_001", "lid_NG_7", "not_ok_2", "lid_7", "good_or_bad")]
        ['good', 'defects', 'defects', '', '']
    """
    role = folder_role(stem).what
    if role in ("good", "defects"):
        return role
    words = set(name_words(stem))
    found = [name for name, own in (("good", GOOD), ("defects", DEFECTS)) if words & own]
    return found[0] if len(found) == 1 and not words & _NOT else ""  # type: ignore[return-value]


def _turned(words: list[str]) -> bool:
    """Whether one word turns the other round: ``not good``, ``no defects``, ``defect free``."""
    if len(words) != 2:
        return False
    first, second = words
    return (first in _NOT and second in GOOD | DEFECTS) or (first in DEFECTS and second == "free")


_GIVEN: dict[str, FolderRole] = {
    "good": FolderRole("good", given=True),
    "defects": FolderRole("defects", given=True),
    "masks": FolderRole("masks", given=True),
    "test": FolderRole("split", "test", given=True),
}


FOLDER_ROLES = tuple(_GIVEN)


@dataclass(frozen=True)
class Folders:
    """What folders hold, said outright; it wins over what their names say.

    A folder is given by its path, from the root or from here, or by its name alone, which then
    holds for every folder of that name in the data set. One that is given as ``test`` and as
    ``good`` or ``defects`` is both. Without a root, ``PRODUCT=DIR`` says which product it shows.

    Attributes:
        root: The data set's folder, whose other folders are read by their names; ``None``: the
            given folders are all there is.
        good: Of good images.
        defects: Of defective images; the folders in them are their kinds.
        masks: Of masks, which have the names of their images.
        test: To test on: with folders of kinds in them, or unlabelled images.

    Example:
        >>> from blemish.data.layouts.roles import Folders
        >>> bool(Folders()), Folders(root="lids", good=["fine"]).given()
        (False, ['fine'])
    """

    root: str | Path | None = None
    good: str | Path | Iterable[str | Path] = ()
    defects: str | Path | Iterable[str | Path] = ()
    masks: str | Path | Iterable[str | Path] = ()
    test: str | Path | Iterable[str | Path] = ()

    def __post_init__(self) -> None:
        for name in _GIVEN:
            given = getattr(self, name)
            given = (given,) if isinstance(given, str | Path) else given
            object.__setattr__(self, name, tuple(map(str, given)))

    def __bool__(self) -> bool:
        return bool(self.given())

    def given(self) -> list[str]:
        """All folders, as they were given, without their products."""
        return [_product_and(text)[1] for text in self._texts()]

    def by_product(self, other: str) -> dict[str, Folders]:
        """The folders of each product, of ``PRODUCT=DIR``; all of ``other`` where none is named.

        But folders called good that lie in folders of different names are of products so called.

        Raises:
            ConfigError: Some are of a named product, and some are not.

        Example:
            >>> from blemish.data.layouts.roles import Folders
            >>> folders = Folders(good=["lid=a/fine", "cap=b/fine"], defects=["lid=a/dented"])
            >>> folders.by_product("line")["lid"]
            Folders(root=None, good=('a/fine',), defects=('a/dented',), masks=(), test=())
        """
        found: dict[str, dict[str, list[str]]] = {}
        for name in _GIVEN:
            for text in getattr(self, name):
                product, folder = _product_and(text)
                found.setdefault(product or other, {}).setdefault(name, []).append(folder)
        named = [text for text in self._texts() if _product_and(text)[0]]
        unnamed = [text for text in self._texts() if text not in named]
        if named and unnamed:
            raise ConfigError(
                f"{named[0]} names a product, and {unnamed[0]} does not. Say of each folder which "
                f"product it is of: PRODUCT={unnamed[0]}."
            )
        if not named:
            found = self._by_parent() or found
        return {product: Folders(None, **own) for product, own in found.items()}

    def _by_parent(self) -> dict[str, dict[str, list[str]]]:
        """``a/lid/good`` and ``a/cap/good`` are of two products; empty where they are of one."""
        owners = {_owner(Path(folder)) for folder in tuple(self.good)}  # type: ignore[arg-type]
        known = {owner.name: owner for owner in owners if owner is not None}
        if None in owners or len(known) < 2 or len(known) < len(owners):
            return {}
        found: dict[str, dict[str, list[str]]] = {}
        for name in _GIVEN:
            for folder in getattr(self, name):
                above = [n for n, owner in known.items() if owner in _places(Path(folder))]
                if len(above) != 1:
                    return {}
                found.setdefault(above[0], {}).setdefault(name, []).append(folder)
        return found

    @property
    def names_products(self) -> bool:
        """Whether ``PRODUCT=DIR`` was said."""
        return any(_product_and(text)[0] for text in self._texts())

    def maybe_products(self) -> list[str]:
        """Folders given as good of which no name says so, which may be a product each."""
        bare = {Path(folder).name: str(folder) for folder in tuple(self.good)}  # type: ignore[arg-type]
        bare = {name: folder for name, folder in bare.items() if folder_role(name).what == "kind"}
        return list(bare.values()) if len(bare) > 1 else []

    def _texts(self) -> list[str]:
        return [text for name in _GIVEN for text in getattr(self, name)]


def _places(folder: Path) -> list[Path]:
    """A folder and those above it, from the inside out."""
    whole = folder.expanduser().resolve()
    return [whole, *whole.parents]


def _owner(folder: Path) -> Path | None:
    """The product's folder that one called good or the like lies in; ``None`` of other ones."""
    places = _places(folder)
    if folder_role(places[0].name).what == "kind":
        return None
    return next((place for place in places if folder_role(place.name).what == "kind"), None)


def _product_and(text: str) -> tuple[str, str]:
    """A given folder's product, empty where it names none, and its path."""
    product, named, folder = text.partition("=")
    if not named or not product or "/" in product or Path(text).exists():
        return "", text
    return product, folder


class RoleBook:
    """The roles of folders: those that were given, and for all others the rule of names.

    Raises:
        ConfigError: A folder that is not there, or one with two roles.
    """

    def __init__(self, folders: Folders | None = None) -> None:
        self._given: dict[Path | str, FolderRole] = {}  # by resolved path, or by name alone
        self._used: set[Path | str] = set()
        self.root = None if folders is None or folders.root is None else Path(folders.root)
        for name, role in _GIVEN.items():
            for folder in getattr(folders, name, ()):
                self._give(Path(folder).expanduser(), role)

    def _give(self, folder: Path, role: FolderRole) -> None:
        places = [folder] if self.root is None else [self.root.expanduser() / folder, folder]
        found = {place.resolve() for place in places if place.is_dir()}
        if len(found) > 1:
            raise ConfigError(
                f"{folder} is a folder in {self.root} and another one here. Give its full path."
            )
        if not found and (len(folder.parts) != 1 or self.root is None):
            raise ConfigError(f"There is no folder {folder}. Check the path.")
        key: Path | str = next(iter(found), same_name(folder.name))
        before = self._given.get(key, role)
        if before != role and role.split == "test" and before.what in ("good", "defects"):
            role = replace(before, split="test")
        elif before != role:
            raise ConfigError(f"{folder} was given two roles that no folder can have at once.")
        self._given[key] = role

    def of(self, folder: Path, beside: Iterable[Path] = ()) -> FolderRole:
        """The role of a folder, with the folders beside it."""
        if self._given:
            for key in (folder.resolve(), same_name(folder.name)):
                role = self._given.get(key)
                if role is not None:
                    self._used.add(key)
                    return replace(role, split=role.split or folder_role(folder.name).split)
        return folder_role(folder.name, [path.name for path in beside])

    def named(self, name: str) -> FolderRole:
        """The role of a folder of which the name alone is known."""
        return self._given.get(same_name(name)) or folder_role(name)

    def unmet(self) -> list[Path | str]:
        """Given folders, as resolved paths or names, that were not met so far."""
        return [key for key in self._given if key not in self._used]
