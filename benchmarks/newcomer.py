"""Newcomer's protocol: ``blemish fit DIR`` alone on 37 folders as people have them.

Each folder is built here, small. Right is: the good images train and nothing else does, or the
sentence is said that leads on. Prints a line per folder and the share that is right.

    python benchmarks/newcomer.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
_GOOD = 8


def part(seed: int, *, stained: bool = False) -> Pixels:
    """A disc on a dark ground, 64×64, a little different each time."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    inside = (rows - rng.normal(32, 1)) ** 2 + (columns - rng.normal(32, 1)) ** 2 < 400
    grey = np.where(inside, 170, 60) + rng.normal(0, 4, (64, 64))
    if stained:
        grey[20:30, 30:40] = 240
    return grey.clip(0, 255).astype(np.uint8)


MASK = np.zeros((64, 64), np.uint8)
MASK[20:30, 30:40] = 255


class Folder:
    """Writes images below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, name: str, pixels: NDArray[np.generic], **options: object) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
        return path

    def good(self, folder: str, suffix: str = ".png", count: int = _GOOD, start: int = 0) -> None:
        for index in range(start, start + count):
            self.save(f"{folder}/{index}{suffix}", part(index))

    def bad(self, folder: str, count: int = 3) -> None:
        for index in range(count):
            self.save(f"{folder}/{index}.png", part(100 + index, stained=True))

    def masks(self, folder: str, ending: str = "", count: int = 3) -> None:
        for index in range(count):
            self.save(f"{folder}/{index}{ending}.png", MASK)


def deep(folder: Folder) -> None:
    for index in range(_GOOD):
        folder.save(f"good/{index}.tif", part(index).astype(np.uint16) * 16)


def pages(folder: Folder) -> None:
    folder.good("good")
    more = [Image.fromarray(part(50 + index)) for index in range(2)]
    path = folder.root / "good" / "x.tif"
    Image.fromarray(part(49)).save(path, save_all=True, append_images=more)


def formats(folder: Folder) -> None:
    folder.good("good", ".png", 3)
    folder.good("good", ".pgm", 3, 3)
    folder.good("good", ".jp2", 2, 6)
    (folder.root / "good" / "phone.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))


def flat_with_masks(folder: Folder) -> None:
    for index in range(_GOOD + 3):
        stained = index >= _GOOD
        folder.save(f"{index}.png", part(index, stained=stained))
        folder.save(f"{index}_mask.png", MASK * stained)


def labelme(folder: Folder) -> None:
    folder.good("images")
    for index in range(_GOOD):
        drawn = [{"label": "stain", "points": [[30, 20], [40, 20], [40, 30]]}] * (index >= 6)
        content = {"shapes": drawn, "imagePath": "", "imageHeight": 64, "imageWidth": 64}
        (folder.root / "images" / f"{index}.json").write_text(json.dumps(content))


def kolektor(folder: Folder) -> None:
    for item in range(6):
        for view in range(4):
            stained = view == 1
            folder.save(f"kos{item:02}/Part{view}.jpg", part(4 * item + view, stained=stained))
            folder.save(f"kos{item:02}/Part{view}_label.bmp", MASK * stained)


def table(folder: Folder) -> None:
    folder.good("shots")
    folder.bad("more")
    lines = [f"shots/{i}.png,ok" for i in range(_GOOD)] + [f"more/{i}.png,stain" for i in range(3)]
    (folder.root / "list.csv").write_text("\n".join(["path,label", *lines]))


def negative(folder: Folder) -> None:
    folder.good("good")
    folder.save("good/odd.png", 255 - part(70))


def images_and_masks_in_splits(folder: Folder) -> None:
    folder.good("train/normal/images", ".tif")
    folder.good("test/normal/images", ".tif", 3, 20)
    for index in range(3):
        folder.save(f"test/anomalous/images/{index}.tif", part(100 + index, stained=True))
        folder.save(f"test/anomalous/masks/{index}.tif", MASK)


def masks_called_mask(folder: Folder) -> None:
    for index in range(_GOOD + 3):
        stained = index >= _GOOD
        where = "abnormal_dir" if stained else "normal_dir"
        folder.save(f"{where}/image{index}.png", part(index, stained=stained))
        if stained:
            folder.save(f"mask_dir/mask{index}.png", MASK)


def names_say_it(folder: Folder) -> None:
    for index in range(_GOOD):
        folder.save(f"OK_{index:03}.bmp", part(index))
    for index in range(3):
        folder.save(f"NG_{index:03}.bmp", part(100 + index, stained=True))


def yolo(folder: Folder) -> None:
    for index in range(_GOOD + 2):
        stained = index >= _GOOD
        folder.save(f"images/train/{index}.jpg", part(index, stained=stained))
        text = folder.root / "labels" / "train" / f"{index}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("0 0.55 0.39 0.16 0.16\n" * stained)


def several_masks(folder: Folder) -> None:
    folder.good("good")
    folder.bad("crack")
    for index in range(3):
        for number in (1, 2):
            folder.save(f"masks/{index}_mask_{number}.png", MASK)


def splits_first(folder: Folder) -> None:
    for product in ("lid", "cap"):
        folder.good(f"train/{product}")
        folder.bad(f"test/{product}/dent")


def names_in_lower_case(folder: Folder) -> None:
    for index in range(_GOOD):
        folder.save(f"good_{index}.png", part(index))
    for index in range(3):
        folder.save(f"bad_{index}.png", part(100 + index, stained=True))


def roles_first(folder: Folder) -> None:
    for product in ("lid", "cap"):
        folder.good(f"good/{product}", start=20 * (product == "cap"))
    folder.bad("bad/lid")
    folder.masks("masks/lid")


def no_header(folder: Folder) -> None:
    folder.good("shots")
    lines = [f"shots/{i}.png,ok" for i in range(_GOOD)]
    (folder.root / "list.csv").write_text("\n".join(lines))


def cropped_masks(folder: Folder) -> None:
    folder.good("good")
    folder.bad("stain")
    for index in range(3):
        folder.save(f"masks/stain/{index}.png", MASK[:32, :32])


def cut_short(folder: Folder) -> None:
    folder.good("good")
    whole = folder.save("good/9.png", part(9)).read_bytes()
    (folder.root / "good" / "9.png").write_bytes(whole[: len(whole) // 2])
    (folder.root / "good" / "empty.png").touch()


def exchanged(folder: Folder) -> None:
    for index in range(_GOOD + 1):
        colour = np.stack([part(index), part(index) // 2, part(index) // 4], axis=-1)
        folder.save(f"good/{index}.png", colour[..., ::-1] if index == _GOOD else colour)


def turned(folder: Folder) -> None:
    """A telephone's pictures: stored lying, to be shown upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(_GOOD):
        folder.save(f"good/{index}.jpg", part(index), exif=exif)


