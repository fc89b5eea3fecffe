from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from blemish.data.images.reading import (
    image_size,
    read_header,
    read_image,
    read_image_bytes,
    read_mask,
)
from blemish.errors import (
    ConfigError,
    DataError,
    ImageError,
    TooManyPixelsError,
    UnknownFormatError,
)

RNG = np.random.default_rng(0)
RGB: NDArray[np.uint8] = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RGB[..., 0]
ORIENTATION = 0x0112


def _save(path: Path, image: Image.Image | NDArray, **options: object) -> Path:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, name: str) -> None:
    path = _save(tmp_path / name, RGB, **({"lossless": True} if name == "a.webp" else {}))
    image = read_image(path)
    np.testing.assert_array_equal(image, RGB)
    assert image.flags.c_contiguous
    assert image_size(path) == (5, 7)


def test_jpeg_and_a_wrong_suffix(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg", np.full((8, 8, 3), 90, np.uint8), quality=95)
    path = (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    assert np.abs(read_image(path).astype(int) - 90).max() <= 1


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_grey_tiff(tmp_path: Path, compression: str | None) -> None:
    path = _save(tmp_path / "a.tif", GREY, compression=compression)
    np.testing.assert_array_equal(read_image(path), np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    smooth = np.repeat(np.repeat(RGB, 8, axis=0), 8, axis=1)
    path = _save(tmp_path / name, smooth, exif=exif)
    with Image.open(path) as reference:
        expected = np.asarray(ImageOps.exif_transpose(reference).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2] == ((40, 56) if orientation < 5 else (56, 40))
    mask = read_mask(path, expected_size=expected.shape[:2])
    assert mask.shape == expected.shape[:2]


def test_exif_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = io.BytesIO()
    Image.fromarray(RGB).save(data, "PNG")
    body = data.getvalue()
    payload = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(payload)) + b"eXIf" + payload
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    path = tmp_path / "late.png"
    path.write_bytes(body[:-12] + chunk + body[-12:])  # before IEND
    assert image_size(path) == (7, 5)
    np.testing.assert_array_equal(read_image(path), np.rot90(RGB, -1))


def test_malformed_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", RGB, exif=b"Exif\0\0nonsense, not a TIFF header")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(read_image(path), RGB)
        assert image_size(path) == (5, 7)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_sixteen_bit_grey(tmp_path: Path, name: str, bits: int) -> None:
    values = np.array([[0, 1023, 4095], [16383, 30000, 65535]], np.uint16)
    path = _save(tmp_path / name, values)
    expected = np.clip(np.rint(values / (2**bits - 1) * 255), 0, 255)
    image = read_image(path, bit_depth=bits)
    np.testing.assert_array_equal(image, np.stack([expected] * 3, axis=2))


def test_big_endian_sixteen_bit(tmp_path: Path) -> None:
    values = np.array([[0, 257, 65535]], np.uint16)
    image = Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes())
    assert read_image(_save(tmp_path / "a.tif", image))[0, :, 0].tolist() == [0, 1, 255]


def test_a_tiff_that_declares_twelve_bits(tmp_path: Path) -> None:
    # Pillow reads packed 12-bit TIFFs but writes none: two pixels, 0xFFF and 0x000.
    entries = [(256, 3, 2), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 0),
               (277, 3, 1), (278, 3, 1), (279, 4, 3)]  # fmt: skip
    offset = 8 + 2 + 12 * len(entries) + 4
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack("<HHII", tag, kind, 1, offset if tag == 273 else value)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + directory + b"\0\0\0\0" + b"\xff\xf0\x00")
    assert read_image(path)[0, :, 0].tolist() == [255, 0]
    assert read_image(path, bit_depth=10)[0, :, 0].tolist() == [255, 0]


