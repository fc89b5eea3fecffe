from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blemish.data.layouts import read_data_set, read_defects_config
from blemish.errors import DataError
from blemish.metrics import SaturationRule

WriteImage = Callable[..., Path]
ENTRIES = [
    {
        "defect_name": "missing_nut",
        "pixel_value": 255,
        "saturation_threshold": 1,
        "relative_saturation": True,
    },
    {
        "defect_name": "two_labels",
        "pixel_value": 254,
        "saturation_threshold": 5000,
        "relative_saturation": False,
    },
]


@pytest.fixture
def category(tmp_path: Path, write_image: WriteImage) -> Path:
    root = tmp_path / "loco" / "breakfast_box"
    size = (8, 16)
    for split in ("train/good", "validation/good", "test/good"):
        write_image(root / split / "000.png", size=size)
    for kind in ("logical_anomalies", "structural_anomalies"):
        for stem in ("000", "001"):
            write_image(root / "test" / kind / f"{stem}.png", size=size)
            write_image(root / "ground_truth" / kind / stem / "000.png", 255, size=size)
    write_image(root / "ground_truth" / "logical_anomalies" / "001" / "001.png", 254, size=size)
    (root / "defects_config.json").write_text(json.dumps(ENTRIES), encoding="utf-8")
    return root


@pytest.mark.parametrize("deeper", [True, False])
def test_tree(category: Path, deeper: bool) -> None:
    data_set = read_data_set(category if deeper else category.parent)
    assert (data_set.layout, data_set.products) == ("mvtec_loco", ("breakfast_box",))
    assert data_set.problems == ()
    assert [len(data_set.split(s).samples) for s in ("train", "validation", "test")] == [1, 1, 5]
    masks = {
        (s.defect_kind, s.path.stem): [p.relative_to(category).as_posix() for p in s.mask_paths]
        for s in data_set.samples
        if s.label
    }
    assert masks["logical_anomalies", "001"] == [
        "ground_truth/logical_anomalies/001/000.png",
        "ground_truth/logical_anomalies/001/001.png",
    ]
    assert masks["structural_anomalies", "000"] == ["ground_truth/structural_anomalies/000/000.png"]


def test_defects_config(category: Path) -> None:
    expected = {
        255: SaturationRule("missing_nut", 255, 1.0, True),
        254: SaturationRule("two_labels", 254, 5000.0, False),
    }
    assert read_defects_config(category) == expected
    assert read_defects_config(category / "defects_config.json") == expected


def _changed(**changes: Any) -> list[dict[str, Any]]:
    return [{**ENTRIES[0], **changes}]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        "[3]",
        "[" * 100_000,
        json.dumps(_changed(pixel_value=0)),
        json.dumps(_changed(pixel_value=256)),
        json.dumps(_changed(pixel_value=True)),
        json.dumps(_changed(pixel_value="255")),
        json.dumps(_changed(saturation_threshold=0)),
        json.dumps(_changed(saturation_threshold=1.5)),
        json.dumps(_changed(saturation_threshold=float("nan"))),
        json.dumps(_changed(relative_saturation=1)),
        json.dumps(_changed(defect_name=None)),
        json.dumps(ENTRIES + _changed(defect_name="again")),
    ],
)
def test_bad_defects_config(category: Path, content: str) -> None:
    path = category / "defects_config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_defects_config(path)
    assert str(path) in str(caught.value)
    data_set = read_data_set(category)  # the images are still good
    assert len(data_set.samples) == 7
    assert len(data_set.problems) == 1


def test_missing_defects_config_and_masks(category: Path) -> None:
    (category / "defects_config.json").unlink()
    for path in (category / "ground_truth" / "logical_anomalies" / "000").iterdir():
        path.unlink()
    data_set = read_data_set(category)
    assert data_set.layout == "mvtec_loco"
    text = "\n".join(data_set.problems)
    assert "AU-sPRO needs" in text
    assert "1 of 2 test images of kind 'logical_anomalies' have no mask" in text
    with pytest.raises(DataError, match="There is no"):
        read_defects_config(category)
