"""Which pictures train and which calibrate: groups never on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish._progress import Progress
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError
from blemish.training.sides import Sides, sides


def pictures(items: range, views: int = 4, *, split: Any = "train") -> list[Sample]:
    names = [f"kos{item:02}_Part{view}.jpg" for item in items for view in range(views)]
    return [Sample(Path(f"ring/{split}/good/{n}"), "ring", split, 0) for n in names]


def split(good: list[Sample], validation: list[Sample] = (), **options: Any) -> Sides:  # type: ignore[assignment]
    defects = options.pop("defects", [])
    options = {"group": "auto", "share": None, "cross_fits": False, "seed": 0, **options}
    return sides(good, validation, defects, progress=Progress(quiet=True), **options)


def groups(samples: list[Sample]) -> set[str | None]:
    return {s.group for s in samples}


def test_a_group_trains_or_calibrates() -> None:
    found = split(pictures(range(10)))
    assert len(found.held) == 8
    assert not groups(found.kept) & groups(found.held)
    assert found.groups["ring"]["by"] == "^(kos[0-9]+)(?![0-9])"
    assert set(found.groups["ring"]["names"]) == groups(found.kept)
    assert found.notes[0].startswith("ring: grouped by kosNN: 10 groups of 40 images")
    alone = split(pictures(range(10)), group="none")
    assert groups(alone.kept) == {""}
    assert {s.path.name[:5] for s in alone.kept} & {s.path.name[:5] for s in alone.held}
    assert alone.groups == {}


def test_validation_images_of_groups_that_train_do_not_calibrate() -> None:
    late = pictures(range(8, 14), 2, split="validation")
    found = split(pictures(range(10)), late, cross_fits=True)
    items = [s.path.name[3:5] for s in found.held]
    assert items == ["10", "10", "11", "11", "12", "12", "13", "13"]
    assert any("4 of 12 good validation images are of groups that train" in n for n in found.notes)
    # Where none is left, calibration goes as if there had been none.
    assert len(split(pictures(range(10)), pictures(range(10), 1, split="validation")).held) == 8


def test_the_group_of_a_labelled_defect_trains() -> None:
    for seed in range(5):
        bad = [replace(s, label=1) for s in pictures(range(3), 1, split="test")]
        found = split(pictures(range(10)), defects=bad, seed=seed, share=0.5)
        assert not {"kos00", "kos01", "kos02"} & groups(found.held)


def test_one_group_of_all_calibrates_nothing_and_says_so() -> None:
    found = split(pictures(range(10)), group="kos")
    assert found.held == []
    assert "ring: all 40 good images are of one group" in found.notes[-1]


def test_what_is_known_is_not_guessed_again() -> None:
    """Of seven items and one picture each of 40 the held-out ones alone could look like groups."""
    found = split([*pictures(range(40), 1), *pictures(range(40, 43), 2)])
    assert groups([*found.kept, *found.held]) == {""}


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="A share of 2"):
        split(pictures(range(4)), pictures(range(5, 9), split="validation"), share=2)


def test_the_names_of_what_is_alike_are_not_taken_for_groups_that_trained(tmp_path: Path) -> None:
    """Equal pictures are one group, named after a file, and files elsewhere have the same names."""
    pixels = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), np.uint8)
    for k in range(7):
        Image.fromarray(pixels[k % 6]).save(tmp_path / f"{k:03}.png")
    good = [Sample(path, "nut", "train", 0) for path in sorted(tmp_path.iterdir())]
    found = split(good, cross_fits=True)
    assert [s.group for s in found.kept] == ["000.png", "", "", "", "", "", "000.png"]
    assert found.groups == {}
    assert found.notes == [
        "nut: 1 good image is another one byte for byte (006.png = 000.png); both count once."
    ]


def test_a_good_image_is_no_defect() -> None:
    with pytest.raises(DataError, match="is among the good images and among the labelled defects"):
        split(pictures(range(4)), defects=pictures(range(1)))
