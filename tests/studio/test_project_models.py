"""Models of a project: in which order they are listed."""

from __future__ import annotations

import os
from pathlib import Path

from blemish.studio.models import ProjectModels


def test_of_models_of_the_same_second_the_newest_comes_first(tmp_path: Path) -> None:
    for age, name in enumerate(("b", "c", "a")):
        path = tmp_path / "models" / f"{name}.blemish"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no model says when it was made")
        os.utime(path, ns=(0, 10**18 - age))
    assert [model["name"] for model in ProjectModels(tmp_path).all()] == ["b", "c", "a"]