def archive(folder: Folder) -> None:
    (folder.root / "good.zip").write_bytes(b"PK\x05\x06" + bytes(18))


def tree(*makers: tuple[str, str]) -> Callable[[Folder], None]:
    """Folders of good and bad images and masks, by name."""

    def make(folder: Folder) -> None:
        for kind, name in makers:
            getattr(folder, kind)(name)

    return make


@dataclass(frozen=True)
class Case:
    """A folder, and what is right: how many good images train, or that none can; what is said."""

    name: str
    make: Callable[[Folder], None]
    trained: int | None = _GOOD
    said: tuple[str, ...] = ()
    folder: str = "part"


CASES = (
    Case("good/ alone", tree(("good", "good"))),
    Case("images only", tree(("good", ".")), said=("all 8 are taken as good",)),
    Case(
        "good/ crack/ mask/crack/",
        tree(("good", "good"), ("bad", "crack"), ("masks", "mask/crack")),
        said=("good, for training: 8 images in good/", "masks: 3 for 3 images"),
    ),
    Case(
        "normal/ abnormal/ test/",
        tree(("good", "normal"), ("bad", "abnormal"), ("bad", "test")),
        said=("unlabelled, for testing: 3 images in test/", "defects, for testing: 3 images"),
    ),
    Case(
        "normal/ normal_test/ abnormal/",
        tree(("good", "normal"), ("good", "normal_test"), ("bad", "abnormal")),
        said=("good, for testing: 8 images in normal_test/",),
    ),
    Case(
        "normal_dir/ abnormal_dir/ mask_dir/",
        tree(("good", "normal_dir"), ("bad", "abnormal_dir"), ("masks", "mask_dir")),
        said=("masks: 3 for 3 images with defects, mask_dir/",),
    ),
    Case("OK parts/ NG/scratch/", tree(("good", "OK parts"), ("bad", "NG/scratch"))),
    Case("train/good/ test/…", tree(("good", "train/good"), ("bad", "test/stain"))),
    Case("a folder per product", tree(("good", "lid/ok"), ("good", "cap/good")), trained=16),
    Case(
        "good/ good_camera2/",
        tree(("good", "good"), ("good", "good_camera")),
        said=("--good good_camera",),
    ),
    Case("0/ 1/", tree(("good", "0"), ("bad", "1")), trained=None, said=("--good DIR",)),
    Case("12 bits in 16", deep, said=("--bit-depth 12",)),
    Case("a TIFF of three pages", pages, trained=9, said=("x.tif (3)",)),
    Case("PNG, PGM, JP2 and HEIC", formats, said=("1 .heic (a HEIC picture",)),
    Case("one negative picture", negative, trained=9, said=("negative of the others: odd.png",)),
    Case("images with masks beside", flat_with_masks, said=("3 are defective",)),
    Case("images with LabelMe files", labelme, trained=6, said=("2 are defective",)),
    Case("KolektorSDD", kolektor, trained=12),
    Case(
        "MVTec AD 2",
        tree(
            *(("good", "can/train/good"), ("good", "can/test_public/good")),
            *(("bad", "can/test_public/bad"), ("bad", "can/test_private")),
        ),
        said=("unlabelled, for testing: 3 images",),
    ),
    Case("a CSV list", table),
    # Found in public questions, after the layouts above were built.
    Case(
        "train/normal/images test/anomalous/{images,masks}",
        images_and_masks_in_splits,
        said=("masks: 3 for 3 images with defects", "good, for testing: 3 images"),
    ),
    Case("image3.png and mask3.png", masks_called_mask, said=("masks: 3 for 3 images",)),
    Case("OK_001.bmp and NG_001.bmp", names_say_it, said=("their names say which are good: 8",)),
    Case("YOLO's boxes", yolo, said=("text files mark boxes in 2 images",)),
    Case("several masks of an image", several_masks, said=("masks: 3 for 3 images",)),
    Case("train/lid/ train/cap/ test/lid/dent/", splits_first, trained=16),
    # Found by somebody who set out to have folders misread.
    Case("good/{lid,cap} bad/lid masks/lid", roles_first, trained=16, said=("products cap, lid",)),
    Case(
        "good/{lid,cap}",
        tree(("good", "good/lid"), ("good", "good/cap")),
        trained=16,
        said=("--good lid=",),
    ),
    Case(
        "NG_parts/",
        tree(("bad", ".")),
        trained=None,
        said=("NG_parts says that it holds", "--good"),
        folder="NG_parts",
    ),
    Case("good_0.png and bad_0.png", names_in_lower_case, said=("which are good: 8",)),
    Case("images/ alone", tree(("good", "images"))),
    Case("a CSV list without header", no_header, None, ("path,label",)),
    Case("masks of another size", cropped_masks, said=("masks: 3 for 3 images",)),
    Case("a picture cut short and an empty one", cut_short, said=("2 image(s) could not be read",)),
    Case("one BGR picture", exchanged, trained=9, said=("red and blue exchanged: 8.png",)),
    Case("pictures that lie on their side", turned),
    Case("an archive", archive, trained=None, said=("Unpack good.zip first",)),
)


def run(case: Case, root: Path) -> str:
    """What is wrong; empty where it is right."""
    folder = root / case.folder
    folder.mkdir(parents=True)
    case.make(Folder(folder))
    words = [sys.executable, "-m", "blemish", "fit", str(folder)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    text = done.stdout + done.stderr
    missing = [words for words in case.said if words not in text]
    if case.trained is None:
        wrong = "" if done.returncode == 2 else "it trained"
    else:
        wrong = "" if f"trained on {case.trained} and" in text else f"not {case.trained} trained"
    if "Traceback" in text:
        wrong = "a traceback"
    said = f"not said: {missing}" if missing else ""
    return "; ".join(filter(None, [wrong, said])) + (f"\n{text}" if wrong or missing else "")


def main() -> None:
    right = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            wrong = run(case, Path(folder))
        right += not wrong
        print(f"{case.name}: {wrong or 'right'}", flush=True)
    print(f"{right} of {len(CASES)} right")
    sys.exit(right < len(CASES))


if __name__ == "__main__":
    main()
