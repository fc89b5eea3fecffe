"""Local copy of a remote folder, for what looks into folders and reads pictures several times.

A data set is recognised by its folders, and its pictures are read more than once while a model
learns. So the whole of it is copied, once: the next time only files that changed are fetched, and
what has gone from the store goes from the copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from itertools import islice
from pathlib import Path

from blemish._progress import Progress
from blemish.errors import DataError
from blemish.stores.remote import is_folder, list_files, read_many
from blemish.stores.urls import as_url

#: Beside the copy: what of each file was fetched.
_RECORD = "fetched.json"
#: Files after which the record is written, so that a copy that was stopped goes on from there.
_EACH = 64


def local_copy(source: str | Path, *, progress: Progress | None = None) -> Path:
    """The local folder or file with what is at a URL; a local path is given back as it is.

    Copies lie in ``BLEMISH_CACHE``, else in ``blemish`` below ``XDG_CACHE_HOME`` or ``~/.cache``,
    under the folder's own name, by which a product may be called.

    Raises:
        DataError: There is nothing at the URL, or it does not fit on the disk.
        StoreError: The store does not answer, or refuses.
    """
    url = as_url(source)
    if url is None:
        return Path(source)
    source = Path(source)
    home = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16]
    try:
        root = source if is_folder(source) else source.parent
        there = list_files(source) if root == source else {source: ""}
    except FileNotFoundError as error:
        raise DataError(f"There is nothing at {url}. Check the URL.") from error
    if not there:
        raise DataError(f"There are no files in {url}. Check the URL.")
    copy = home / source.name if root == source else home
    copy.mkdir(parents=True, exist_ok=True)
    record = home / _RECORD
    known: dict[str, str] = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    names = {path.relative_to(root).as_posix(): path for path in there}
    for gone in known.keys() - names.keys():
        (copy / gone).unlink(missing_ok=True)
        del known[gone]
    new = [
        name
        for name, path in names.items()
        if not there[path] or known.get(name) != there[path] or not (copy / name).is_file()
    ]
    _check_room(url, [there[names[name]] for name in new], home)
    waiting = iter(new)
    with (progress or Progress()).task(f"Copying {url}", len(new)) as task:
        while some := list(islice(waiting, _EACH)):
            contents = read_many([names[name] for name in some])
            for name in some:
                _write(copy / name, contents[names[name]])
                known[name] = there[names[name]]
                task.advance()
            _write(record, json.dumps(known).encode())
    return copy if root == source else copy / source.name


def cache_folder() -> Path:
    """Where copies lie."""
    own = os.environ.get("BLEMISH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blemish"


def _check_room(url: str, entries: list[str], home: Path) -> None:
    sizes = [size for entry in entries if (size := entry.partition("|")[0]).isdecimal()]
    needed, free = sum(map(int, sizes)), shutil.disk_usage(home).free
    if needed > free:
        raise DataError(
            f"{url} holds {needed / 1e9:.1f} GB to be copied, and {home} has {free / 1e9:.1f} GB "
            "free. Name a larger folder with BLEMISH_CACHE, or a part of the data."
        )


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; a copy need not survive a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False, prefix=".") as file:
        file.write(content)
    Path(file.name).replace(path)
