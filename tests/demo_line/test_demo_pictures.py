"""The demo line's pictures: defects and their masks, variation, what a tray holds."""

from __future__ import annotations

import zlib
from collections import Counter
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
)
from blemish.demo_line.hardware import KINDS, draw
from blemish.demo_line.tray import COUNTS, _scatter, compartments, part_area
from blemish.errors import ConfigError

ALL_DEFECTS = [(product, name) for product in PRODUCTS for name in DEFECTS[product]]


def seeded(*words: object) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(str(word).encode()) for word in words])


def union(areas: list[tuple[str, NDArray[np.bool_]]]) -> NDArray[np.bool_]:
    return np.any([mask for _, mask in areas], axis=0)


def grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    return np.asarray(image.filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


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
