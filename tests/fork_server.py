"""Starts ``blemish`` as often as asked, each time in a process of its own, after one import.

Reads a job as a line of JSON from each connection, as `forked.py` writes them, and answers with the
process's number. Exit codes, signals and files are the real ones; when a process ends, its exit
code is written to the job's ``ended``. The modules of blemish that such a process starts as
``python -m`` are forks too, but where `forked.PLACE` is empty.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # the suite's own modules
sys.path.insert(0, str(Path(__file__).parent / "serving"))

from exported_once import export_once
from forked import PLACE, Forks, fork_modules

#: What else is imported before some verbs run, and once for all of them.
BEFORE = {
    "serve": ("blemish.serving.http.server",),
    "studio": ("blemish.studio.http.server",),
}
running: dict[int, str] = {}


def _become(descriptor: int, opened: int) -> None:
    os.dup2(opened, descriptor)
    os.close(opened)


def _tell_the_ended() -> None:
    for pid in list(running):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            place = running.pop(pid)
            with contextlib.suppress(OSError):  # nobody asks any more
                told = os.open(place, os.O_WRONLY | os.O_NONBLOCK)
                os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(told)


def _prepare() -> None:
    """Imports everything that takes long to import, and reads what is read by many."""
    import lightning.pytorch  # noqa: F401
    import onnxruntime  # noqa: F401
    import PIL.Image
    import rich.console
    import rich.table  # noqa: F401
    import scipy.ndimage
    import scipy.stats  # noqa: F401
    import sklearn.cluster
    import sklearn.ensemble  # noqa: F401
    import typer.main
    import typer.rich_utils

    PIL.Image.init()  # every reader of pictures
    if importlib.util.find_spec("onnxscript") is not None:
        import onnxscript  # noqa: F401

    import blemish.cli.app
    import blemish.detector
    import blemish.export
    import blemish.outputs.run
    from blemish.teachers.teacher import build_teacher
    from weights_once import read_weights_once

    read_weights_once()
    build_teacher()
    # The verbs' options, which every run would read from annotations again.
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(blemish.cli.app.app)


def _program(job: dict[str, Any]) -> Callable[[], int | None]:
    for name in BEFORE.get(job["words"][0], ()) if job["words"] else ():
        importlib.import_module(name)
    if job["program"] == "blemish":
        from blemish.cli.app import main

        return main
    run: Callable[..., Any] = importlib.import_module(job["program"]).main
    return functools.partial(run, job["words"]) if signature(run).parameters else run


def _run(job: dict[str, Any], program: Callable[[], int | None], out: int) -> None:
    # A suite started in the background inherits "ignore"; the user at a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(job["environment"])
    if graphs := os.environ.get("BLEMISH_TEST_GRAPHS"):
        export_once(Path(graphs))
    sys.path[:0] = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(job["cwd"])
    if job.get("session"):
        os.setsid()
    _become(0, os.open(job.get("in", os.devnull), os.O_RDONLY))
    _become(1, out)
    _become(2, os.open(job["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    sys.stdout.reconfigure(line_buffering="PYTHONUNBUFFERED" in os.environ)  # type: ignore[union-attr]
    if place := os.environ.get(PLACE):
        fork_modules(Forks(Path(place)))
    sys.argv = ["blemish", *job["words"]]
    # By this, processes that it spawns itself import the command, and not this file.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("blemish.cli.app")
    code = 1  # as Python ends on what nobody catches
    try:
        exec(job["before"], {"__name__": "before"})
        code = program() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)  # taking down all that was imported lasts as long as the run itself


if __name__ == "__main__":
    asks = socket.socket(fileno=int(sys.argv[1]))
    select.select([asks, sys.stdin], [], [])  # a run that starts nothing need not wait for imports
    if asks in select.select([asks], [], [], 0)[0]:
        _prepare()
    # Told in the loop below, not in a handler: that is entered once more, in the midst of itself,
    # when another process ends.
    ends, wakes = socket.socketpair()
    ends.setblocking(False)
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while sys.stdin not in (ready := select.select([asks, ends, sys.stdin], [], [])[0]):
        if ends in ready:
            ends.recv(4096)
            _tell_the_ended()
        if asks not in ready:
            continue
        asking, _ = asks.accept()
        with asking, asking.makefile("rw") as file:
            job = json.loads(file.readline())
            program = _program(job)
            gc.freeze()  # no process of these looks through all that, nor copies it
            out = os.open(job["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for place in (asks, asking, ends, wakes):
                    os.close(place.fileno())
                _run(job, program, out)
            os.close(out)
            running[child] = job["ended"]
            file.write(f"{child}\n")
            file.flush()
