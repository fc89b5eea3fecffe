from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from blemish.data.layouts import read_data_set


def test_tree_with_mixed_suffixes(write_image: Callable[..., Path], tmp_path: Path) -> None:
    for product, suffix in (("01", ".bmp"), ("02", ".png"), ("03", ".bmp")):
        for folder in ("train/ok", "test/ok", "test/ko"):
            for i in range(2):
                write_image(tmp_path / product / folder / f"{i:04}{suffix}")
        for i in range(2):
            mask = "bmp" if product == "03" else "png"
            write_image(tmp_path / product / "ground_truth" / "ko" / f"{i:04}.{mask}", 255)
    data_set = read_data_set(tmp_path)
    assert (data_set.layout, data_set.products) == ("btad", ("01", "02", "03"))
    assert data_set.problems == ()
    assert len(data_set.samples) == 18
    assert all(s.is_good for s in data_set.split("train").samples)
    defects = data_set.where(lambda s: s.label == 1).samples
    assert [(s.defect_kind, s.mask_paths[0].stem) for s in defects] == [
        ("ko", "0000"),
        ("ko", "0001"),
    ] * 3
    assert read_data_set(tmp_path / "03").products == ("03",)
