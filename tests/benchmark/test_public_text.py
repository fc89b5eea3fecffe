"""Texts that will be published."""

from __future__ import annotations

from pathlib import Path

import pytest

from blemish.benchmark.rows import without_paths


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("Cannot read /mnt/set/a/1.png.", "Cannot read nuts/a/1.png."),
        ("in /mnt/set: no images", "in nuts: no images"),
        ("/mnt/set2/a.png", "a.png"),
        ("found '/opt/x/y/lib.so' (expected /opt/z/q)", "found 'lib.so' (expected q)"),
        ("~/models/w.pth is missing", "w.pth is missing"),
        (r"C:\Users\me\w.pth is missing", "w.pth is missing"),
        ("good/ or ok/, 3/4 of 1e-3 and a/b/c.png", "good/ or ok/, 3/4 of 1e-3 and a/b/c.png"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
    ],
)
def test_folders_of_the_machine_are_left_out(text: str, public: str) -> None:
    assert without_paths(text, root=Path("/mnt/set"), name="nuts") == public


def test_an_ordinary_word_is_no_root() -> None:
    assert without_paths("No data in data.", root=Path("data"), name="nuts") == "No data in data."
