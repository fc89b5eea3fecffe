"""One picture in any form: read alike, or refused with a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.given_picture import pixels_of
from blemish.data.images.reading import read_image
from blemish.data.sources import images_to_judge, one_picture
from blemish.errors import BlemishError, ConfigError, DataError, ImageError

Pixels = NDArray[np.uint8]
COLOUR = np.random.default_rng(5).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def encoded(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def written_buffer(pixels: Pixels) -> io.BytesIO:
    """As a program leaves it: the position behind the last byte."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file


FORMS: dict[str, Callable[[Pixels], Any]] = {
    "bytes": encoded,
    "bytearray": lambda pixels: bytearray(encoded(pixels)),
    "memoryview": lambda pixels: memoryview(encoded(pixels)),
    "buffer": written_buffer,
    "pil": Image.fromarray,
    "hwc": lambda pixels: pixels,
    "chw": lambda pixels: pixels.transpose(2, 0, 1),
    "rgba": lambda pixels: np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]),
    "floats": lambda pixels: pixels / 255.0,
    "float32": lambda pixels: (pixels / 255.0).astype(np.float32),
    "tensor chw": lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
    "tensor hwc": torch.from_numpy,
    "tensor floats": lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1) / 255.0,
    "tensor with gradient": lambda pixels: (torch.from_numpy(pixels) / 255.0).requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_picture(form: str) -> None:
    given = FORMS[form](COLOUR)
    assert np.array_equal(pixels_of(given), COLOUR)
    for samples in (
        images_to_judge(FORMS[form](COLOUR) if form != "chw" else [given]),
        [one_picture(FORMS[form](COLOUR))],
    ):
        assert len(samples) == 1, "one picture was given"
        assert np.array_equal(samples[0].image, COLOUR)  # type: ignore[arg-type]


def test_a_file_that_is_open_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(COLOUR))
    with path.open("rb") as file:
        file.read(11)
        assert np.array_equal(pixels_of(file), COLOUR)
    with (
        path.open(errors="replace", encoding="latin-1") as file,
        pytest.raises(DataError, match="mode 'rb'"),
    ):
        pixels_of(file)  # type: ignore[arg-type]


@pytest.mark.parametrize("bytes_", [b"", b"no picture at all", encoded(COLOUR)[:200]])
def test_what_cannot_be_read_is_an_error_and_never_nothing(bytes_: bytes) -> None:
    for given in (bytes_, io.BytesIO(bytes_)):
        with pytest.raises(ImageError, match="the picture given"):
            images_to_judge(given)


def test_pillow_pictures_follow_the_rules_of_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(encoded(COLOUR, "JPEG", exif=exif))
    (tmp_path / "deep.png").write_bytes(encoded(np.full((4, 6), 1023, np.uint16)))
    for name in ("turned.jpg", "deep.png"):
        wanted = read_image(tmp_path / name, bit_depth=10)
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(pixels_of(image, bit_depth=10), wanted)
    assert read_image(tmp_path / "turned.jpg").shape == (60, 40, 3)
    for mode in ("L", "P", "1", "CMYK"):
        image = Image.fromarray(COLOUR).convert(mode)
        assert np.array_equal(pixels_of(image), np.asarray(image.convert("RGB")))


def test_channels_are_put_in_order() -> None:
    bgr = COLOUR[..., ::-1]
    for given in (bgr, bgr.transpose(2, 0, 1), torch.from_numpy(bgr.copy())):
        assert np.array_equal(pixels_of(given, channels="bgr"), COLOUR)
    with_alpha = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)])
    assert np.array_equal(pixels_of(with_alpha, channels="bgr"), COLOUR)
    grey = COLOUR[..., 0]
    for given in (grey, grey[..., None], grey[None], torch.from_numpy(grey.copy())[None]):
        for channels in ("gray", "rgb", "bgr"):
            assert np.array_equal(
                pixels_of(given, channels=channels),
                np.repeat(grey[..., None], 3, 2),  # type: ignore[arg-type]
            )


@pytest.mark.parametrize(
    ("given", "channels", "said"),
    [
        (COLOUR, "grey", "Did you mean 'gray'"),
        (COLOUR, "gray", r"has 3 channels"),
        (encoded(COLOUR), "bgr", "what was given is none"),
        (Image.fromarray(COLOUR), "bgr", "what was given is none"),
        ("a.png", "bgr", "what was given is none"),
        (COLOUR[:3], "rgb", r"\(3, 60, 3\) may have its channels first or last"),
        (COLOUR[None], "rgb", "is a batch"),
        (torch.from_numpy(COLOUR)[None], "rgb", "is a batch"),
        (COLOUR[..., [0, 1]], "rgb", r"\(40, 60, 2\)"),
        (COLOUR.astype(np.int64), "rgb", "int64"),
        (COLOUR.astype(np.float32), "rgb", "Divide by the largest value"),
        ([COLOUR, COLOUR], "rgb", "type list was given as a picture"),
        (7, "rgb", "type int was given as a picture"),
        (None, "rgb", "type NoneType was given as a picture"),
    ],
)
def test_what_is_no_one_picture_is_refused(given: Any, channels: Any, said: str) -> None:
    with pytest.raises(BlemishError, match=said):
        one_picture(given, channels=channels)


def test_a_folder_is_not_one_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        one_picture(tmp_path)
    with pytest.raises(ConfigError, match="none"):
        one_picture(tmp_path / "a.png", channels="bgr")


def test_three_planes_are_never_taken_for_three_grey_pictures() -> None:
    for count in (3, 4):
        planes = np.full((count, 40, 60), 9, np.uint8)
        with pytest.raises(DataError, match="one picture with its channels first or"):
            images_to_judge(planes)
        assert len(images_to_judge([planes])) == 1
        assert len(images_to_judge(torch.from_numpy(planes))) == 1
        assert len(images_to_judge(planes[..., None])) == count
    batches = {(5, 40, 60): 5, (1, 40, 60): 1, (2, 3, 40, 60): 2, (2, 40, 60, 3): 2}
    for shape, count in batches.items():
        for given in (np.zeros(shape, np.uint8) + 9, torch.zeros(shape, dtype=torch.uint8) + 9):
            samples = images_to_judge(given)
            assert len(samples) == count
            assert all(s.image is not None and s.image.shape[2] == 3 for s in samples)


def test_forms_mix_in_a_list_and_come_from_a_generator(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(COLOUR))
    given = [tmp_path / "a.png", encoded(COLOUR), COLOUR, Image.fromarray(COLOUR)]
    names = [sample.path.name for sample in images_to_judge(item for item in given)]
    assert names == ["a.png", "array#1", "array#2", "array#3"]
    with pytest.raises(DataError, match="type int"):
        images_to_judge([COLOUR, 3])  # type: ignore[list-item]
    with pytest.raises(DataError, match="type int"):
        images_to_judge(3)  # type: ignore[arg-type]


def test_half_precision_is_read_too() -> None:
    grey = torch.tensor([[0.0, 1.0], [0.5, 0.25]])
    for dtype in (torch.float16, torch.bfloat16):
        assert pixels_of(grey.to(dtype))[..., 0].tolist() == [[0, 255], [128, 64]]


def test_a_file_opened_for_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(COLOUR))
    with path.open(encoding="utf-8") as file, pytest.raises(DataError, match="mode 'rb'"):
        pixels_of(file)  # type: ignore[arg-type]
