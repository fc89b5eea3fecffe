from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blemish.data.layouts import read_data_set
from blemish.data.sample import hold_out
from blemish.data.sources import good_training_samples
from blemish.errors import DataError
from blemish.training.batches import TrainingBatches

WriteImage = Callable[..., Path]


def _write_list(root: Path, product: str, train: Any, test: Any, **meta: Any) -> Path:
    path = root / "realiad_jsons" / "realiad_jsons" / f"{product}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "meta": {"normal_class": "OK", "prefix": f"{product}/", **meta},
        "train": train,
        "test": test,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _entry(image: str, kind: str = "OK", mask: str | None = None) -> dict[str, Any]:
    return {"category": "x", "anomaly_class": kind, "image_path": image, "mask_path": mask}


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    for product in ("usb", "audiojack"):
        folder = tmp_path / "realiad_1024" / product
        train, test = [], []
        for view in range(1, 6):
            good = f"OK/S0001/{product}_0001_OK_C{view}_1.jpg"
            write_image(folder / good)
            train.append(_entry(good))
            image = f"NG/QS/S0001/{product}_0001_NG_QS_C{view}_1.jpg"
            write_image(folder / image)
            if view < 3:  # the defect is seen in two of five views
                mask = image.replace(".jpg", ".png")
                write_image(folder / mask, 255)
                test.append(_entry(image, "QS", mask))
            else:
                test.append(_entry(image))
        _write_list(tmp_path, product, train, test)
    return tmp_path


def test_views_and_parts(root: Path) -> None:
    data_set = read_data_set(root)
    assert (data_set.layout, data_set.products) == ("real_iad", ("audiojack", "usb"))
    assert data_set.problems == ()
    assert len(data_set.samples) == 20
    test = data_set.of_products(["usb"]).split("test").samples
    assert [s.label for s in test] == [1, 1, 0, 0, 0]
    assert [s.defect_kind for s in test] == ["QS", "QS", None, None, None]
    assert [len(s.mask_paths) for s in test] == [1, 1, 0, 0, 0]
    assert {s.part for s in test} == {"usb/NG/QS/S0001"}
    assert len({s.part for s in data_set.samples}) == 4  # S0001 means four different parts


def test_other_resolutions_and_flat_lists(root: Path) -> None:
    (root / "realiad_1024").rename(root / "realiad_256")
    for path in (root / "realiad_jsons" / "realiad_jsons").iterdir():
        path.rename(root / "realiad_jsons" / path.name)
    (root / "realiad_jsons" / "realiad_jsons").rmdir()
    assert len(read_data_set(root).samples) == 20


def test_missing_images_and_masks(root: Path) -> None:
    folder = root / "realiad_1024" / "usb" / "NG" / "QS" / "S0001"
    (folder / "usb_0001_NG_QS_C1_1.png").unlink()
    (folder / "usb_0001_NG_QS_C5_1.jpg").unlink()
    data_set = read_data_set(root)
    assert len(data_set.samples) == 19
    assert "usb: 1 images named in usb.json are not below" in data_set.problems[0]
    assert "usb: 1 defective images have no mask" in data_set.problems[1]


def test_without_images(root: Path) -> None:
    (root / "realiad_1024").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"There is no folder .*realiad_1024"):
        read_data_set(root)


HOSTILE = [
    ([_entry("../../../etc/passwd")], {}),
    ([_entry("/etc/passwd")], {}),
    ([_entry("OK/S0001/../../../../secret.jpg")], {}),
    ([_entry("..\\..\\secret.jpg")], {}),
    ([], {"prefix": "../../"}),
    ([], {"prefix": "/etc/"}),
    ([], {"prefix": 7}),
    ([{"image_path": 3, "anomaly_class": "OK"}], {}),
    (["OK/S0001/a.jpg"], {}),
    ("not a list", {}),
]


@pytest.mark.parametrize(("train", "meta"), HOSTILE)
def test_a_bad_list_costs_its_category_only(root: Path, train: Any, meta: Any) -> None:
    path = _write_list(root, "usb", train, [], **meta)
    data_set = read_data_set(root)
    assert data_set.products == ("audiojack",)
    assert len(data_set.problems) == 1
    assert data_set.problems[0].startswith("usb: left out")
    assert str(path) in data_set.problems[0]


def test_a_mask_outside_the_root_is_refused(root: Path, write_image: WriteImage) -> None:
    write_image(root.parent / "outside.png", 255)
    image = "NG/QS/S0001/usb_0001_NG_QS_C1_1.jpg"
    _write_list(root, "usb", [], [_entry(image, "QS", "../../../outside.png")])
    data_set = read_data_set(root)
    assert data_set.products == ("audiojack",)
    assert "stays inside" in data_set.problems[0]


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, "\udcff"])
def test_no_usable_list_at_all(root: Path, content: str) -> None:
    for path in (root / "realiad_jsons" / "realiad_jsons").iterdir():
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"no usable images.*audiojack: left out"):
        read_data_set(root)


def test_noisy_training_lists_keep_their_labels(root: Path) -> None:
    image = "NG/QS/S0001/usb_0001_NG_QS_C1_1.jpg"
    _write_list(root, "usb", [_entry(image, "QS", image.replace(".jpg", ".png"))], [])
    data_set = read_data_set(root)
    assert [s.label for s in data_set.of_products(["usb"]).split("train").samples] == [1]
    assert any("1 training images are defective (kind 'QS')" in p for p in data_set.problems)


def test_no_part_is_seen_by_training_and_by_calibration(
    tmp_path: Path, write_image: WriteImage
) -> None:
    for product in ("usb", "audiojack"):
        names = [
            f"OK/S{part:04d}/{product}_{part:04d}_OK_C{view}_1.jpg"
            for part in range(1, 13)
            for view in range(1, 6)
        ]
        for name in names:
            write_image(tmp_path / "realiad_1024" / product / name)
        _write_list(tmp_path, product, [_entry(name) for name in names], [])
    good, _ = good_training_samples(read_data_set(tmp_path), [])
    for seed in range(3):
        for kept, held in (
            hold_out(good, 0.25, seed),
            [[good[row] for row in rows] for rows in TrainingBatches(good).set_aside(0.25, seed)],
        ):
            assert not {s.part for s in kept} & {s.part for s in held}
            assert len(held) == 30
            assert len({s.part for s in held}) == 6