def test_thirty_two_bit_integers(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.tif", np.array([[0, 65535]], np.int32))
    assert read_image(path)[0, :, 0].tolist() == [0, 255]
    for values in ([[0, 65536]], [[-1, 5]]):
        path = _save(tmp_path / "b.tif", np.array(values, np.int32))
        with pytest.raises(ImageError, match=r"b\.tif.*32-bit values"):
            read_image(path)


def test_floats(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.tif", np.array([[0, 0.5, 1]], np.float32))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]
    path = _save(tmp_path / "b.tif", np.array([[0, 255]], np.float32))
    with pytest.raises(ImageError, match=r"b\.tif.*from 0 to 255"):
        read_image(path)


def test_deep_colour_keeps_its_upper_bits_and_refuses_a_bit_depth(tmp_path: Path) -> None:
    pixels = np.array([[[0x1234, 0xABCD, 0xFFFF]]], ">u2")
    raw = zlib.compress(b"\0" + pixels.tobytes())

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", raw) + chunk(b"IEND", b"")
    )
    assert read_image(path)[0, 0].tolist() == [0x12, 0xAB, 0xFF]
    with pytest.raises(ImageError, match="16 bits per channel"):
        read_image(path, bit_depth=12)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_goes_to_black(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (2, 1), (200, 255) if mode == "LA" else (200, 200, 200, 255))
    image.putpixel((1, 0), (200, 51) if mode == "LA" else (200, 200, 200, 51))
    assert read_image(_save(tmp_path / "a.png", image))[0].tolist() == [[200] * 3, [40] * 3]


def test_transparent_palette_and_key_colour(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert read_image(_save(tmp_path / "p.png", palette))[0].tolist() == [
        [10, 20, 30],
        [40, 50, 60],
    ]
    path = _save(tmp_path / "q.png", palette, transparency=0)
    assert read_image(path)[0].tolist() == [[0, 0, 0], [40, 50, 60]]
    keyed = Image.new("RGB", (2, 1), (7, 7, 7))
    keyed.putpixel((0, 0), (255, 255, 255))
    path = _save(tmp_path / "k.png", keyed, transparency=(255, 255, 255))
    assert read_image(path)[0].tolist() == [[0, 0, 0], [7, 7, 7]]


def test_all_transparent_names_the_file(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", Image.new("RGBA", (2, 2), (9, 9, 9, 0)))
    with pytest.raises(ImageError, match=r"a\.png.*alpha channel is 0"):
        read_image(path)


def test_one_bit_and_cmyk(tmp_path: Path) -> None:
    one_bit = Image.new("1", (2, 1))
    one_bit.putpixel((1, 0), 1)
    assert read_image(_save(tmp_path / "a.png", one_bit))[0, :, 0].tolist() == [0, 255]
    cmyk = Image.new("CMYK", (2, 1), (0, 255, 255, 0))
    assert read_image(_save(tmp_path / "a.tif", cmyk))[0, 0].tolist() == [255, 0, 0]


def test_lab_is_refused_by_name(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.tif", Image.new("LAB", (2, 2)))
    with pytest.raises(ImageError, match="'LAB'"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png"])
def test_the_first_frame_of_several(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 3), (value, 0, 0)) for value in (50, 150, 250)]
    options = {"lossless": True} if name == "a.webp" else {}
    _save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **options)
    assert read_image(tmp_path / name)[0, 0].tolist() == [50, 0, 0]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files(tmp_path: Path, suffix: str, share: float) -> None:
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = _save(tmp_path / f"cut{suffix}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: max(20, int(len(data) * share))])
    with pytest.raises(ImageError, match=rf"cut\{suffix}.*(cut short|damaged)"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"not an image at all", "text beginning with 'not an image at all'"),
        (b"<!DOCTYPE html><html>", "text"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"GIF89a" + bytes(40), "no pixels"),
        (b"\0\0\0\x1cftypheic" + bytes(40), "HEIC"),
        (bytes(range(128, 192)), "first bytes 80 81"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (b"BM", "cut short|damaged"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="null"):
        read_image("a\0b.png")


def test_zero_sized_image(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.bmp", RGB)
    data = bytearray(path.read_bytes())
    data[18:22] = bytes(4)  # width
    path.write_bytes(data)
    with pytest.raises(ImageError, match="no pixels"):
        read_image(path)


def test_pixel_limit_is_checked_before_decoding_and_changes_nothing(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    path = _save(tmp_path / "a.png", RGB)
    assert read_image(path, max_pixels=35).shape == (5, 7, 3)
    with pytest.raises(ImageError, match=r"5×7 = 35 pixels.*at most 34"):
        read_image(path, max_pixels=34)
    assert before == Image.MAX_IMAGE_PIXELS

    bomb = bytearray(path.read_bytes())
    bomb[16:24] = struct.pack(">II", 30_000, 30_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    path.write_bytes(bomb)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="900,000,000 pixels"):
            read_image(path)


def test_between_pillows_limits_no_warning_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    path = _save(tmp_path / "a.png", RGB)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == (5, 7, 3)
    path = _save(tmp_path / "a.tif", RGB)
    outcome = "read"
    try:  # some versions of Pillow check TIFF once more by themselves
        read_image(path)
    except ImageError as error:
        outcome = str(error)
    assert outcome == "read" or "Pillow refuses TIFF" in outcome


def test_bit_depth_is_checked_before_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_image(tmp_path / "gone.png", bit_depth=20)


def test_header(tmp_path: Path) -> None:
    header = read_header(_save(tmp_path / "a.png", np.zeros((3, 9), np.uint16)))
    assert (header.size, header.mode, header.format) == ((3, 9), "I;16", "PNG")


def test_header_only(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    assert image_size(path) == (64, 64)


def test_mask_values_stay_raw(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)
    np.testing.assert_array_equal(read_mask(_save(tmp_path / "a.png", values)), values)
    palette = Image.fromarray(values, mode=None).convert("L")
    palette = palette.convert("P")
    palette.putpalette([255, 255, 255] * 256)
    np.testing.assert_array_equal(read_mask(_save(tmp_path / "p.png", palette)), values)
    deep = np.array([[0, 3, 65535]], np.uint16)
    assert read_mask(_save(tmp_path / "d.png", deep)).tolist() == [[0, 3, 255]]
    one_bit = Image.new("1", (2, 1))
    one_bit.putpixel((1, 0), 1)
    assert read_mask(_save(tmp_path / "b.png", one_bit)).tolist() == [[0, 255]]


def test_colour_masks(tmp_path: Path) -> None:
    painted = np.array([[[0, 0, 0, 255], [255, 0, 0, 255], [255, 255, 255, 0]]], np.uint8)
    assert read_mask(_save(tmp_path / "a.png", painted)).tolist() == [[0, 255, 0]]
    assert read_mask(_save(tmp_path / "b.png", painted[..., :3])).tolist() == [[0, 255, 255]]


def test_jpeg_masks_lose_their_ringing(tmp_path: Path) -> None:
    truth = np.zeros((32, 32), np.uint8)
    truth[5:20, 9:27] = 255
    path = _save(tmp_path / "a.jpg", truth, quality=60)
    with Image.open(path) as raw:
        assert (np.asarray(raw)[truth == 0] > 0).any()
    np.testing.assert_array_equal(read_mask(path) > 0, truth > 0)


def test_mask_size_and_float_masks(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", GREY)
    assert read_mask(path, expected_size=(5, 7)).shape == (5, 7)
    with pytest.raises(DataError, match=r"a\.png has 5×7 .* 7×5"):
        read_mask(path, expected_size=(7, 5))
    path = _save(tmp_path / "f.tif", np.array([[0.5, 1]], np.float32))
    with pytest.raises(ImageError, match="whole numbers"):
        read_mask(path)


def test_png_text_is_harmless(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 500)
    np.testing.assert_array_equal(read_image(_save(tmp_path / "a.png", RGB, pnginfo=notes)), RGB)


def test_the_content_of_a_file_reads_as_the_file(tmp_path: Path) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.bmp", "a.webp", "a.tif", "a.jpg"):
        path = tmp_path / name
        Image.fromarray(pixels).save(path, exif=exif)
        np.testing.assert_array_equal(
            read_image_bytes(path.read_bytes(), "upload"), read_image(path)
        )


def test_content_that_is_no_image_is_told_from_one_too_large_and_a_damaged_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64), "red").save(path)
    content = path.read_bytes()
    with pytest.raises(UnknownFormatError, match="found text beginning"):
        read_image_bytes(b"hello, this is text", "a.txt")
    with pytest.raises(TooManyPixelsError, match="4,096 pixels"):
        read_image_bytes(content, "a.png", max_pixels=4095)
    with pytest.raises(ImageError, match="cut short") as caught:
        read_image_bytes(content[:-40], "a.png")
    assert not isinstance(caught.value, UnknownFormatError | TooManyPixelsError)
