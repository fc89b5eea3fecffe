"""Equal and near-equal pictures: what counts as one part, and what does not."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish._progress import Progress
from blemish.data.equal_pictures import alike_together
from blemish.data.layouts import read_data_set
from blemish.data.sample import Sample
from blemish.demo_line import write_demo_line

QUIET = Progress(quiet=True)
REAL = Path(__file__).parents[3] / "shared"


def parts(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Pictures of one kind that differ as parts do: on a common ground, in tone and texture."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 190, (8, 8)).repeat(16, 0).repeat(16, 1)
    found = []
    for _ in range(count):
        own = rng.normal(0, 8, (16, 16)).repeat(8, 0).repeat(8, 1) + rng.normal(0, 5)
        grey = np.clip(ground + own + rng.normal(0, 2, (128, 128)), 0, 255).astype(np.uint8)
        found.append(np.dstack([grey] * 3))
    return found


def as_samples(
    folder: Path, pictures: list[NDArray[np.uint8]], product: str = "nut"
) -> list[Sample]:
    samples = []
    for k, picture in enumerate(pictures):
        path = folder / product / f"{k:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        samples.append(Sample(path, product, "train", 0))
    return samples


def taken_again(picture: NDArray[np.uint8], how: str) -> NDArray[np.uint8]:
    if how == "noise":
        noise = np.random.default_rng(1).normal(0, 3, picture.shape)
        return np.clip(picture + noise, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=80)
    return np.asarray(Image.open(encoded))


def test_equal_files_are_one_group_and_are_counted(tmp_path: Path) -> None:
    pictures = parts(5)
    samples = as_samples(tmp_path, [*pictures, pictures[1], pictures[1], pictures[4]])
    found, said = alike_together(samples, progress=QUIET)
    groups = [s.group for s in found]
    assert groups == [None, "001.png", None, None, "004.png", "001.png", "001.png", "004.png"]
    assert said == [
        "nut: 3 good images are others byte for byte (005.png = 001.png, …); each counts once, and "
        "such pictures stay together."
    ]


@pytest.mark.parametrize("how", ["noise", "jpeg"])
def test_a_part_taken_again_is_found_and_no_other(tmp_path: Path, how: str) -> None:
    pictures = parts(24)
    samples = as_samples(tmp_path, [*pictures, taken_again(pictures[7], how)])
    found, said = alike_together(samples, progress=QUIET)
    assert {k: s.group for k, s in enumerate(found) if s.group} == {7: "007.png", 24: "007.png"}
    assert said[0].startswith(
        "nut: 2 good images show the same as another one, only taken twice (024.png ~ 007.png);"
    )
    assert alike_together(samples, near=False, progress=QUIET) == (samples, [])
    # Three of every part: nearest neighbours are no longer what is usual.
    again = [[taken_again(own, way) for way in ("noise", "jpeg")] for own in pictures]
    thrice = [p for own, more in zip(pictures, again, strict=True) for p in (own, *more)]
    found, _ = alike_together(as_samples(tmp_path, thrice, "cap"), progress=QUIET)
    assert [s.group for s in found] == [f"{3 * (k // 3):03}.png" for k in range(72)]


def test_products_are_never_merged_and_groups_are_joined_whole(tmp_path: Path) -> None:
    pictures = parts(6)
    nuts = as_samples(tmp_path, pictures)
    caps = as_samples(tmp_path, pictures, "cap")
    assert alike_together([*nuts, *caps], progress=QUIET) == ([*nuts, *caps], [])
    lots = as_samples(tmp_path, [*pictures, pictures[0]], "bolt")
    lots = [replace(s, group=f"lot{k // 2}") for k, s in enumerate(lots)]
    found, _ = alike_together(lots, progress=QUIET)
    assert [s.group for s in found] == ["lot0", "lot0", "lot1", "lot1", "lot2", "lot2", "lot0"]


def test_a_file_that_cannot_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    samples = as_samples(tmp_path, parts(3))
    samples[1].path.write_bytes(b"no picture")
    gone = Sample(tmp_path / "gone.png", "nut", "train", 0)
    assert alike_together([*samples, gone], progress=QUIET) == ([*samples, gone], [])


def test_pictures_that_are_all_one_grey_are_equal_and_nothing_is_near() -> None:
    grey = [np.full((32, 32, 3), 90 + (k == 3), np.uint8) for k in range(14)]
    samples = [Sample(Path(f"#{k}"), "nut", "train", 0, image=g) for k, g in enumerate(grey)]
    found, said = alike_together(samples, progress=QUIET)
    assert len(said) == 1
    assert [s.group is None for s in found] == [k == 3 for k in range(14)]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared with the real products")
def test_real_parts_are_told_apart() -> None:
    """Of four products none; of commutators those that were photographed twice."""
    for root in ("data/mvtec", "data/lookout"):
        good = [s for s in read_data_set(REAL / root).samples if s.is_good]
        assert alike_together(good, progress=QUIET) == (good, [])
    good = [s for s in read_data_set(REAL / "full" / "commutator").samples if s.is_good]
    found, said = alike_together(good, progress=QUIET)
    assert said[0].startswith("commutator: 15 good images are others byte for byte")
    assert said[1].startswith("commutator: 12 good images show the same")
    items = {s.path.name[:5] for s in found if s.group}
    assert items == {f"kos{item}" for item in ("01", "26", "21", "27", "34", "38", "39")}


@pytest.mark.slow
def test_parts_of_the_synthetic_line_are_told_apart(tmp_path: Path) -> None:
    line = write_demo_line(
        tmp_path / "line", size=128, train=24, validation=0, test_good=0, defects_per_kind=0
    )
    good = list(read_data_set(line).samples)
    assert alike_together(good, progress=QUIET) == (good, [])
