"""Project pictures: files in folders that say what they show, the only place where that is kept.

``pictures/<product>/good|defect|unsorted/`` hold the files as they came, ``defect/`` also folders
of its kinds. To mark a picture is to move its file; what is left out of learning stands in
``left_out.txt``, one ``<product>/<name>`` a line; an outline of a defect is LabelMe's JSON beside
its picture. A picture is known by its path below ``pictures/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from blemish._files import atomic_write
from blemish.data.images.image_list import is_image_name, is_visible_folder_name
from blemish.serving.limits import RefusalError

Role = Literal["good", "defect", "unsorted"]
ROLES: tuple[Role, ...] = get_args(Role)
LEFT_OUT = "left_out.txt"
_PRODUCT = re.compile(r"[^\W_][\w .+-]{0,59}")


@dataclass(frozen=True)
class ProjectPicture:
    """One file; ``product/name`` stays when it is marked otherwise."""

    product: str
    role: Role
    kind: str  # of defect, empty where nobody said
    name: str
    version: str  # of the file, as of file_version
    outlined: bool  # whether a defect is outlined in it

    @property
    def path(self) -> str:
        """Below ``pictures/``."""
        return "/".join(part for part in (self.product, self.role, self.kind, self.name) if part)

    @property
    def called(self) -> str:
        """As ``--leave-out`` and ``left_out.txt`` call it."""
        return f"{self.product}/{self.name}"


class ProjectPictures:
    """The pictures of a project."""

    def __init__(self, project: Path) -> None:
        self.folder = project / "pictures"
        self._left_out = project / LEFT_OUT
        self._lock = threading.RLock()

    def products(self) -> list[str]:
        """Those there are pictures of."""
        return sorted(entry.name for entry in _folders(self.folder))

    def all(self) -> list[ProjectPicture]:
        """All of them, by product, role and name."""
        return [
            picture
            for product in self.products()
            for role in ROLES
            for picture in self._of(product, role)
        ]

    def file(self, path: str) -> Path:
        """The file of a picture; refused (404) where there is none."""
        found = self._split(path)
        if found is None or not (self.folder / path).is_file():
            raise RefusalError(
                404, "no_such_picture", f"There is no picture {path[:200]}, or it was moved."
            )
        return self.folder / path

    def left_out(self) -> list[str]:
        """Good pictures that are not learned, by product and name."""
        try:
            lines = self._left_out.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    def leave_out(self, paths: Sequence[str], *, leave: bool) -> None:
        """Take pictures out of learning, or in again."""
        with self._lock:
            called = [self._called(path) for path in paths]
            kept = [name for name in self.left_out() if name not in called]
            self._write_left_out(kept + called if leave else kept)

    def mark(self, paths: Sequence[str], role: Role, kind: str = "") -> list[str]:
        """Move pictures to where others like them are; their new paths."""
        if kind and not (_PRODUCT.fullmatch(kind) and is_visible_folder_name(kind)):
            raise RefusalError(
                422, "bad_kind", f"{kind[:60]!r} is no name for a kind of defect: use letters."
            )
        with self._lock:
            kind = kind if role == "defect" else ""
            moved = [self._move(path, path.split("/", 1)[0], role, kind) for path in paths]
            if role != "good":
                self.leave_out(moved, leave=False)
            return moved

    def give_product(self, paths: Sequence[str], product: str) -> list[str]:
        """Move pictures to another product, as what they are here; their new paths."""
        with self._lock:
            gone = set(self.left_out())
            moved, out = [], []
            for path in paths:
                called = self._called(path)
                _, role, *kind, _ = path.split("/")
                moved.append(self._move(path, product, role, "".join(kind)))
                if called in gone:
                    out.append(moved[-1])
                    gone.remove(called)
            self._write_left_out(sorted(gone))
            self.leave_out(out, leave=True)
            return moved

    def _move(self, path: str, product: str, role: str, kind: str) -> str:
        source, folder = self.file(path), self.folder / product / role / kind
        if source.parent == folder:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / self.free_name(product, source.name, besides=source)
        source.rename(target)
        if outline_of(source).is_file():
            outline_of(source).rename(outline_of(target))
        for emptied in list(source.relative_to(self.folder).parents)[:-1]:
            with contextlib.suppress(OSError):  # something is in it
                (self.folder / emptied).rmdir()
        return target.relative_to(self.folder).as_posix()

    def remove(self, paths: Sequence[str]) -> int:
        """Move pictures into ``removed/``, from where they can be taken back by hand."""
        with self._lock:
            self.leave_out(paths, leave=False)
            for path in paths:
                source = self.file(path)
                target = self.folder.parent / "removed" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
                outline_of(source).unlink(missing_ok=True)
            return len(paths)

    def put(self, product: str, role: Role, kind: str, name: str, content: bytes) -> str:
        """Write a new picture; its path."""
        with self._lock:
            folder = self.folder / product / role / kind
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / self.free_name(product, name)
            with atomic_write(target) as file:
                file.write(content)
            return target.relative_to(self.folder).as_posix()

    def free_name(self, product: str, name: str, besides: Path | None = None) -> str:
        """``name``, with a number where another picture of the product has it already."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        number = 1
        while True:
            tried = name if number == 1 else f"{stem}-{number}{suffix}"
            if all(found == besides for found in self._named(product, tried)):
                return tried
            number += 1

    def has(self, product: str, name: str) -> str | None:
        """Where the picture of a name is now."""
        found = next(self._named(product, name), None)
        return None if found is None else found.relative_to(self.folder).as_posix()

    def _named(self, product: str, name: str) -> Iterator[Path]:
        base = self.folder / product
        places = [base / role for role in ROLES] + list(_paths(base / "defect"))
        return (place / name for place in places if (place / name).is_file())

    def _of(self, product: str, role: Role) -> Iterator[ProjectPicture]:
        base = self.folder / product / role
        kinds = [("", base)] + [(path.name, path) for path in _paths(base) if role == "defect"]
        for kind, folder in kinds:
            try:
                with os.scandir(folder) as entries:
                    files = [entry for entry in entries if entry.is_file()]
            except OSError:
                continue
            outlines = {entry.name for entry in files if entry.name.endswith(".json")}
            for entry in sorted(files, key=lambda entry: entry.name):
                if is_image_name(entry.name):
                    version = file_version(Path(entry.path))
                    outlined = outline_of(Path(entry.name)).name in outlines
                    yield ProjectPicture(product, role, kind, entry.name, version, outlined)

    def _called(self, path: str) -> str:
        self.file(path)
        parts = path.split("/")
        return f"{parts[0]}/{parts[-1]}"

    def _write_left_out(self, names: Sequence[str]) -> None:
        with atomic_write(self._left_out) as file:
            file.write("".join(f"{name}\n" for name in names).encode())

    @staticmethod
    def _split(path: str) -> list[str] | None:
        """The parts of a path that can be one of ours; no other ever reaches the disk."""
        parts = path.split("/")
        kinds = 3 if len(parts) > 1 and parts[1] != "defect" else 4
        fits = 3 <= len(parts) <= kinds and parts[1] in ROLES and is_image_name(parts[-1])
        plain = all(
            part not in ("", ".", "..") and part.isprintable() and "\\" not in part
            for part in parts
        )
        return parts if fits and plain else None


