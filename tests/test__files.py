from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from blemish._files import atomic_write, keep_beside, writable_target
from blemish.errors import ConfigError


def test_the_file_appears_whole_and_nothing_else_remains(tmp_path: Path) -> None:
    target = tmp_path / "model.bin"
    with atomic_write(target) as file:
        file.write(b"half")
        assert not target.exists()  # readers see nothing until it is whole
        file.write(b" and half")
    assert target.read_bytes() == b"half and half"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "model.bin"
    target.write_bytes(b"old")

    def write_half() -> None:
        with atomic_write(target) as file:
            file.write(b"new, but never finished")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_handle_can_be_sought_and_read_back_as_zip_writers_need(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"xxxx tail")
        file.seek(0)
        file.write(b"head")
        file.seek(0)
        assert file.read() == b"head tail"
    assert (tmp_path / "a").read_bytes() == b"head tail"


def test_missing_folder_and_folder_as_target_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"does not exist\. Create it"),
        atomic_write(tmp_path / "missing" / "a.bin"),
    ):
        pytest.fail("the body must not run")
    with pytest.raises(ConfigError, match="it is a folder"), atomic_write(tmp_path):
        pytest.fail("the body must not run")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_the_umask_decides_the_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_very_long_name_is_written(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 120)
    with atomic_write(target) as file:
        file.write(b"1")
    assert target.read_bytes() == b"1"


def test_the_bytes_reach_the_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1]
    )
    with atomic_write(tmp_path / "a") as file:
        file.write(b"1")
    assert events[:2] == ["fsync", "rename"]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux")
@pytest.mark.parametrize("path", ["/proc/m.blemish", "/proc/self/m.blemish", "/sys/m.blemish"])
def test_what_the_kernel_makes_is_no_place_for_files(path: str) -> None:
    with pytest.raises(ConfigError, match="files cannot be created in"):
        writable_target(path)


def test_a_file_is_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "m.blemish"
    for content in (b"first", b"second"):
        path.write_bytes(content)
        kept = keep_beside(path)
        assert (kept.name, kept.read_bytes()) == ("m.blemish.bak", content)
        assert path.read_bytes() == content
