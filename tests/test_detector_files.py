"""Model files that a detector cannot open, and what it says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blemish import Detector
from blemish.errors import BundleError, ConfigError
from blemish.model_file.bundle import Manifest, read_bundle, write_bundle


def _resealed(model_file: Path, path: Path, **changes: Any) -> Path:
    """The model file with other fields, rightly sealed: what another version might write."""
    bundle = read_bundle(model_file)
    write_bundle(path, bundle.manifest.model_copy(update=changes), bundle.files)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "future"}, "Unknown method"),
        ({"config": {"depth": 3}}, "Unknown setting.*train the model again"),
        ({"config": {"steps": "many"}}, "steps"),
        ({"config": {"width": 2.0}}, "do not fit"),
        ({"preprocessing": {"height": 64}}, "not complete"),
        ({"preprocessing": {"height": 64, "width": 64, "fill": [0], "bit_depth": 16}}, "not one"),
        (
            {"preprocessing": {"height": 32e9, "width": 64, "fill": [0, 0, 0], "bit_depth": 16}},
            "not one",
        ),
        (
            {"preprocessing": {"height": 3200000, "width": 64, "fill": [0] * 3, "bit_depth": 16}},
            "multiples of 32",
        ),
        (
            {"preprocessing": {"height": 64, "width": 64, "fill": [0] * 3, "bit_depth": 99}},
            "bit_depth",
        ),
        ({"calibration": {"false_alarm_rate": 0.1}}, "calibration"),
    ],
)
def test_a_file_this_version_cannot_use_says_so(
    changes: dict[str, Any], said: str, model_file: Path, tmp_path: Path
) -> None:
    path = _resealed(model_file, tmp_path / "m.blemish", **changes)
    with pytest.raises(BundleError, match=said) as caught:
        Detector.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_none_are_refused(model_file: Path, tmp_path: Path) -> None:
    manifest: Manifest = read_bundle(model_file).manifest
    path = tmp_path / "m.blemish"
    for files in ({}, {"model.safetensors": b"junk"}, {"model.safetensors": b""}, {"x": b""}):
        write_bundle(path, manifest, files)
        with pytest.raises(BundleError, match="weights"):
            Detector.load(path)


def test_an_unknown_device_is_refused(model_file: Path) -> None:
    with pytest.raises(ConfigError, match="device 'gpu'"):
        Detector.load(model_file, device="gpu")
    assert Detector.load(model_file, device="auto").method is not None
