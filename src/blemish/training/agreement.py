"""Collective operations: what the processes of a training tell each other and agree upon.

Every process calls the same of them in the same order; one process alone agrees with itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from blemish.errors import BlemishError, ConfigError

Value = TypeVar("Value")


class Agreement:
    """One process of several, with a group to talk in once it has met the others."""

    rank, local_rank, count = 0, 0, 1

    def __init__(self) -> None:
        self._group: Any = None
        self._met = False

    @property
    def first(self) -> bool:
        """Whether this one speaks and writes for all."""
        return self.rank == 0

    def every(self, value: Value) -> list[Value]:
        """The value of every process, in order."""
        if not self._met:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value, group=self._group)
        return found

    def from_first(self, find: Callable[[], Value]) -> Value:
        """What the first process finds, or the error it raises, in all of them."""
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = find()
            except BlemishError as error:
                if not self._met:
                    raise
                found[1] = error
        if self._met:
            dist.broadcast_object_list(found, 0, group=self._group)
        if found[1] is not None:
            raise found[1]
        return found[0]

    def check_same(self, what: str, value: object) -> None:
        """Refuse to go on where processes differ in something.

        Raises:
            ConfigError: In every process.
        """
        text = json.dumps(value, sort_keys=True, default=str)
        digests = self.every(hashlib.sha256(text.encode()).hexdigest())
        for rank, digest in enumerate(digests):
            if digest != digests[0]:
                raise ConfigError(
                    f"Process {rank} of the training does not find the same {what} as the first. "
                    "All machines need the same data under the same names, and with several "
                    "machines the folder of the model on a file system that they share."
                )

    def any_of(self, *flags: bool) -> list[bool]:
        """Each flag: whether a process has set it."""
        if not self._met:
            return list(flags)
        found = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self._group)
        return [bool(flag) for flag in found]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Mean of each value over the processes."""
        if not self._met:
            return dict(values)
        found = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(found, group=self._group)
        return dict(zip(values, (found / self.count).tolist(), strict=True))

    def of_node(self, folder: Path) -> Path:
        """The folder that the first process of this machine names."""
        every = self.every(str(folder))
        return Path(every[self.rank - self.local_rank if len(every) > 1 else 0])

    def cache_agreed(self, fits: float) -> float:
        """Whether features are cached: where they fit for all.

        The first process of a machine, which shows how far it is, then builds the cache and calls
        :meth:`cache_built`; the others wait here until it has.
        """
        agreed = min(self.every(fits))
        if agreed and self.local_rank:
            self.every("built")
        return agreed

    def cache_built(self) -> None:
        """Let the others of the machine open what this one has built."""
        if not self.local_rank:
            self.every("built")