def check_product(name: str) -> str:
    """A product's name as a folder may have it; refused (422) otherwise."""
    name = name.strip()
    if not _PRODUCT.fullmatch(name) or name.endswith("."):
        raise RefusalError(
            422,
            "bad_product",
            f"{name[:60]!r} is no name for a product: begin with a letter or number, and use "
            "letters, numbers, spaces, dots, plus, minus and underscores, at most 60.",
        )
    return name


def file_name(path: str) -> str:
    """The last part of a client's path as the name of a file."""
    name = PurePosixPath(path.replace("\\", "/")).name
    name = "".join(c if c.isprintable() and c not in '<>:"|?*/\\' else "_" for c in name)
    stem, suffix = os.path.splitext(name.lstrip("."))  # noqa: PTH122
    return f"{stem[-100:] or 'picture'}{suffix}"


def file_version(path: Path) -> str:
    """Another one for every other content: a file that is moved keeps it, its name does not count.

    Time stamp and size alone do not tell two uncompressed pictures from one archive apart.
    """
    stat = path.stat()
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"


def outline_of(picture: Path) -> Path:
    """Where the outlines of a picture are; ``1.png`` and ``1.jpg`` have each their own."""
    return picture.with_name(f"{picture.name}.json")


def write_outline(
    picture: Path, size: tuple[int, int], shapes: Sequence[Sequence[Sequence[float]]]
) -> None:
    """Write the outlines of defects as LabelMe does, or take them away where there are none."""
    target = outline_of(picture)
    if not shapes:
        target.unlink(missing_ok=True)
        return
    height, width = size
    content: dict[str, object] = {
        "version": "5.0.0",
        "flags": {},
        "shapes": [
            {"label": "defect", "points": points, "group_id": None, "flags": {}}
            | {"shape_type": "polygon"}
            for points in shapes
        ],
        "imagePath": picture.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    with atomic_write(target) as file:
        file.write(json.dumps(content, indent=1).encode())


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [e for e in entries if is_visible_folder_name(e.name) and e.is_dir()]
    except FileNotFoundError:
        return iter(())
    return iter(found)


def _paths(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _folders(folder))
