from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from blemish.data.layouts import read_data_set


def test_public_images_test_and_private_ones_are_unlabelled(
    write_image: Callable[..., Path], tmp_path: Path
) -> None:
    for product in ("can", "vial"):
        for name in (
            "train/good/000_regular.png",
            "train/good/001_regular.png",
            "validation/good/000_regular.png",
            "test_public/good/000_regular.png",
            "test_public/bad/000_regular.png",
            "test_public/ground_truth/bad/000_regular_mask.png",
            "test_private/000_regular.png",
            "test_private_mixed/000_mixed.png",
        ):
            write_image(tmp_path / product / name)
    data_set = read_data_set(tmp_path)
    assert (data_set.layout, data_set.products) == ("mvtec_ad_2", ("can", "vial"))
    assert data_set.problems == ()
    can = tmp_path / "can"
    told = [
        (s.path.relative_to(can).as_posix(), s.split, s.label, s.defect_kind, s.mask_paths)
        for s in data_set.of_products(["can"]).samples
    ]
    mask = can / "test_public/ground_truth/bad/000_regular_mask.png"
    assert told == [
        ("train/good/000_regular.png", "train", 0, None, ()),
        ("train/good/001_regular.png", "train", 0, None, ()),
        ("validation/good/000_regular.png", "validation", 0, None, ()),
        ("test_private/000_regular.png", "test", None, None, ()),
        ("test_private_mixed/000_mixed.png", "test", None, None, ()),
        ("test_public/bad/000_regular.png", "test", 1, "bad", (mask,)),
        ("test_public/good/000_regular.png", "test", 0, None, ()),
    ]
