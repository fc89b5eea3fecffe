"""What pixels say of themselves: depth, pages, odd pictures, masks, and near doubles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish._progress import Important
from blemish.data.describe import describe
from blemish.data.layouts import read_data_set

Pixels = NDArray[np.uint8]
Found = Callable[..., list[str]]


def part(seed: int) -> Pixels:
    """A reddish part with a bright disc, a little different each time."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    inside = (rows - rng.normal(32, 2)) ** 2 + (columns - rng.normal(32, 2)) ** 2 < 400
    grey = np.where(inside, 170, 60) + rng.normal(0, 6) + rng.normal(0, 4, (64, 64))
    return np.stack([grey + 40, grey, grey - 30], axis=2).clip(0, 255).astype(np.uint8)


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """Writes 8 good parts and what is given, by path, and says what describing them finds."""

    def found(given: dict[str, Pixels | Image.Image], **options: int) -> list[str]:
        pictures = {f"train/good/{i}.png": part(i) for i in range(8)} | given
        for name, pixels in pictures.items():
            path = tmp_path / "nut" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
            picture.save(path, **({"quality": 90} if path.suffix == ".jpg" else {}))
        data_set = read_data_set(tmp_path)
        problems = describe(data_set, **options).problems  # type: ignore[arg-type]
        return [text for text in problems if text not in data_set.problems]

    return found


def test_good_parts_of_all_kinds_are_nothing_to_speak_of(found: Found) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:20, :20] = 255
    kinds = np.where(mask > 0, 3, 0).astype(np.uint8)
    assert (
        found(
            {
                **{f"test/good/{i}.png": part(20 + i) for i in range(4)},
                **{f"test/{kind}/0.png": part(30) for kind in ("dent", "hole")},
                "ground_truth/dent/0.png": mask,
                "ground_truth/hole/0.png": kinds,
            }
        )
        == []
    )


def test_twelve_bits_in_sixteen(found: Found) -> None:
    grey = {f"train/good/{i}.png": part(i)[..., 0].astype(np.uint16) for i in range(8)}
    deep = {name: Image.fromarray(values * 16) for name, values in grey.items()}
    deep["train/good/0.png"] = Image.fromarray(np.full((64, 64), 4095, np.uint16))
    (sentence, *_) = found(deep)
    assert sentence == (
        "The largest value in 8 16-bit pictures is 4,095 of 65,535: 12 bits? Give --bit-depth 12; "
        "read with 16 bits they are nearly black."
    )
    assert isinstance(sentence, Important)  # it goes before what is only worth knowing
    assert not any("16-bit" in text for text in found(deep, bit_depth=12))
    assert "is read as white. Give --bit-depth 12" in found(deep, bit_depth=10)[0]


def test_pages_are_counted(found: Found, tmp_path: Path) -> None:
    pages = [Image.fromarray(part(i)) for i in range(3)]
    (tmp_path / "nut/train/good").mkdir(parents=True)
    pages[0].save(tmp_path / "nut/train/good/x.tif", save_all=True, append_images=pages[1:])
    (sentence,) = found({})
    assert sentence.startswith("1 file holds several pages or frames, of which only the first is")
    assert "x.tif (3)" in sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: 255 - p, "1 picture is the negative of the others: odd.png"),
        (lambda p: p[..., ::-1], "with red and blue exchanged: odd.png. Save as RGB"),
        (lambda p: p * 0, "far brighter or darker than the others: odd.png"),
        (lambda p: p[:, :32], "of another size or shape than the others: odd.png"),
        (lambda p: p[::4, ::4], "of another size or shape than the others: odd.png"),
    ],
)
def test_one_picture_unlike_the_others(
    change: Callable[[Pixels], Pixels], words: str, found: Found
) -> None:
    (sentence,) = found({"train/good/odd.png": change(part(9))})
    assert sentence.startswith("nut: 1 picture is ")
    assert words in sentence


def test_masks_that_are_inverted_or_smoothed(found: Found) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 10:30] = 255
    smooth = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(2))
    kinds = {f"test/{kind}/0.png": part(40 + i) for i, kind in enumerate(("dent", "hole", "cut"))}
    masks = {"dent": mask, "hole": 255 - mask, "cut": smooth}
    inverted, bordered = found(kinds | {f"ground_truth/{k}/0.png": m for k, m in masks.items()})
    assert "1 of 3 masks mark more than half of the picture: 0.png. Are they inverted?" in inverted
    assert "1 of 3 masks have grey borders: 0.png. Every pixel above 0 counts" in bordered


def test_a_test_picture_that_is_a_training_picture_compressed(found: Found) -> None:
    (sentence,) = found({"test/good/a.jpg": part(3), "test/good/b.png": part(60)})
    assert "1 test picture is nearly equal to one in train" in sentence
    assert "good/3.png ≈ good/a.jpg" in sentence
    (sentence,) = found({"test/good/a.jpg": part(50), "test/good/c.bmp": part(4)})
    assert "good/4.png ≈ good/c.bmp" in sentence  # without loss: other bytes, the same pixels
