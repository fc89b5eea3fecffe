"""Picture intake: what dropped files are, told by their folders' names and by what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import BaseModel

from blemish.data.layouts.roles import folder_role, named_as
from blemish.serving.decoding import decoded
from blemish.serving.drawing import thumbnail
from blemish.serving.history.database import Database
from blemish.serving.limits import ServeLimits
from blemish.studio.pictures import ProjectPictures, Role, check_product, file_name
from blemish.studio.thumbnails import Thumbnails


class Taken(BaseModel):
    """What became of one file."""

    path: str
    role: Role
    kind: str
    equal_to: str | None = None  # a picture that was here before, with the very same content
    because: str = ""  # why it has this role


class Place(BaseModel):
    """Where a dropped file belongs, by the names of its folders."""

    role: Role
    kind: str = ""
    product: str | None = None  # none is named
    because: str = ""
    masks: bool = False  # it is no picture but says where a defect is


def place_of(path: str) -> Place:
    """Product, role and kind of defect that the folders of a dropped file say.

    Example:
        >>> from blemish.studio.intake import place_of
        >>> place_of("bottle/test/broken_large/000.png").kind
        'broken_large'
        >>> place_of("monday/OK/1.png").product, place_of("1.png").role
        ('monday', 'unsorted')
    """
    *folders, name = PurePosixPath(path.replace("\\", "/")).parts
    roles = [folder_role(folder).what for folder in folders]
    if "masks" in roles:
        return Place(role="unsorted", masks=True, because=folders[roles.index("masks")])
    sure = [at for at, what in enumerate(roles) if what in ("good", "defects")]
    if sure:
        at = sure[0]
        below = zip(folders[at + 1 :], roles[at + 1 :], strict=True)
        kinds = [folder for folder, what in below if what == "kind"]
        good = roles[at] == "good"
        return Place(
            role="good" if good else "defect",
            kind="" if good or not kinds else kinds[0],
            product=_product(folders[:at]),
            because=f"the folder is called {folders[at]}",
        )
    tests = [at for at, what in enumerate(roles) if what == "split"]
    if tests and folder_role(folders[tests[0]]).split == "test" and "kind" in roles[tests[0] :]:
        at = roles.index("kind", tests[0])
        product = _product(folders[: tests[0]])
        why = f"the folder {folders[at]} lies in {folders[tests[0]]}"
        return Place(role="defect", kind=folders[at], product=product, because=why)
    said = named_as(PurePosixPath(name).stem)
    role: Role = {"good": "good", "defects": "defect"}.get(said, "unsorted")  # type: ignore[assignment]
    return Place(role=role, product=_product(folders), because="its name says so" if said else "")


def _product(folders: list[str]) -> str | None:
    """The innermost folder whose name says nothing else."""
    named = [folder for folder in folders if folder_role(folder).what == "kind"]
    return named[-1] if named else None


class Intake:
    """Takes files into a project."""

    def __init__(
        self,
        database: Database,
        pictures: ProjectPictures,
        thumbnails: Thumbnails,
        limits: ServeLimits,
    ) -> None:
        self._db, self._pictures, self._limits = database, pictures, limits
        self._thumbnails = thumbnails

    def take(
        self,
        path: str,
        content: bytes,
        *,
        product: str | None,
        role: Role | None,
        kind: str | None = None,
    ) -> Taken:
        """Keep a file as it is; refused (4xx) where it is no picture that can be read.

        Args:
            path: The client's name of it, with its folders.
            content: The file.
            product: Which product it shows; ``None``: as its folders say.
            role: What it shows; ``None``: as its folders say.
            kind: Of defect; ``None``: as its folders say.
        """
        place = place_of(path)
        image = decoded(content, file_name(path), bit_depth=16, most=self._limits.pixels)
        product = check_product(product or place.product or "parts")
        because = place.because if role is None else ""
        role = role or place.role
        kind = (place.kind if kind is None else kind) if role == "defect" else ""
        digest = hashlib.sha256(content).hexdigest()
        rows = self._db.rows(
            "SELECT name FROM digests WHERE product = ? AND digest = ?", (product, digest)
        )
        there = self._pictures.has(product, rows[0]["name"]) if rows else None
        if there is not None:
            now_role: Role = there.split("/")[1]  # type: ignore[assignment]
            return Taken(path=there, role=now_role, kind="", equal_to=there)
        kept = self._pictures.put(product, role, kind, file_name(path), content)
        self._remember(kept, digest)
        self._thumbnails.put(self._pictures.file(kept), thumbnail(image))
        return Taken(path=kept, role=role, kind=kind, because=because)

    def give_product(self, paths: Sequence[str], product: str) -> list[str]:
        """Say of pictures that they show another product; their new paths."""
        moved = self._pictures.give_product(paths, check_product(product))
        for path in moved:
            content = self._pictures.file(path).read_bytes()
            self._remember(path, hashlib.sha256(content).hexdigest())
        return moved

    def _remember(self, path: str, digest: str) -> None:
        product, *_, name = path.split("/")
        self._db.run("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (product, digest, name))
