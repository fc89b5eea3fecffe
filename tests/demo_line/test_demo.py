"""The synthetic demo line: layout on disk, ground truth, variation and repeatability."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish.demo_line import (
    DEFECTS,
    PRODUCTS,
    defects_config,
    render,
    tray,
    write_demo_line,
)
from blemish.demo_line import line as demo
from blemish.demo_line.hardware import KINDS, draw
from blemish.demo_line.tray import COUNTS, _scatter, compartments, part_area
from blemish.errors import ConfigError, DataError

ALL_DEFECTS = [(product, name) for product in PRODUCTS for name in DEFECTS[product]]
SMALL: dict[str, Any] = {
    "size": 64,
    "train": 2,
    "validation": 1,
    "test_good": 1,
    "defects_per_kind": 2,
}


def seeded(*words: object) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(str(word).encode()) for word in words])


def union(areas: list[tuple[str, NDArray[np.bool_]]]) -> NDArray[np.bool_]:
    return np.any([mask for _, mask in areas], axis=0)


def grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    return np.asarray(image.filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "line"
    return write_demo_line(root, **{**SMALL, "defects_per_kind": 10})


# --- one picture -------------------------------------------------------------------------------


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("size", [64, (80, 100), (120, 70)])
def test_good_picture_has_the_size_asked_for_and_no_defect(
    product: str, size: int | tuple[int, int]
) -> None:
    image, areas = render(product, size=size, rng=seeded(product))
    height, width = (size, size) if isinstance(size, int) else size
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert areas == []
    assert image.std() > 4  # not an empty frame
    assert (image == 255).mean() < 0.1  # not blown out
    assert 40 < image.mean() < 200


@pytest.mark.parametrize(("product", "defect"), ALL_DEFECTS)
def test_defect_is_visible_inside_its_mask_and_nothing_changes_far_from_it(
    product: str, defect: str
) -> None:
    for k in range(2):
        image, areas = render(product, size=192, rng=seeded(product, defect, k), defect=defect)
        good, _ = render(product, size=192, rng=seeded(product, defect, k))
        assert areas[0][0] == defect
        assert all(mask.shape == (192, 192) and mask.dtype == np.bool_ for _, mask in areas)
        assert all(mask.any() for _, mask in areas)
        assert union(areas).mean() < 0.6
        change = np.abs(image.astype(np.float32) - good).mean(axis=2)  # (H, W)
        inside = np.sort(change[union(areas)])[::-1]
        strongest = inside[: min(len(inside), 40)].mean()
        assert strongest > 10, f"{defect} {k} changes the picture by {strongest:.1f} levels only"
        # Where threads are drawn together the whole cloth gives; and a compartment whose
        # contents change is filled anew.
        if defect not in ("pulled_thread", "wrong_compartment", "wrong_kind"):
            far = ~grown(union(areas), 14)
            assert change[far].mean() < 0.25


@pytest.mark.parametrize(("product", "defect"), ALL_DEFECTS)
def test_mask_is_never_empty_in_the_smallest_picture(product: str, defect: str) -> None:
    for k in range(2):
        _, areas = render(product, size=64, rng=seeded("small", defect, k), defect=defect)
        assert all(mask.any() for _, mask in areas)


def test_defects_differ_in_area() -> None:
    for product, defect in (("metal", "stain"), ("fabric", "hole"), ("board", "solder_blob")):
        areas = [
            union(render(product, size=128, rng=seeded(defect, k), defect=defect)[1]).sum()
            for k in range(8)
        ]
        assert max(areas) > 2 * min(areas)


@pytest.mark.parametrize("defect", [None, *DEFECTS["tray"]])
def test_tray_holds_what_its_defect_says(
    defect: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = tray.compartments((64, 64))
    laid: list[tuple[str, str]] = []  # (compartment, kind)

    def recording(scene: Any, part: Any, at: Any, rng: Any) -> Any:
        if scene.colour.std() > 0.01:  # not the empty scene in which a whole part is outlined
            (where,) = [
                name
                for name, (left, top, right, bottom) in boxes.items()
                if left < part.x < right and top < part.y < bottom
            ]
            laid.append((where, part.kind))
        return draw(scene, part, at, rng)

    monkeypatch.setattr(tray, "draw", recording)
    render("tray", size=64, rng=seeded("count", defect), defect=defect)
    change = Counter(laid)
    change.subtract({(kind, kind): count for kind, count in COUNTS.items()})
    wrong = {place: n for place, n in change.items() if n}
    if defect is None or DEFECTS["tray"][defect] == "structural":
        assert wrong == {}
    elif defect.startswith("missing_"):
        kind = defect.removeprefix("missing_")
        assert wrong == {(kind, kind): -1}
    elif defect.startswith("extra_"):
        kind = defect.removeprefix("extra_")
        assert wrong == {(kind, kind): 1}
    else:
        assert sorted(wrong.values()) == [-1, 1]
        ((home, gone),) = [place for place, n in wrong.items() if n < 0]
        ((host, came),) = [place for place, n in wrong.items() if n > 0]
        assert home == gone
        assert (came == gone and host != home) if defect == "wrong_compartment" else came != gone


def test_misplaced_part_is_annotated_where_it_lies_and_where_it_is_missing() -> None:
    _, areas = render("tray", size=128, rng=seeded("tray"), defect="wrong_compartment")
    (first, lies), (second, missing) = areas
    assert first == "wrong_compartment"
    assert second in {f"missing_{kind}" for kind in COUNTS}
    assert missing.sum() > 4 * lies.sum()
    assert not (missing & lies).any()


def test_unknown_names_and_sizes_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="metal, fabric, board, tray"):
        render("bottle", size=64, rng=seeded(0))
    with pytest.raises(ConfigError, match="scratch, dent, stain, hole"):
        render("metal", size=64, rng=seeded(0), defect="missing_nut")
    with pytest.raises(ConfigError, match="at least 64"):
        render("metal", size=32, rng=seeded(0))
    with pytest.raises(ConfigError, match="3 times"):
        render("tray", size=(64, 300), rng=seeded(0))


# --- variation ---------------------------------------------------------------------------------


def auroc(good: list[float], bad: list[float]) -> float:
    g, b = np.array(good)[:, None], np.array(bad)[None, :]
    return float((b > g).mean() + 0.5 * (b == g).mean())


def test_an_average_picture_of_good_parts_does_not_find_the_defects() -> None:
    found: dict[str, list[float]] = {"max": [], "mean": []}
    for product in PRODUCTS:
        trained = [
            render(product, size=64, rng=seeded(product, "train", k))[0].astype(np.float32)
            for k in range(16)
        ]
        template = np.mean(trained, axis=0)

        def change(
            k: int, defect: str | None, product: str = product, template: Any = template
        ) -> NDArray[np.float32]:
            rng = seeded(product, defect, k)
            image = render(product, size=64, rng=rng, defect=defect)[0]
            return np.abs(image - template).mean(axis=2)

        good = [change(k, None) for k in range(16)]
        for group in dict.fromkeys(DEFECTS[product].values()):
            names = [name for name, of in DEFECTS[product].items() if of == group]
            bad = [change(k, names[k % len(names)]) for k in range(16)]
            found["max"].append(auroc([g.max() for g in good], [b.max() for b in bad]))
            found["mean"].append(auroc([g.mean() for g in good], [b.mean() for b in bad]))
    assert len(found["max"]) == 6
    assert np.mean(found["max"]) < 0.75, found
    assert np.mean(found["mean"]) < 0.65, found
    # And it is no better than chance for a reason: the good parts themselves differ.
    assert np.mean(found["mean"]) > 0.35, found


@pytest.mark.parametrize("product", PRODUCTS)
def test_good_parts_visibly_differ_from_one_another(product: str) -> None:
    images = [
        render(product, size=96, rng=seeded(product, k))[0].astype(np.float32) for k in range(4)
    ]
    for a in range(4):
        for b in range(a):
            assert np.abs(images[a] - images[b]).mean() > 3


def test_parts_in_the_tray_do_not_overlap() -> None:
    boxes = compartments((320, 320))
    for k in range(10):
        for kind, count in COUNTS.items():
            parts = _scatter(boxes[kind], [kind] * (count + 1), seeded(kind, k))
            assert len(parts) == count + 1
            discs = [
                [
                    (part.x + o * np.cos(part.angle), part.y + o * np.sin(part.angle), r)
                    for o, r in KINDS[kind].discs()
                ]
                for part in parts
            ]
            for i, mine in enumerate(discs):
                for other in discs[:i]:
                    for x, y, r in mine:
                        for u, v, s in other:
                            assert np.hypot(x - u, y - v) >= r + s


# --- on disk -----------------------------------------------------------------------------------


def test_layout_is_that_of_mvtec_loco(line: Path) -> None:
    assert {p.name for p in line.iterdir()} == {*PRODUCTS, demo.RECORD}
    for product in PRODUCTS:
        folder = line / product
        groups = set(DEFECTS[product].values())
        kinds = {f"{group}_anomalies" for group in groups}
        assert {p.name for p in folder.iterdir()} == {
            "train", "validation", "test", "ground_truth", "defects_config.json",
        }  # fmt: skip
        assert [p.name for p in (folder / "train").iterdir()] == ["good"]
        assert sorted(p.name for p in (folder / "train" / "good").iterdir()) == [
            "000.png",
            "001.png",
        ]
        assert len(list((folder / "validation" / "good").iterdir())) == 1
        assert {p.name for p in (folder / "test").iterdir()} == {"good", *kinds}
        assert {p.name for p in (folder / "ground_truth").iterdir()} == kinds
    assert not (line / "metal" / "test" / "logical_anomalies").exists()


def test_every_bad_picture_has_ground_truth_with_configured_values(line: Path) -> None:
    for product in PRODUCTS:
        config = json.loads((line / product / "defects_config.json").read_text())
        by_value = {entry["pixel_value"]: entry for entry in config}
        assert len(by_value) == len(config) == len(DEFECTS[product])
        seen = set()
        for kind in (p.name for p in (line / product / "ground_truth").iterdir()):
            for picture in (line / product / "test" / kind).iterdir():
                truths = sorted((line / product / "ground_truth" / kind / picture.stem).iterdir())
                assert [t.name for t in truths] == [f"{i:03d}.png" for i in range(len(truths))]
                assert truths
                for truth in truths:
                    image = Image.open(truth)
                    assert image.mode == "L"
                    assert image.size == Image.open(picture).size == (64, 64)
                    values = set(np.unique(np.asarray(image)).tolist()) - {0}
                    assert len(values) == 1
                    entry = by_value[values.pop()]
                    seen.add(entry["defect_name"])
                    if not entry["relative_saturation"]:
                        area = int((np.asarray(image) > 0).sum())
                        assert 0 < entry["saturation_threshold"] < area
        assert seen == set(DEFECTS[product])  # ten of each kind show every defect


def test_saturation_of_a_wrong_count_is_the_area_of_one_part() -> None:
    config = {entry["defect_name"]: entry for entry in defects_config("tray", size=320)}
    for kind in COUNTS:
        for prefix in ("missing", "extra"):
            entry = config[f"{prefix}_{kind}"]
            assert entry["relative_saturation"] is False
            assert entry["saturation_threshold"] == part_area(kind, (320, 320))
    # A washer is a ring of known radii, in pixels at this size.
    assert part_area("washer", (320, 320)) == pytest.approx(np.pi * (16.5**2 - 8.3**2), rel=0.02)
    assert part_area("washer", (640, 800)) == pytest.approx(
        4 * part_area("washer", (320, 320)), rel=0.01
    )
    _, areas = render("tray", size=320, rng=seeded("w"), defect="wrong_compartment")
    absent = areas[1][0].removeprefix("missing_")
    assert areas[0][1].sum() == pytest.approx(part_area(absent, (320, 320)), rel=0.2)


def test_same_seed_same_bytes_and_another_seed_other_pictures(tmp_path: Path) -> None:
    a, b, c = (
        write_demo_line(tmp_path / name, **SMALL, seed=seed)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert digests(a) == digests(b)
    first, other = digests(a), digests(c)
    pictures = [name for name in first if "/train/" in name or "/test/" in name]
    assert pictures
    assert all(first[name] != other[name] for name in pictures)
    assert len({first[name] for name in pictures}) == len(pictures)  # no picture comes twice


def test_a_larger_line_begins_with_the_pictures_of_a_smaller_one(tmp_path: Path) -> None:
    small = write_demo_line(tmp_path / "s", **SMALL, products=["tray"])
    grown_counts = {**SMALL, "train": 4, "validation": 2, "test_good": 3, "defects_per_kind": 3}
    large = write_demo_line(tmp_path / "l", **grown_counts, products=["metal", "tray"])
    few, many = digests(small), digests(large)
    few.pop(demo.RECORD)
    assert few.items() <= many.items()
    assert len(many) > len(few)


def test_a_complete_line_is_left_alone(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "render", lambda *a, **k: pytest.fail("rendered again"))
    before = digests(line)
    assert write_demo_line(line, **{**SMALL, "defects_per_kind": 10}) == line
    assert digests(line) == before


def test_another_line_or_other_files_are_not_overwritten(line: Path, tmp_path: Path) -> None:
    before = digests(line)
    with pytest.raises(DataError, match="seed 0 instead of 9"):
        write_demo_line(line, **{**SMALL, "defects_per_kind": 10}, seed=9)
    assert digests(line) == before
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="not a demo line"):
        write_demo_line(tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return render(*args, **kwargs)

    monkeypatch.setattr(demo, "render", interrupted)
    some = {**SMALL, "products": ["metal"]}
    with pytest.raises(KeyboardInterrupt):
        write_demo_line(tmp_path / "line", **some)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert (write_demo_line(tmp_path / "line", **some) / demo.RECORD).is_file()


def test_an_empty_folder_may_become_the_line(tmp_path: Path) -> None:
    write_demo_line(tmp_path, **SMALL, products=["metal"])
    record = json.loads((tmp_path / demo.RECORD).read_text())
    assert record["synthetic"] is True
    assert record["products"] == ["metal"]


def test_counts_and_products_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train is -1"):
        write_demo_line(tmp_path / "x", **{**SMALL, "train": -1})
    with pytest.raises(ConfigError, match="No product"):
        write_demo_line(tmp_path / "x", **SMALL, products=[])
    with pytest.raises(ConfigError, match="makes no product 'screw'"):
        write_demo_line(tmp_path / "x", **SMALL, products=["screw"])
    assert not (tmp_path / "x").exists()


def test_the_renderer_stands_apart() -> None:
    """Nothing of the product may come to rest on it, nor it on more than errors."""
    package = Path(demo.__file__).parents[1]
    used = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "blemish.demo_line" in path.read_text(encoding="utf-8")
    }
    assert {path for path in used if not path.startswith("demo_line/")} == {"cli/demo.py"}
    inside = "".join(p.read_text(encoding="utf-8") for p in (package / "demo_line").glob("*.py"))
    assert set(re.findall(r"from blemish\.(\w+)", inside)) == {"demo_line", "errors"}
