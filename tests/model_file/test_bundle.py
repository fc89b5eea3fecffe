"""The model file under damage: it is read whole, or refused with one clear error."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.errors import BundleError, ConfigError
from blemish.model_file.bundle import (
    SCHEMA_VERSION,
    Manifest,
    TeacherEntry,
    read_bundle,
    read_manifest,
    write_bundle,
)

FILES = {"model.safetensors": bytes(range(150)), "empty.bin": b""}


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "method": "rd",
        "config": {"steps": 4, "sigma": 0.1 + 0.2},
        "teacher": TeacherEntry(name="efficientnet_lite0", sha256="sha256:0", pretrained=True),
        "preprocessing": {"height": 64},
        "products": ("nut", "Schraube ø4"),
        "calibration": None,
        "training": {"seed": 0},
        "versions": {"blemish": "0.1.0"},
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Manifest(**{**values, **changes})


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "m.blemish", manifest(), FILES)
    return tmp_path / "m.blemish"


def _rewrite(path: Path, change: Any, *, seal: bool = True) -> None:
    """Write the file again with a changed manifest, with a right digest where ``seal`` is set."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(members["manifest.json"])
    content = change(content) or content
    if seal:
        text = json.dumps({**content, "digest": ""}, sort_keys=True, separators=(",", ":"))
        content["digest"] = hashlib.sha256(text.encode()).hexdigest()
    members["manifest.json"] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _refusal(path: Path) -> str:
    """The error on reading, empty where there is none."""
    try:
        read_bundle(path)
    except BundleError as error:
        return str(error)
    return ""


def test_what_was_written_is_read(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert dict(read.files) == FILES
    assert read.manifest == read_manifest(bundle)
    assert read.manifest.config == {"steps": 4, "sigma": 0.1 + 0.2}
    assert read.manifest.products == ("nut", "Schraube ø4")
    assert read.manifest.files.keys() == FILES.keys()


def test_the_same_model_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "again.blemish", manifest(), FILES)
    assert (tmp_path / "again.blemish").read_bytes() == bundle.read_bytes()


def test_cut_short_anywhere_it_is_refused(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    cut = tmp_path / "cut.blemish"
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(BundleError, match=r"cut\.blemish.*again"):
            read_bundle(cut)


def test_no_flipped_byte_changes_what_is_read(bundle: Path, tmp_path: Path) -> None:
    """Every byte in turn. Those of the zip's own fields that nothing depends on may be ignored."""
    whole = bytearray(bundle.read_bytes())
    wanted = read_bundle(bundle)
    contents = [whole.find(content) for content in FILES.values() if content]
    contents.append(whole.find(b'{\n "schema_version"'))
    assert min(contents) > 0
    refused = set()
    damaged = tmp_path / "damaged.blemish"
    rng = np.random.default_rng(0)
    for position in range(len(whole)):
        changed = whole.copy()
        changed[position] ^= int(rng.integers(1, 256))
        damaged.write_bytes(changed)
        message = _refusal(damaged)
        if message:
            assert str(damaged) in message
            assert "\n" not in message
            refused.add(position)
        else:
            assert read_bundle(damaged) == wanted, position
    for start, size in zip(contents, (len(FILES["model.safetensors"]), 300), strict=True):
        assert refused >= set(range(start, start + size))


def test_bytes_in_front_and_behind(bundle: Path) -> None:
    """What a careless transfer adds is either harmless or refused."""
    whole, wanted = bundle.read_bytes(), read_bundle(bundle)
    for changed in (b"junk" + whole, whole + b"junk", whole + whole):
        bundle.write_bytes(changed)
        message = _refusal(bundle)
        assert "again" in message if message else read_bundle(bundle) == wanted


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 10**9])
def test_a_newer_schema_asks_for_an_upgrade(version: int, bundle: Path) -> None:
    # Whatever else a newer version may have changed.
    _rewrite(bundle, lambda content: {"schema_version": version, "shape": "unknown"})
    for read in (read_bundle, read_manifest):
        with pytest.raises(BundleError, match=rf"version {version};.*--upgrade"):
            read(bundle)


def test_an_older_schema_asks_to_train_again(bundle: Path) -> None:
    _rewrite(bundle, lambda content: {"schema_version": 1, "shape": "unknown"})
    for read in (read_bundle, read_manifest):
        with pytest.raises(BundleError, match=r"version 1, of an earlier.*Train the model again"):
            read(bundle)


