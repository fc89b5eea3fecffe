"""Links of pages to files beside `docs/`, for the site: the file goes along, as it is.

A page links to the code and the result files that it speaks of, relative to itself, so that the
link works where the repository is read. The site takes those files in under ``files/``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(?<=\]\()((?:\.\./)+)([^)#\s]+)((?:#[^)]*)?)(?=\))")


def _outside(page: str, link: str, config: MkDocsConfig) -> PurePosixPath | None:
    """The linked file from the repository's root; None for one inside the pages' folder."""
    root = Path(config.config_file_path).parent
    target = Path(os.path.normpath(Path(config.docs_dir) / Path(page).parent / link))
    if target.is_relative_to(config.docs_dir) or not target.is_relative_to(root):
        return None
    return PurePosixPath(target.relative_to(root).as_posix())


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave the pages' folder to the copy of their file in the site."""
    root = Path(config.config_file_path).parent

    def inside(found: re.Match[str]) -> str:
        target = _outside(page.file.src_uri, found[1] + found[2], config)
        if target is None:
            return found[0]
        path = root / target
        if path.is_dir():  # a benchmark's results: the first file stands for them
            first = min((entry.name for entry in path.iterdir() if entry.is_file()), default="")
            target, path = target / first, path / first
        if not path.is_file():
            raise FileNotFoundError(f"{page.file.src_uri} links to {target}, which is not there.")
        uri = f"files/{target}" + (".txt" if path.suffix in (".py", ".md") else "")
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        up = "../" * page.file.src_uri.count("/")
        return f"{up}{uri}"

    return _LINK.sub(inside, markdown)
