"""Result file: what a script measured, with date and machine, as JSON, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blemish._files import atomic_write
from blemish.benchmark.environment import environment


def write_result(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write figures with the ``environment`` that they were measured in; folders are made.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from blemish.benchmark.result_file import write_result
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_result(Path(folder, "new", "speed.json"), {"seconds": 2.5})
        ...     written = json.loads(Path(folder, "new", "speed.json").read_text())
        >>> written["seconds"], sorted(written["environment"])[:2]
        (2.5, ['cores', 'cpu_model'])
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        text = json.dumps({**content, "environment": environment()}, indent=1)
        file.write(f"{text}\n".encode())
