"""``Detector.learn``: which images are learned, under which name, and what becomes of limits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_teachers import known_by_name

from blemish import Detector
from blemish.errors import ConfigError, DataError
from blemish.methods.registry import usable_methods
from brief_detector import BRIEF, CPU, QUIET, fit

COLOURS = {"dark": 40, "bright": 150, "middle": 95}


def picture(product: str, seed: int, *, odd: bool = False) -> np.ndarray:
    """A bar on a field of the product's brightness."""
    pixels = COLOURS[product] + np.random.default_rng([seed, 1]).integers(-6, 7, (64, 64, 3))
    pixels[8:24, 8:16] += 60
    if odd:
        pixels[40:46, 40:46] += 60
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _small_teachers() -> Iterator[None]:
    with known_by_name():
        yield


def write(folder: Path, product: str, seeds: range, *, odd: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        Image.fromarray(picture(product, seed, odd=odd)).save(folder / f"{product}{seed:03}.png")
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products in folders of their own."""
    root = tmp_path_factory.mktemp("line")
    for product in ("dark", "bright"):
        write(root / product / "good", product, range(12))
    return root


@pytest.fixture(scope="module")
def saved(line: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for method in ("trio", "patchcore"):
        detector = Detector(method, image_size=64, teacher="tiny-three")
        fit(detector, line)
        found[method] = folder / f"{method}.blemish"
        detector.save(found[method])
    return found


@pytest.fixture
def model(saved: dict[str, Path]) -> Callable[..., Detector]:
    return lambda method="trio": Detector.load(saved[method])


@pytest.mark.parametrize("method", [name for name, known in usable_methods() if known.learns])
def test_a_new_product_is_judged_by_limits_of_its_own(
    model: Callable[..., Detector], method: str, tmp_path: Path
) -> None:
    detector = model(method)
    old = write(tmp_path / "old", "dark", range(50, 54))
    before = [p.score for p in detector.predict(old, product="dark")]
    report = detector.learn(
        write(tmp_path / "x", "middle", range(12)), product="middle", training=CPU, progress=QUIET
    )
    assert detector.products == ("bright", "dark", "middle")
    assert report.new_products == ("middle",)
    cross = detector.method is not None and detector.method.cross_fits
    assert report.images == {"middle": 12 if cross else 10}
    [change] = [change for change in report.limits if change.product == "middle"]
    assert change.before is None
    assert change.after is not None
    assert change.after.n == (12 if cross else 2)
    for product in ("bright", "dark"):
        [change] = [change for change in report.limits if change.product == product]
        assert change.before == change.after
    # Nothing that was known is judged otherwise.
    assert [p.score for p in detector.predict(old, product="dark")] == before
    path = tmp_path / "after.blemish"
    detector.save(path)
    again = Detector.load(path)
    for odd in (False, True):
        new = write(tmp_path / f"new{odd}", "middle", range(70, 74), odd=odd)
        named = None if again.recognises else "middle"
        judged = list(again.predict(new, product=named))
        assert [p.product for p in judged] == ["middle"] * 4
        assert [p.score for p in judged] == [p.score for p in detector.predict(new, product=named)]
        verdicts = [p.verdict for p in judged]
        assert verdicts.count("defect") == 4 if odd else verdicts.count("defect") < 4
    assert again.training["pictures"]["colours"].keys() == {"dark", "bright", "middle"}
    assert again.training["learned"] == [
        {"product": "middle", "images": report.images["middle"], "seed": 0}
    ]


@pytest.mark.parametrize("method", ["trio", "patchcore"])
def test_more_images_join_the_limits_of_their_product(
    model: Callable[..., Detector], method: str, tmp_path: Path
) -> None:
    detector = model(method)
    assert detector.calibration is not None
    before = {group.product: group for group in detector.calibration.groups}
    more = write(tmp_path / "dark" / "good", "dark", range(30, 40))
    report = detector.learn(tmp_path, training=CPU, progress=QUIET)  # folders name the product
    joined = 10 if method == "trio" else 2
    assert report.images == {"dark": 10 if method == "trio" else 8}
    after = {group.product: group for group in detector.calibration.groups}
    assert after["bright"] == before["bright"]
    assert after["dark"].n == before["dark"].n + joined
    assert set(before["dark"].scores) < set(after["dark"].scores)
    # Once more, they are known: what calibrates and, where all do, what is learned.
    again = detector.learn(tmp_path, training=CPU, progress=QUIET)
    assert again.known == joined
    assert f"{joined} images are known already and count once" in " ".join(again.notes)
    if method == "trio":
        assert again.images == {}
        assert detector.training["learned"] == [{"product": "dark", "images": 10, "seed": 0}]
    assert len(list(more.iterdir())) == 10


def test_the_same_seed_learns_the_same(model: Callable[..., Detector], tmp_path: Path) -> None:
    more = write(tmp_path / "more", "dark", range(30, 36))
    scores = []
    for _ in range(2):
        detector = model()
        detector.learn(more, product="dark", training=CPU, progress=QUIET)
        scores.append([p.score for p in detector.predict(more)])
    assert scores[0] == scores[1]


def test_a_folder_that_names_no_product_needs_one(
    model: Callable[..., Detector], line: Path, tmp_path: Path
) -> None:
    more = write(tmp_path / "more", "dark", range(30, 36))
    with pytest.raises(ConfigError, match=r"Which product .* knows bright, dark: name one"):
        model().learn(more, training=CPU, progress=QUIET)
    with pytest.raises(ConfigError, match="holds the products bright, dark, and dark was named"):
        model().learn(line, product="dark", training=CPU, progress=QUIET)
    # A model of one product takes it for that.
    only = Detector("trio", image_size=64, teacher="tiny-three")
    fit(only, line / "dark")
    report = only.learn(more, training=CPU, progress=QUIET)
    assert report.images == {"dark": 6}
    assert only.products == ("dark",)
    report = only.learn(
        write(tmp_path / "b", "bright", range(8)), product="bright", training=CPU, progress=QUIET
    )
    assert only.products == ("dark", "bright")
    assert only.recognises
    assert [p.product for p in only.predict(tmp_path / "b")] == ["bright"] * 8


def test_images_are_known_by_their_content(
    model: Callable[..., Detector], line: Path, tmp_path: Path
) -> None:
    more = write(tmp_path / "more", "dark", range(30, 34))
    shutil.copy(more / "dark030.png", more / "copy.png")
    shutil.copy(line / "dark" / "good" / "dark003.png", more / "other_name.png")
    shutil.copy(line / "bright" / "good" / "bright003.png", more / "stranger.png")
    (more / "broken.png").write_text("no image")
    report = model().learn(more, product="dark", training=CPU, progress=QUIET)
    assert report.images == {"dark": 4}
    assert report.known == 3
    assert "1 of them are known as images of another product than the one named: stranger.png." in (
        report.notes
    )
    assert [path.name for path, _ in report.failures] == ["broken.png"]


def test_defects_among_the_good_images_are_named(
    model: Callable[..., Detector], tmp_path: Path
) -> None:
    more = write(tmp_path / "more", "dark", range(30, 36))
    write(more, "dark", range(90, 91), odd=True)
    detector = model()
    assert detector.calibration is not None
    detector.calibration = detector.calibration.at(false_alarm_rate=3 / 13)
    notes = detector.learn(more, product="dark", training=CPU, progress=QUIET).notes
    [said] = [note for note in notes if note.startswith("By the limits before, ")]
    assert "of the 7 new good images of dark is a defect: dark090.png" in said


def test_pictures_apart_from_the_others_of_a_new_product_are_named(
    model: Callable[..., Detector], tmp_path: Path
) -> None:
    new = write(tmp_path / "new", "middle", range(30))
    write(new, "middle", range(90, 91), odd=True)
    notes = model().learn(new, product="middle", training=CPU, progress=QUIET).notes
    [said] = [note for note in notes if note.startswith("Worth a look: middle090")]
    assert "`blemish learn … --leave-out" in said


def test_groups_that_were_learned_do_not_calibrate_again(tmp_path: Path) -> None:
    root = tmp_path / "dark"
    for part in range(8):
        for view in range(2):
            file = root / "good" / f"p{part}_view{view}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture("dark", 10 * part + view)).save(file)
    detector = Detector("trio", image_size=64, teacher="tiny-three")
    fit(detector, root, group="p[0-9]+")
    assert detector.calibration is not None
    known = detector.calibration.n
    more = tmp_path / "more"
    more.mkdir()
    for part in (7, 8, 9):
        Image.fromarray(picture("dark", 10 * part + 5)).save(more / f"p{part}_view5.png")
    report = detector.learn(more, training=CPU, progress=QUIET)
    assert report.images == {"dark": 3}
    assert detector.calibration.n == known + 2
    assert "1 images are of groups that were learned before" in " ".join(report.notes)
    assert detector.training["groups"]["dark"]["names"] == [f"p{part}" for part in range(10)]


def test_what_fails_leaves_the_model_as_it_was(
    model: Callable[..., Detector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = model()
    more = write(tmp_path / "more", "dark", range(30, 36))
    state = {key: value.clone() for key, value in detector.method.state_dict().items()}  # type: ignore[union-attr]
    before = detector.calibration, detector.products, detector.training

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("blemish.methods.trio.learning._settle", stopped)  # nearly done
    for product in ("dark", "middle"):
        with pytest.raises(KeyboardInterrupt):
            detector.learn(more, product=product, training=CPU, progress=QUIET)
    assert (detector.calibration, detector.products, detector.training) == before
    assert detector.method is not None
    after = detector.method.state_dict()
    assert all(bool((after[key] == value).all()) for key, value in state.items())


def test_what_cannot_be_learned_is_refused(model: Callable[..., Detector], tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no image")
    with pytest.raises(DataError, match="None of the images can be read"):
        model().learn(tmp_path / "broken", product="dark", training=CPU, progress=QUIET)
    one = write(tmp_path / "one", "middle", range(1))
    with pytest.raises(DataError, match="One readable good image of the new product middle"):
        model().learn(one, product="middle", training=CPU, progress=QUIET)
    assert model().learn(one, product="dark", training=CPU, progress=QUIET).images == {"dark": 1}
    with pytest.raises(ConfigError, match="A product without a name"):
        model().learn(one, product="", training=CPU, progress=QUIET)


def test_a_trained_method_says_that_it_would_forget(line: Path) -> None:
    detector = Detector("rd", image_size=64, settings=BRIEF)
    fit(detector, line)
    with pytest.raises(ConfigError, match=r"rd cannot learn on.*Fit again.*: trio, patchcore"):
        detector.learn(line, training=CPU, progress=QUIET)


def test_without_limits_there_are_none_afterwards(
    model: Callable[..., Detector], tmp_path: Path
) -> None:
    detector = model()
    detector.forget_limits()
    more = write(tmp_path / "more", "dark", range(30, 36))
    report = detector.learn(more, product="dark", training=CPU, progress=QUIET)
    assert detector.calibration is None
    assert "The model has no limits, as before" in " ".join(report.notes)
    assert {(change.before, change.after) for change in report.limits} == {(None, None)}
