"""Folder names and what they say, by one rule."""

from __future__ import annotations

import pytest

from blemish.data.layouts.roles import FolderRole, folder_role


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (
            "good",
            "good OK normal pass io i.O. normal_dir good_images OK_parts goodParts NORMAL-IMAGES "
            "ok_01 defect_free no_defects no_anomalies non-defective without_faults",
        ),
        (
            "defects",
            "bad NG nok n.i.O. niO defect Defective abnormal anomaly reject NG_images abnormal_dir "
            "not_ok no_good notGood bad2",
        ),
        ("masks", "mask masks mask_dir gt GT ground_truth groundTruth label labels Annotations"),
        ("split", "train Training val test test_public test_private_mixed"),
        ("wrapper", "images Data imgs"),
        ("kind", "crack broken_large faulty_imprint missing_label logical_anomalies 01 extra"),
        ("unclear", "good_camera positive neg ok_line_left"),
        ("unlabelled", "unlabelled unsorted"),
    ],
)
def test_names_and_what_they_say(what: str, names: str) -> None:
    assert {name: folder_role(name).what for name in names.split()} == dict.fromkeys(
        names.split(), what
    )


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("normal_test", FolderRole("good", "test")),
        ("good_test", FolderRole("good", "test")),
        ("train good", FolderRole("good", "train")),
        ("good parts", FolderRole("good")),
        ("abnormal_test", FolderRole("defects", "test")),
        ("val_ok", FolderRole("good", "validation")),
        ("test_masks", FolderRole("masks", "test")),
    ],
)
def test_a_name_says_a_split_as_well(name: str, role: FolderRole) -> None:
    assert folder_role(name) == role


def test_masks_of_one_kind_are_told_by_the_folder_beside() -> None:
    for name in ("crack_mask", "mask_crack", "crack-gt", "Crack_labels"):
        assert folder_role(name, ["good", "crack"]).of == "crack"
    # Without that folder, a word that people use for other things as well says nothing.
    assert folder_role("crack_label", ["good"]).what == "kind"
    assert folder_role("crack_mask", ["good"]).what == "masks"
