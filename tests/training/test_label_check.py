"""Mislabelled pictures among the good ones: named although they hide each other, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_teachers import small_teacher

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.left_out import without_images
from blemish.data.sample import DataSet, Sample
from blemish.methods.base import Batch
from blemish.training.label_check import FEWEST, Suspect, mislabelled, suspects_note

SIZE = (64, 64)


def pictures(count: int, seed: int = 0, *, spots: Sequence[int] = ()) -> NDArray[np.uint8]:
    """Grey noise ``(N, H, W, 3)``; those at ``spots`` have the same bright spot."""
    rng = np.random.default_rng(seed)
    found = rng.integers(90, 110, (count, *SIZE, 3)).astype(np.uint8)
    for at in spots:
        found[at, 20:40, 24:44] = 240
    return found


def samples(images: NDArray[np.uint8], product: str = "nut") -> list[Sample]:
    return [
        Sample(Path(f"{product}/train/good/{i:03d}.png"), product, "train", 0, image=image)
        for i, image in enumerate(images)
    ]


def named(chosen: Sequence[Sample], **given: object) -> list[str]:
    teacher = small_teacher("tiny-three")

    def batches(rows: Sequence[int]) -> Iterable[Batch]:
        for start in range(0, len(rows), 16):
            own = [chosen[row] for row in rows[start : start + 16]]
            pixels = np.stack([s.image for s in own if s.image is not None])
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            yield Batch(images=images, products=tuple(s.product for s in own))

    found = mislabelled(teacher, SIZE, chosen, batches, **given)  # type: ignore[arg-type]
    return sorted(str(suspect.sample.path) for suspect in found)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_three_alike_among_sixty_are_named_and_a_clean_folder_is_not() -> None:
    chosen = samples(pictures(60, spots=(7, 8, 33)))
    assert named(chosen) == [f"nut/train/good/{i:03d}.png" for i in (7, 8, 33)]
    assert named(samples(pictures(60))) == []


def test_out_of_fold_scores_of_the_method_are_the_first_look() -> None:
    chosen = samples(pictures(60, spots=(7,)))
    calm = np.linspace(0, 1, 60)
    assert named(chosen, first=calm) == []  # nothing to look at twice
    loud = calm.copy()
    loud[7] = 20.0
    assert named(chosen, first=loud) == ["nut/train/good/007.png"]
    loud[3] = 30.0  # and the second look decides
    assert named(chosen, first=loud) == ["nut/train/good/007.png"]
    loud[7] = np.nan
    assert named(chosen, first=loud) == []


def test_products_are_compared_with_their_own_kind() -> None:
    dark = samples(pictures(30, 1) // 4, "bolt")
    chosen = [*samples(pictures(30, spots=(5,))), *dark]
    assert named(chosen) == ["nut/train/good/005.png"]
    assert named(chosen[: FEWEST - 1]) == []  # too few to know


def test_views_of_one_part_are_left_out_together() -> None:
    views = [
        Sample(s.path, s.product, "train", 0, image=s.image, part=f"part{i // 2}")
        for i, s in enumerate(samples(pictures(60, spots=(10, 11))))
    ]
    assert named(views) == ["nut/train/good/010.png", "nut/train/good/011.png"]


@pytest.mark.parametrize("method", ["trio", "rd"])
def test_fit_names_them_and_fit_without_them_is_calm(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pictures(48, spots=(3, 4, 30))
    data_set = DataSet("array", Path("nut"), tuple(samples(images)))
    settings = {"steps": 2, "batch_size": 4} if method == "rd" else {}

    def notes(data: DataSet, *, check_labels: bool = True) -> list[str]:
        detector = Detector(
            method, teacher=small_teacher("tiny-three"), image_size=64, settings=settings
        )
        options = TrainingOptions(seed=1, device="cpu", check_labels=check_labels)
        detector.fit(data, training=options, progress=Progress(quiet=False))
        return [note for note in detector.fit_report.notes if note.startswith("Worth a look")]

    (note,) = notes(data_set)
    said = capsys.readouterr().err
    # A training says so before it begins.
    assert ("Worth a look" in said) == (method == "rd")
    found = [word for word in note.rpartition("fit … ")[2].strip("`").split() if "png" in word]
    assert sorted(found) == ["003.png", "004.png", "030.png"]  # set aside or not
    assert notes(without_images(data_set, found)) == []
    # Asked not to, a training does not look; what measures each by the others has looked anyway.
    assert len(notes(data_set, check_labels=False)) == (method == "trio")


def test_the_note_names_ten_and_counts_the_rest() -> None:
    chosen = samples(pictures(20))
    (note,) = suspects_note([Suspect(sample, 20.0) for sample in chosen[:12]], chosen)
    assert note.startswith("Worth a look: 000.png, 001.png,")
    assert "009.png and 2 more stand far apart" in note
    (one,) = suspects_note([Suspect(chosen[4], 20.0)], chosen)
    assert one.endswith("Without it: `blemish fit … --leave-out 004.png`")
    assert suspects_note([], chosen) == []


def test_pictures_that_are_all_the_same_are_no_suspects() -> None:
    assert named(samples(np.repeat(pictures(1), 24, axis=0))) == []
    almost = np.repeat(pictures(1), 24, axis=0)
    almost[3, 20:40, 24:44] = 240
    assert named(samples(almost)) == ["nut/train/good/003.png"]
