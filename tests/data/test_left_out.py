"""Good images that are named to be left out of learning."""

from __future__ import annotations

from pathlib import Path

import pytest

from blemish.data.left_out import leave_out_flags, short_names, without_images
from blemish.data.sample import DataSet, Sample
from blemish.errors import DataError

ROOT = Path("/parts")
GOOD = [
    Sample(ROOT / product / "train" / "good" / f"{number}.png", product, "train", 0)
    for product in ("nut", "bolt")
    for number in (1, 2)
]
ONE = Sample(ROOT / "nut" / "train" / "good" / "three.png", "nut", "train", 0)
TEST = Sample(ROOT / "nut" / "test" / "good" / "1.png", "nut", "test", 0)
DATA = DataSet("mvtec_ad", ROOT, (*GOOD, ONE, TEST))


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("three.png", ONE),
        ("bolt/train/good/1.png", GOOD[2]),
        (ROOT / "nut" / "train" / "good" / "2.png", GOOD[1]),
    ],
)
def test_a_name_or_the_end_of_a_path_leaves_one_image_out(name: str | Path, gone: Sample) -> None:
    left = without_images(DATA, [name]).samples
    assert left == tuple(sample for sample in DATA.samples if sample != gone)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1.png", r"2 good images are called 1\.png: nut/train/good/1\.png, bolt/train"),
        ("thre.png", r"thre\.png is not among the 5 good images .* Did you mean 'three\.png'"),
        ("test/good/1.png", "is not among the 5 good images that train or calibrate"),
    ],
)
def test_a_name_of_none_or_of_several_is_refused(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        without_images(DATA, [name])


def test_short_names_find_their_images_again() -> None:
    samples = [*GOOD, ONE]
    names = short_names(samples, samples)
    assert names[2:] == ["bolt/train/good/1.png", "bolt/train/good/2.png", "three.png"]
    for sample, name in zip(samples, names, strict=True):
        assert sample not in without_images(DATA, [name]).samples
    assert leave_out_flags(["3.png", "a b.png"]) == "--leave-out 3.png --leave-out 'a b.png'"


def test_a_name_may_say_its_product() -> None:
    """Two products have a 1.png, and limits know product and name alone."""
    good = tuple(
        Sample(Path(f"/line/{product}/train/good/1.png"), product, "train", 0)
        for product in ("nut", "lid")
    )
    left = without_images(DataSet("mvtec_ad", Path("/line"), good), ["nut/1.png"])
    assert [sample.product for sample in left.samples] == ["lid"]
