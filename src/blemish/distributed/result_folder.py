"""Result folder: the plan of a run, and one Parquet file for each block of its pictures.

Files are what a run remembers by. A block's file is there whole or not at all, under a name that
follows from the block, and which pictures are in a block follows from the plan: whoever judges a
block writes the same file, so that a block judged twice is in the folder once. A run that was
killed goes on with the blocks that have no file.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from blemish._files import atomic_write, check_is_no_dash
from blemish.distributed.columns import Row, parquet_library, schema
from blemish.errors import ConfigError, DataError
from blemish.stores.remote import check_bucket, names_in, read_bytes
from blemish.stores.urls import as_url, shown

#: Batches of a block: as many as make the pauses between blocks short beside them, and few enough
#: for a kill to cost little.
BATCHES_A_BLOCK = 32
#: What begins with ``_`` is no part of the table to Arrow, DuckDB, Spark and others.
PLAN, MAPS = "_run.json", "_maps"
_PART = re.compile(r"part-(\d{6,})\.parquet")


class Block(NamedTuple):
    """Pictures that are judged by one worker and written into one file."""

    number: int
    paths: list[str]


@dataclass(frozen=True)
class Plan:
    """What a run judges and how: what decides its rows, and so whether it can be gone on with.

    Attributes:
        model: Digest of the model file, limits included.
        pictures, paths: Number of pictures, and SHA-256 of their names in order.
        product, batch_size, maps: As asked for.
        block: Pictures in a block.
        columns: Version of the table.
    """

    model: str
    pictures: int
    paths: str
    product: str | None
    batch_size: int
    maps: bool
    block: int
    columns: int = 1

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        *,
        model: str,
        product: str | None = None,
        batch_size: int = 8,
        maps: bool = False,
    ) -> Plan:
        """The plan of a run over these paths; a block is whole batches, so that the batches are
        those of a run without blocks and the scores too.
        """
        names = hashlib.sha256()
        for path in paths:
            names.update(path.encode(errors="surrogateescape") + b"\0")
        block = batch_size * BATCHES_A_BLOCK
        return cls(model, len(paths), names.hexdigest(), product, batch_size, maps, block)

    def blocks(self, paths: Sequence[str], done: Iterable[int] = ()) -> Iterator[Block]:
        """The blocks of the paths in order, without those that are done."""
        passed = set(done)
        for number in range(self.count):
            if number not in passed:
                start = number * self.block
                yield Block(number, list(paths[start : start + self.block]))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.pictures // self.block)


class ResultFolder:
    """The files of a run; picklable, so that workers write them.

    Args:
        folder: Made where absent, in a folder that exists; or a URL. Every worker must reach it by
            this name.
    """

    def __init__(self, folder: str | Path) -> None:
        check_is_no_dash(folder)
        self.folder = Path(folder)

    def begin(self, plan: Plan) -> list[int]:
        """Write the plan down, or check that the run in the folder has the same one.

        Returns:
            Numbers of the blocks that are done.

        Raises:
            ConfigError: The folder holds another run or other files, or cannot be made.
        """
        if as_url(self.folder):
            check_bucket(self.folder)  # which is all that there is of folders
        else:
            self._make()
        names = names_in(self.folder)
        foreign = [name for name in names if not name.startswith((".", "_")) and name != PLAN]
        if PLAN in names:
            self._check(plan)
        elif foreign:
            raise ConfigError(
                f"--out {shown(self.folder)} holds {foreign[0]} and no {PLAN}: it is no folder of "
                "results. Name a new folder, or an empty one."
            )
        else:
            with atomic_write(self.folder / PLAN) as file:
                file.write(json.dumps(asdict(plan), indent=1).encode())
        numbers = (int(found[1]) for name in names if (found := _PART.fullmatch(name)))
        return sorted(number for number in numbers if number < plan.count)

    def _make(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"--out {self.folder} is a file. Expected a folder for the results.")
        if not self.folder.parent.is_dir():
            raise ConfigError(
                f"Cannot write to {self.folder}: the folder {self.folder.parent} does not exist. "
                "Create it first, or name a folder inside one that exists."
            )
        self.folder.mkdir(exist_ok=True)

    def _check(self, plan: Plan) -> None:
        try:
            found = json.loads(read_bytes(self.folder / PLAN))
            changed = [name for name, value in asdict(plan).items() if found[name] != value]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{shown(self.folder / PLAN)} is not the plan of a run. Name another folder."
            ) from error
        if changed:
            words = {
                "model": "another model or other limits",
                "pictures": f"{found['pictures']} pictures and not {plan.pictures}",
                "paths": "other pictures",
                "product": f"--product {found['product']}",
                "maps": "--maps" if found["maps"] else "no --maps",
                "batch_size": f"--batch-size {found['batch_size']}",
            }
            raise ConfigError(
                f"--out {shown(self.folder)} holds a run with "
                f"{words.get(changed[0], changed[0])}. Rows of two runs do not belong in one "
                "table: name another folder, or give the command that began it to go on with it."
            )

    def name(self, number: int) -> str:
        """Name of a block's file."""
        return f"part-{number:06d}.parquet"

    def write(self, number: int, rows: Sequence[Row]) -> None:
        """Write a block's rows, whole or not at all; the same rows give the same bytes."""
        pa = parquet_library()
        content = io.BytesIO()
        pa.parquet.write_table(pa.Table.from_pylist(list(rows), schema()), content)
        with atomic_write(self.folder / self.name(number)) as file:
            file.write(content.getvalue())

    def read(self, number: int) -> list[Row]:
        """The rows of a block that is done.

        Raises:
            DataError: The file is not one of this run's.
        """
        pa = parquet_library()
        path = self.folder / self.name(number)
        try:
            rows: list[dict[str, Any]] = pa.parquet.read_table(
                io.BytesIO(read_bytes(path)), schema=schema()
            ).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"Cannot read {shown(path)} ({error}). Remove it to have its block judged again."
            ) from error
        return rows
