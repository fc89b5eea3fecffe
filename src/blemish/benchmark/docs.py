"""Documentation page of results: the tables of results folders, put into it.

::

    python -m blemish.benchmark.docs benchmarks/results/inspection docs/results.md

The text between a folder's two markers is replaced and all other text stays. A page without them
gets them at its end, a page that does not exist is begun.
"""

from __future__ import annotations

import sys
from pathlib import Path

from blemish._files import atomic_write
from blemish.benchmark.rows import read_lines
from blemish.benchmark.tables import markdown
from blemish.errors import BlemishError, ConfigError

_TITLE = """# Results

Generated from `benchmarks/results/*/rows.jsonl`; do not edit between the markers. How the figures
are measured is in [benchmark.md](benchmark.md), what they mean in [metrics.md](metrics.md).
"""


def write_docs(folder: str | Path, page: str | Path) -> None:
    """Write a results folder's tables into a page.

    Raises:
        DataError: The folder holds no rows.
        ConfigError: The page has one of the two markers only, or both in the wrong order.
    """
    name = Path(folder).resolve().name
    begin, end = f"<!-- benchmark {name}: begin -->", f"<!-- benchmark {name}: end -->"
    tables = markdown(read_lines(folder))
    block = f"{begin}\n{_generated(name, Path(page))}\n\n{tables}\n{end}"
    page = Path(page)
    text = page.read_text(encoding="utf-8") if page.is_file() else _TITLE
    if text.count(begin) == text.count(end) == 1 and text.index(begin) < text.index(end):
        before, after = text.split(begin)[0], text.split(end)[1]
        text = before + block + after
    elif begin in text or end in text:
        raise ConfigError(
            f"{page} does not hold the two lines {begin} and {end} once and in this order. "
            "Mend or remove them."
        )
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    with atomic_write(page) as file:
        file.write(text.encode())


def _generated(name: str, page: Path) -> str:
    parts = page.resolve().parts
    inside = parts[parts.index("docs") + 1 :] if "docs" in parts else parts[-1:]
    command = f"python -m blemish.benchmark.docs benchmarks/results/{name} docs/{'/'.join(inside)}"
    return f"<!-- {command} -->"


def main(arguments: list[str]) -> int:
    """Command line; see the module."""
    if len(arguments) < 2:
        print("Usage: python -m blemish.benchmark.docs RESULTS_DIR … PAGE.md", file=sys.stderr)
        return 2
    *folders, page = arguments
    try:
        for folder in folders:
            write_docs(folder, page)
    except (BlemishError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
