"""Starts ``blemish`` as often as asked, each time in a process of its own, after one import.

Reads one job as JSON per line: ``words``, ``cwd``, ``before`` (Python run first), ``out`` and
``err`` (files for the output). Answers each with the exit code. Exit codes,
signals and files are the real ones.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the suite's own modules

# Everything that takes long to import.
import lightning.pytorch  # noqa: F401
import rich.console
import rich.table  # noqa: F401
import scipy.ndimage  # noqa: F401

if find_spec("onnxscript") is not None:
    import onnxscript  # noqa: F401

import blemish.detector
import blemish.export  # noqa: F401
from blemish.cli.app import main
from exported_once import export_once


def _become(descriptor: int, path: str, flags: int) -> None:
    opened = os.open(path, flags)
    os.dup2(opened, descriptor)
    os.close(opened)


if __name__ == "__main__":
    if folder := os.environ.get("BLEMISH_TEST_GRAPHS"):
        export_once(Path(folder))
    while line := sys.stdin.readline():
        job = json.loads(line)
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(code, flush=True)
            continue
        # A suite started in the background inherits "ignore"; the user at a terminal does not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(job["cwd"])
        _become(0, os.devnull, os.O_RDONLY)
        for descriptor, name in ((1, "out"), (2, "err")):
            _become(descriptor, job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        sys.argv = ["blemish", *job["words"]]
        code = 1  # as Python ends on what nobody catches
        try:
            exec(job["before"], {"__name__": "before"})
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)  # taking down all that was imported lasts as long as the run itself
