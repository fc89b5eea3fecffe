"""Model files that earlier versions wrote, with 0, −1 and "auto" where a setting is none today."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from blemish import Detector
from blemish.errors import ConfigError
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings, saved_settings
from blemish.model_file.bundle import read_bundle, write_bundle


@pytest.mark.parametrize(
    ("name", "earlier", "today"),
    [
        ("rd", {"width": 0.0, "bottleneck": 0}, {"width": None, "bottleneck": None}),
        ("borad", {"divisors": [0]}, {"divisors": None}),
        ("borad", {"divisors": [2, 4, 2]}, {"divisors": (2, 4, 2)}),
        ("hfr", {"score": "auto"}, {"score": None}),
        ("anomem", {"encoder": "auto", "top_share": 0.0}, {"encoder": None, "top_share": None}),
        ("anomem", {"stem_stride": 0, "variance_weight": 0.0}, {"variance_weight": 0.0}),
        ("radar", {"timestep": -1, "patch": 0, "smooth": 0.0}, {"timestep": None, "smooth": None}),
        ("radar", {"preset": "full"}, {"network": "full"}),
        ("logicrd", {"semantics": False, "compensation": False}, {"semantics": False}),
    ],
)
def test_what_earlier_versions_wrote_is_read(
    name: str, earlier: dict[str, object], today: dict[str, object]
) -> None:
    config_class = method_class(name).config_class
    config = parse_settings(config_class, saved_settings(config_class, earlier))
    assert {key: getattr(config, key) for key in today} == today


def test_a_users_own_settings_are_not_translated() -> None:
    with pytest.raises(ConfigError, match="width=0"):
        Detector("rd", settings={"width": 0})


def test_a_model_of_an_earlier_version_predicts_as_before(
    model_file: Path, good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    bundle = read_bundle(model_file)
    assert bundle.manifest.config["width"] is None
    config = {**bundle.manifest.config, "width": 0.0, "bottleneck": 0, "student_blocks": [0, 0, 0]}
    del config["epochs"]
    path = tmp_path / "earlier.blemish"
    write_bundle(path, bundle.manifest.model_copy(update={"config": config}), bundle.files)
    before = Detector.load(model_file).predict(good_parts)
    for one, other in zip(before, Detector.load(path).predict(good_parts), strict=True):
        assert one.score == other.score
