"""Model process: the network of an opened model runs apart, so that its end is not the page's.

A model that takes all memory, or breaks in a library's own code, ends its process; the next picture
starts it again. This process never imports torch.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.errors import BlemishError
from blemish.inspection.network import Network, NetworkOutput
from blemish.serving.model import ServedModel, open_served

Opener = Callable[[Path], ServedModel]


class _Nothing:
    """In place of the network, which stays where it is."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        raise RuntimeError("the network is in its own process")


class OwnProcess:
    """A network in a process of its own.

    Args:
        path: The model's file.
        opener: Opens it, over there.

    Attributes:
        model: What was opened, with this as its network.

    Raises:
        BlemishError: It cannot be opened; the message is that of the one who tried.
    """

    def __init__(self, path: Path, opener: Opener = open_served) -> None:
        self._path, self._opener = path, opener
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._line: Connection | None = None
        self.starts = 0
        network: Network = self
        self.model = replace(self._start(), network=network)

    @property
    def pid(self) -> int | None:
        """Number of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)``; a :class:`BlemishError` where the process ended."""
        with self._lock:
            if self._line is None:
                self._start()
            assert self._line is not None
            try:
                self._line.send(pixels)
                answer = self._line.recv()
            except (EOFError, OSError) as error:
                code = self._ended()
                why = (
                    "was killed by the system, as happens when memory runs out"
                    if code == -9
                    else f"ended (exit code {code})"
                )
                raise BlemishError(
                    f"The process of {self._path.name} {why}. It is started again with the next "
                    "picture; what was judged before is kept."
                ) from error
        if isinstance(answer, NetworkOutput):
            return answer
        raise BlemishError(str(answer))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._ended()

    def _start(self) -> ServedModel:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, self._path, self._opener), daemon=True)
        process.start()
        there.close()
        self._process, self._line = process, here
        self.starts += 1
        try:
            opened = here.recv()
        except EOFError as error:
            code = self._ended()
            raise BlemishError(
                f"{self._path.name} could not be opened: its process ended (exit code {code}), as "
                "happens when memory runs out. Close other programs and try again."
            ) from error
        if isinstance(opened, ServedModel):
            return opened
        self._ended()
        raise BlemishError(str(opened))

    def _ended(self) -> int | None:
        if self._line is not None:
            self._line.close()
        process, self._process, self._line = self._process, None, None
        if process is None:
            return None
        process.join(0.5)
        if process.exitcode is None:
            process.terminate()
            process.join(5)
        return process.exitcode


def _work(line: Connection, path: Path, opener: Opener) -> None:
    """The other process: open the model, then judge what comes until nobody is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the studio, which closes the line
    try:
        model = opener(path)
    except BlemishError as error:
        line.send(str(error))
        return
    line.send(replace(model, network=_Nothing()))
    with contextlib.suppress(EOFError, OSError):
        while True:
            pixels = line.recv()
            try:
                answer: object = model.network(pixels)
            except (BlemishError, MemoryError, RuntimeError) as error:
                answer = f"{path.name} cannot judge this picture: {error}"
            line.send(answer)
