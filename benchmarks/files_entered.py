"""How many files of blemish one command enters, and how often it changes from one to another.

    python benchmarks/files_entered.py predict MODEL IMAGE --csv out.csv
    python benchmarks/files_entered.py fit DIR --out m.blemish --size 64

Counted by tracing are the files in which a function is called, in any thread; what runs while a
module is imported does not count. The command's own output goes to standard error.
"""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

import blemish.cli.app

ROOT = Path(blemish.cli.app.__file__).parents[1]


def importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class Trace:
    """Files entered, and changes between them."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.changes = 0
        self.manifests = 0
        self._last: dict[int, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        # The body of a class is no function.
        if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED:
            return
        path = Path(code.co_filename)
        if not path.is_relative_to(ROOT) or importing(frame):
            return
        name = path.relative_to(ROOT).as_posix()
        self.files[name] += 1
        self.manifests += code.co_name == "parse_manifest"
        thread = threading.get_ident()
        self.changes += self._last.get(thread, name) != name
        self._last[thread] = name


def main() -> None:
    trace = Trace()
    sys.argv[0] = "blemish"
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        with redirect_stdout(sys.stderr):
            blemish.cli.app.main()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    print(
        json.dumps(
            {
                "command": sys.argv[1:],
                "files": len(trace.files),
                "changes": trace.changes,
                "manifests_parsed": trace.manifests,
                "calls": dict(sorted(trace.files.items())),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
