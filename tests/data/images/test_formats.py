"""Formats beyond the common ones: read by their own rules, or named with what to do."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.foreign import left_out
from blemish.data.images.image_list import list_images
from blemish.data.images.reading import image_size, read_header, read_image, read_mask
from blemish.data.images.sixteen_bit import bits_in_use
from blemish.errors import ImageError

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
VALUES = np.array([[0, 2048, 4095]], np.uint16)


def tiff(path: Path, bits: int, photometric: int, data: bytes, size: tuple[int, int]) -> Path:
    """A bare grey TIFF of one strip, as cameras write it."""
    height, width = size
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, height), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 9) + entries + bytes(4) + data)
    return path


def packed(rows: Iterable[Iterable[int]], bits: int) -> bytes:
    lines = ["".join(f"{value:0{bits}b}" for value in row) for row in rows]
    lines = [line + "0" * (-len(line) % 8) for line in lines]
    return b"".join(int(line, 2).to_bytes(len(line) // 8, "big") for line in lines)


@pytest.mark.parametrize("name", ["a.pgm", "a.ppm", "a.jp2", "a.j2k", "a.gif"])
def test_more_formats_come_back_exactly(tmp_path: Path, name: str) -> None:
    pixels = np.repeat(GREY[..., None], 3, axis=2)
    path = tmp_path / name
    Image.fromarray(pixels if name == "a.ppm" else GREY).save(path)
    np.testing.assert_array_equal(read_image(path), pixels)
    np.testing.assert_array_equal(read_mask(path), GREY)
    assert image_size(path) == GREY.shape
    assert list_images(tmp_path) == [path]


def test_a_pgm_is_scaled_by_the_largest_value_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    for head in (b"P5 3 1 4095\n", b"P5 3 1 65535\n"):
        path.write_bytes(head + VALUES.astype(">u2").tobytes())
        declared = b"4095" in head
        assert read_image(path)[0, :, 0].tolist() == ([0, 128, 255] if declared else [0, 8, 16])
        assert read_image(path, bit_depth=12)[0, :, 0].tolist() == [0, 128, 255]
    path.write_bytes(b"P2 3 1 65535\n0 2048 4095\n")
    assert read_image(path, bit_depth=12)[0, :, 0].tolist() == [0, 128, 255]


def test_jpeg_2000_with_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.jp2"
    Image.fromarray(VALUES).save(path)
    assert read_image(path)[0, :, 0].tolist() == [0, 8, 16]
    assert read_image(path, bit_depth=12)[0, :, 0].tolist() == [0, 128, 255]
    # The header of a camera that says 12 bits: Pillow scales them to 16.
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 12 - 1
    path.write_bytes(content)
    with Image.open(path) as image:
        assert bits_in_use(image, 12) == 16


def test_zero_is_white_with_8_and_with_16_bits(tmp_path: Path) -> None:
    deep = (GREY.astype(np.uint16) * 257).astype("<u2")
    for white in (0, 1):
        eight = tiff(tmp_path / "8.tif", 8, white, GREY.tobytes(), GREY.shape)
        sixteen = tiff(tmp_path / "16.tif", 16, white, deep.tobytes(), GREY.shape)
        expected = 255 - GREY if white == 0 else GREY
        np.testing.assert_array_equal(read_image(eight)[..., 0], expected)
        np.testing.assert_array_equal(read_image(sixteen)[..., 0], expected)
    twelve = tiff(tmp_path / "12.tif", 16, 0, VALUES.astype("<u2").tobytes(), (1, 3))
    assert read_image(twelve, bit_depth=12)[0, :, 0].tolist() == [255, 127, 0]
    mask = tiff(tmp_path / "m.tif", 16, 0, np.full((1, 3), 65535, "<u2").tobytes(), (1, 3))
    assert not read_mask(mask).any()


@pytest.mark.parametrize("bits", [10, 14])
def test_packed_bits_are_named(tmp_path: Path, bits: int) -> None:
    path = tiff(tmp_path / "a.tif", bits, 1, packed(VALUES // 4, bits), VALUES.shape)
    with pytest.raises(ImageError, match=rf"{bits} bits per sample \(packed\).*16 bits per sample"):
        read_image(path)
    twelve = tiff(tmp_path / "b.tif", 12, 1, packed(VALUES, 12), VALUES.shape)
    assert read_image(twelve)[0, :, 0].tolist() == [0, 128, 255]


def test_pages_and_frames_are_counted_and_the_first_is_read(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 6), value, np.uint8)) for value in (10, 20, 30)]
    for name in ("a.tif", "a.gif"):
        path = tmp_path / name
        pages[0].save(path, save_all=True, append_images=pages[1:])
        assert read_header(path).frames == 3
        assert read_image(path)[0, 0, 0] == 10
    Image.fromarray(GREY).save(tmp_path / "one.tif")
    assert read_header(tmp_path / "one.tif").frames == 1


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\0\0\0\x1cftypheic", "HEIC picture.*JPEG or PNG"),
        (b"\0\0\0\x1cftypmif1", "HEIC picture"),
        (b"\0\0\0\x1cftypavif", "AVIF picture.*JPEG or PNG"),
        (b"\0\0\0\x20ftypisom", "a video.*ffmpeg"),
        (b"\x1aE\xdf\xa3", "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(
    tmp_path: Path, start: bytes, words: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(start + bytes(40))
    with pytest.raises(ImageError, match=words):
        read_image(path)


def test_a_raw_file_is_not_taken_for_the_thumbnail_in_it(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tif", tiffinfo={50706: b"\1\4\0\0"})
    with pytest.raises(ImageError, match=r"raw file.*develop"):
        read_image(tmp_path / "a.tif")


def test_files_left_out_are_counted_by_kind(tmp_path: Path) -> None:
    for name in ("a.heic", "deep/b.HEIC", "c.dng", "d.mp4", "e.txt", ".hidden.heic", "f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (sentence,) = left_out(tmp_path)
    assert sentence.startswith("4 files were left out: 2 .heic (a HEIC picture")
    assert "1 .dng (a camera's raw file" in sentence
    assert "1 .mp4 (a video" in sentence
    (tmp_path / "only").mkdir()
    assert left_out(tmp_path / "only") == []


def test_the_tiff_library_writes_nothing_to_the_terminal(tmp_path: Path) -> None:
    noise: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (99, 99), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[300:700] = bytes(400)
    (tmp_path / "a.tif").write_bytes(content)
    program = (
        "import sys; from blemish.data.images.reading import read_image\n"
        "try: read_image(sys.argv[1])\nexcept Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.tif"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a.tif" in done.stdout
    assert done.stderr == ""


def test_formats_lie_beside_each_other_in_one_folder(tmp_path: Path) -> None:
    for number, suffix in enumerate((".png", ".pgm", ".jp2", ".gif", ".tif")):
        Image.fromarray(GREY).save(tmp_path / f"{number}{suffix}")
    found = list_images(tmp_path)
    assert len(found) == 5
    for path in found:
        np.testing.assert_array_equal(read_image(path)[..., 1], GREY)