@pytest.mark.parametrize("version", ["2", None, True, 0, -1, 1.5, [1]])
def test_a_version_that_is_none_is_refused(version: object, bundle: Path) -> None:
    _rewrite(bundle, lambda content: content | {"schema_version": version})
    with pytest.raises(BundleError):
        read_bundle(bundle)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK", b"PK\x03\x04junk", b"\x89PNG\r\n\x1a\n"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.blemish"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"other\.blemish"):
        read_bundle(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is a folder"):
        read_bundle(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        read_bundle(tmp_path / "no.blemish")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"schema_version": 4}', b"NaN"],
)
def test_a_foreign_zip_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.blemish"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BundleError, match=r"lacks manifest\.json"):
        read_bundle(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", text)
    with pytest.raises(BundleError, match="manifest"):
        read_bundle(path)


def test_a_missing_member_is_named(bundle: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        content["files"]["more.bin"] = "0" * 64

    _rewrite(bundle, forget)
    with pytest.raises(BundleError, match=r"lacks more\.bin"):
        read_bundle(bundle)


@pytest.mark.parametrize("field", ["method", "config", "products", "teacher", "calibration"])
def test_an_altered_manifest_is_refused(field: str, bundle: Path) -> None:
    changes = {
        "method": "hfr",
        "config": {},
        "products": ["nut"],
        "teacher": {"name": "x", "sha256": "", "pretrained": True},
        "calibration": {"false_alarm_rate": 0.5},
    }
    _rewrite(bundle, lambda content: content | {field: changes[field]}, seal=False)
    with pytest.raises(BundleError, match="manifest was altered"):
        read_manifest(bundle)


def test_an_altered_member_is_refused_even_in_a_faultless_zip(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.safetensors"] = members["model.safetensors"][::-1]
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BundleError, match=r"model\.safetensors was altered"):
        read_bundle(bundle)
    assert read_manifest(bundle).method == "rd"


def test_an_unknown_or_missing_field_is_refused(bundle: Path) -> None:
    _rewrite(bundle, lambda content: content | {"run": "import os"})
    with pytest.raises(BundleError, match="field run"):
        read_bundle(bundle)
    _rewrite(
        bundle, lambda content: {k: v for k, v in content.items() if k not in ("run", "method")}
    )
    with pytest.raises(BundleError, match="field method"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", "a\\b", "model.safetensors\n"])
def test_members_with_hostile_names_touch_nothing(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = inside / "m.blemish"
    write_bundle(path, manifest(), {name: b"hostile"})
    read = read_bundle(path)  # what the manifest lists is content under a name, nothing more
    assert list(read.files.values()) == [b"hostile"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "m.blemish"]


@pytest.mark.parametrize("name", ["extra.bin", "manifest.json", "model.safetensors"])
def test_members_added_later_are_refused(name: str, bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        content = archive.read(name) if name in archive.namelist() else b"more"
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a") as archive:
        warnings.simplefilter("ignore")  # about the duplicate name
        archive.writestr(zipfile.ZipInfo(name), content)
    with pytest.raises(BundleError, match=f"{name} was added"):
        read_bundle(bundle)


def test_a_zip_bomb_is_not_unpacked(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.safetensors"] = bytes(50_000_000)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_STORED if "json" in name else None)
    assert bundle.stat().st_size < 100_000
    with pytest.raises(BundleError, match="not stored as blemish stores it"):
        read_bundle(bundle)


def test_an_existing_file_is_replaced_whole_or_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bundle.read_bytes()
    write = zipfile.ZipFile.writestr

    def full_disk(self: zipfile.ZipFile, info: Any, data: Any) -> None:
        if info.filename != "manifest.json":
            raise OSError(28, "No space left on device")
        write(self, info, data)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", full_disk)
        with pytest.raises(OSError, match="No space"):
            write_bundle(bundle, manifest(method="hfr"), FILES)
    assert bundle.read_bytes() == before
    assert [p.name for p in bundle.parent.iterdir()] == [bundle.name]
    write_bundle(bundle, manifest(method="hfr"), FILES)
    assert read_manifest(bundle).method == "hfr"


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        write_bundle(tmp_path / "no" / "m.blemish", manifest(), FILES)
