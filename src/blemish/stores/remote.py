"""Remote files by fsspec: read, written and listed whole; a local path is taken as well.

Credentials come from the environment of each store's own library and are never seen here. A store
that does not answer or refuses is no property of a picture: it stops the work, which can be gone on
with, and never counts as a file that is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blemish.errors import ConfigError, MissingExtraError, StoreError, first_line
from blemish.stores.urls import as_url, shown


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, in one request.

    Raises:
        FileNotFoundError: It is not there.
        StoreError: The store does not answer, or refuses.
    """
    if as_url(path) is None:
        return Path(path).read_bytes()
    with _asking(path) as (system, name):
        content: bytes = system.cat_file(name)
    return content


def file_size(path: str | Path) -> int:
    """Bytes of a file; errors as those of :func:`read_bytes`."""
    if as_url(path) is None:
        return Path(path).stat().st_size
    with _asking(path) as (system, name):
        return int(system.size(name))


def read_many(paths: Sequence[Path]) -> dict[Path, bytes]:
    """The contents of files of one store, at the same time where the store can."""
    with _asking(paths[0]) as (system, _):
        names = [str(system._strip_protocol(as_url(path))) for path in paths]
        found: dict[str, bytes] = system.cat(names)
    return {path: found[name] for path, name in zip(paths, names, strict=True)}


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a remote file; an object store shows it when it is whole.

    Raises:
        StoreError: As for :func:`read_bytes`; also where its bucket is not there.
    """
    with _asking(path) as (system, name):
        if system.protocol in ("file", ("file", "local")):
            system.makedirs(system._parent(name), exist_ok=True)
        system.pipe_file(name, content)


def check_bucket(path: str | Path) -> None:
    """Raise a :class:`StoreError` where there is no such store or bucket to write to."""
    with _asking(path) as (system, name):
        bucket = name.strip("/").partition("/")[0]
        if "s3" in system.protocol and not system.exists(bucket):
            raise StoreError(f"Cannot write {shown(path)}: there is no bucket {bucket}.")


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder, or what stands for one where there are none.

    Raises:
        FileNotFoundError: There is nothing of that name.
        StoreError: As for :func:`read_bytes`.
    """
    with _asking(path) as (system, name):
        return bool(system.info(name)["type"] == "directory")


def names_in(folder: str | Path) -> list[str]:
    """Names of what is in a folder, none where it is not there."""
    if as_url(folder) is None:
        return sorted(p.name for p in Path(folder).glob("*"))
    with _asking(folder) as (system, name):
        system.invalidate_cache()  # others may have written meanwhile
        try:
            found = system.ls(name, detail=False)
        except FileNotFoundError:
            return []
    return sorted(entry.rstrip("/").rpartition("/")[2] for entry in found)


def list_files(path: str | Path, *, recursive: bool = True) -> dict[Path, str]:
    """The files in a remote folder, each with what changes when its content does.

    Raises:
        StoreError: As for :func:`read_bytes`, or a file whose name cannot be carried.
    """
    with _asking(path) as (system, name):
        system.invalidate_cache()  # others may have written meanwhile
        found: dict[str, Any] = system.find(name, maxdepth=None if recursive else 1, detail=True)
        scheme = str(as_url(path)).partition(":")[0]
    files: dict[Path, str] = {}
    for key, entry in found.items():
        if key.endswith("/"):  # an object that stands for a folder
            continue
        url = f"{scheme}://{key.lstrip('/')}" if scheme != "file" else f"file:///{key.lstrip('/')}"
        if as_url(Path(url)) != url:
            raise StoreError(
                f"{url} has an empty part in its name, or one of dots. Give it another name."
            )
        told = (entry.get(name) for name in ("size", "ETag", "etag", "mtime", "created", "updated"))
        files[Path(url)] = "|".join(map(str, told))
    return files


@contextmanager
def _asking(path: str | Path) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the name in it; what goes wrong is said in one way."""
    url = as_url(path)
    assert url is not None, path
    scheme = url.partition(":")[0]
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"Opening {url}", "s3") from error
    try:
        yield fsspec.core.url_to_fs(url)
    except (FileNotFoundError, ConfigError, StoreError):
        raise
    except ImportError as error:
        if scheme in ("s3", "s3a"):
            raise MissingExtraError(f"Opening {url}", "s3") from error
        raise ConfigError(f"Cannot open {url}: {first_line(error)}.") from error
    except ValueError as error:
        raise ConfigError(f"Cannot open {url}: {first_line(error)}.") from error
    except Exception as error:  # each store has errors of its own
        raise StoreError(
            f"{url} cannot be reached ({type(error).__name__}: {first_line(error)}). Check the "
            "network and the credentials in the environment; give the same command again to go on."
        ) from error
