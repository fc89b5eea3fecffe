"""Published data sets in their exact layouts, but tiny: two or three images of each kind."""

from __future__ import annotations

import csv
import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from blemish.data.layouts.arrays import CLASSES

#: For each data set its categories, and the counts of each: train, validation, test good, bad.
TINY = {
    "mvtec_ad": (("bottle", "tile"), (12, 0, 2, 2)),
    "visa": (("candle", "pcb1"), (4, 0, 2, 2)),
    "real_iad": (("mint", "usb"), (4, 0, 2, 2)),
    "mvtec_loco": (("pushpins", "screw_bag"), (4, 3, 2, 4)),
    "mnist": (CLASSES["mnist"], (6, 0, 2, 0)),
    "fashion_mnist": (CLASSES["fashion_mnist"], (6, 0, 2, 0)),
    "cifar10": (CLASSES["cifar10"], (6, 0, 2, 0)),
}


def published_tree(key: str, root: Path) -> Path:
    """Write the tiny data set of that name; returns its root."""
    root.mkdir(parents=True)
    categories, counts = TINY[key]
    _WRITE[key](root, categories, counts)
    return root


def _picture(path: Path, seed: int, *, spoilt: bool = False, side: int = 64) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 110, (side, side, 3)).astype(np.uint8)
    if spoilt:
        pixels[20:36, 20:36] = rng.integers(0, 255, (16, 16, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _mask(path: Path, value: int = 255, side: int = 64) -> None:
    pixels = np.zeros((side, side), np.uint8)
    pixels[20:36, 20:36] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _mvtec(root: Path, categories: tuple[str, ...], counts: tuple[int, ...]) -> None:
    train, _, good, bad = counts
    for at, name in enumerate(categories):
        for i in range(train):
            _picture(root / name / "train" / "good" / f"{i:03}.png", 100 * at + i)
        for i in range(good):
            _picture(root / name / "test" / "good" / f"{i:03}.png", 100 * at + 50 + i)
        for i in range(bad):
            _picture(root / name / "test" / "crack" / f"{i:03}.png", 100 * at + 70 + i, spoilt=True)
            _mask(root / name / "ground_truth" / "crack" / f"{i:03}_mask.png")
    (root / "readme.txt").write_text("as in the archive")


def _loco(root: Path, categories: tuple[str, ...], counts: tuple[int, ...]) -> None:
    train, validation, good, bad = counts
    rule = {"defect_name": "a", "pixel_value": 255, "saturation_threshold": 1}
    for at, name in enumerate(categories):
        for split, kind, count in (
            ("train", "good", train),
            ("validation", "good", validation),
            ("test", "good", good),
            ("test", "logical_anomalies", bad // 2),
            ("test", "structural_anomalies", bad - bad // 2),
        ):
            for i in range(count):
                seed = 1000 * at + 100 * len(split) + 10 * len(kind) + i
                spoilt = kind != "good"
                _picture(root / name / split / kind / f"{i:03}.png", seed, spoilt=spoilt)
                if spoilt:
                    _mask(root / name / "ground_truth" / kind / f"{i:03}" / "000.png")
        text = json.dumps([rule | {"relative_saturation": True}])
        (root / name / "defects_config.json").write_text(text)


def _visa(root: Path, categories: tuple[str, ...], counts: tuple[int, ...]) -> None:
    train, _, good, bad = counts
    rows = [["object", "split", "label", "image", "mask"]]
    for at, name in enumerate(categories):
        for i in range(train + good):
            image = f"{name}/Data/Images/Normal/{i:04}.JPG"
            _picture(root / image, 100 * at + i)
            rows.append([name, "train" if i < train else "test", "normal", image, ""])
        for i in range(bad):
            image = f"{name}/Data/Images/Anomaly/{i:03}.JPG"
            mask = f"{name}/Data/Masks/Anomaly/{i:03}.png"
            _picture(root / image, 100 * at + 70 + i, spoilt=True)
            _mask(root / mask, 1 + i)
            rows.append([name, "test", "anomaly", image, mask])
    (root / "split_csv").mkdir()
    with (root / "split_csv" / "1cls.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _real_iad(root: Path, categories: tuple[str, ...], counts: tuple[int, ...]) -> None:
    train, _, good, bad = counts
    lists = root / "realiad_jsons" / "realiad_jsons"
    lists.mkdir(parents=True)
    for at, name in enumerate(categories):
        entries: dict[str, list[dict[str, str | None]]] = {"train": [], "test": []}
        for i in range(train + good + bad):
            kind = "OK" if i < train + good else "QS"
            folder = "OK" if kind == "OK" else "NG/QS"
            stem = f"{folder}/S{i:04}/{name}_{i:04}_{kind}_C1_2023"
            entry = {"category": name, "anomaly_class": kind, "image_path": f"{stem}.jpg"}
            images = root / "realiad_1024" / name
            _picture(images / f"{stem}.jpg", 100 * at + i, spoilt=kind != "OK")
            mask = None if kind == "OK" else f"{stem}.png"
            if mask:
                _mask(images / mask)
            entries["train" if i < train else "test"].append(entry | {"mask_path": mask})
        meta = {"normal_class": "OK", "prefix": f"{name}/"}
        (lists / f"{name}.json").write_text(json.dumps({"meta": meta, **entries}))


def _digits(first: list[int]) -> Callable[[Path, tuple[str, ...], tuple[int, ...]], None]:
    def write(root: Path, categories: tuple[str, ...], counts: tuple[int, ...]) -> None:
        rng = np.random.default_rng(1)
        for prefix, each in (("train", counts[0]), ("t10k", counts[2])):
            labels = np.repeat(np.arange(len(categories), dtype=np.uint8), each)
            if prefix == "train":  # by which the set is recognised
                rest = list(labels)
                for label in first:
                    rest.remove(label)
                labels = np.array([*first, *rest], np.uint8)
            images = rng.integers(0, 60, (len(labels), 28, 28)).astype(np.uint8)
            for image, label in zip(images, labels, strict=True):
                image[2 * label : 6 + 2 * label] += 150
            for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
                header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
                path = root / f"{prefix}-{kind}-ubyte.gz"
                path.write_bytes(gzip.compress(header + array.tobytes()))

    return write


def _cifar(root: Path, categories: tuple[str, ...], counts: tuple[int, ...]) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(2)
    train = np.repeat(np.arange(len(categories)), counts[0])
    test = np.repeat(np.arange(len(categories)), counts[2])
    parts = [*np.array_split(train, 5), test]
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name, labels in zip(names, parts, strict=True):
        data = rng.integers(0, 255, (len(labels), 3072)).astype(np.uint8)
        content = {b"data": data, b"labels": [int(label) for label in labels]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


_WRITE = {
    "mvtec_ad": _mvtec,
    "visa": _visa,
    "real_iad": _real_iad,
    "mvtec_loco": _loco,
    "mnist": _digits([5, 0, 4, 1, 9, 2, 1, 3]),
    "fashion_mnist": _digits([9, 0, 0, 3, 0, 2, 7, 2]),
    "cifar10": _cifar,
}
