"""Several products in one RADAR: each has statistics of its own, which its pictures find."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from building import TINY_RADAR, radar
from torch import Tensor

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.cli.info import info
from blemish.data.sample import DataSet, Sample
from blemish.methods.base import Batch
from blemish.methods.radar.config import NETWORKS
from blemish.methods.radar.held_out import HeldOutResiduals, by_product
from blemish.methods.radar.model import RADAR, _scaled
from blemish.methods.radar.nearest_product import NearestProduct, product_code

SIZE = (64, 96)
PRODUCTS = ("brass", "steel")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "small", TINY_RADAR)

    def by_brightness(images: Tensor, *_: object, **__: object) -> int:
        return 20 if float(images.float().mean()) < 120 else 150

    monkeypatch.setattr("blemish.methods.radar.model.choose_timestep", by_brightness)


def surface(product: str, count: int, *, seed: int = 0, size: tuple[int, int] = SIZE) -> Tensor:
    """Brass is dark and fine, steel bright and coarse."""
    generator = torch.Generator().manual_seed(seed)
    level, rough = {"brass": (60, 10), "steel": (170, 60)}[product]
    drawn = torch.randn(count, 3, *size, generator=generator)
    return (level + rough * drawn).clamp(0, 255).to(torch.uint8)


def alternating(count: int) -> list[Batch]:
    """Three pictures to a batch, of both products in turn."""
    pairs = zip(*(surface(product, count) for product in PRODUCTS), strict=True)
    images = torch.stack([image for pair in pairs for image in pair])
    names = PRODUCTS * count
    return [
        Batch(images=images[i : i + 3], products=names[i : i + 3]) for i in range(0, 2 * count, 3)
    ]


def fitted(count: int) -> RADAR:
    method = radar(SIZE, timestep=None)
    method.products = PRODUCTS
    with torch.inference_mode():
        method.fit_held_out(alternating(count))
    return method


def test_each_product_is_judged_as_by_a_model_that_saw_it_alone() -> None:
    both = fitted(9)
    assert both.timestep.tolist() == [20, 150]
    new = [image for k in range(2) for image in (surface(p, 1, seed=9 + k) for p in PRODUCTS)]
    with torch.inference_mode():
        output, features = both(torch.cat(new)), both.features(torch.cat(new))
        residuals = both.residuals(torch.cat(new))
        for at, product in enumerate(PRODUCTS):
            alone = radar(SIZE, timestep=None)
            alone.fit_held_out([Batch(images=surface(product, 9))])
            assert torch.equal(both.usual[at], alone.usual[0])
            assert torch.equal(both.least[at], alone.least[0])
            own = torch.cat(new[at::2])
            expected = alone(own)
            assert torch.equal(output.anomaly_map[at::2], expected.anomaly_map)
            assert torch.equal(output.score[at::2], expected.score)
            assert torch.equal(features[at::2], alone.features(own))
            assert torch.equal(residuals[at::2], alone.residuals(own))
            assert not torch.allclose(both.usual[1 - at], alone.usual[0], atol=1e-2)
            other = torch.full((2,), 1 - at)
            wrong = both.score(features[at::2], other)
            assert not torch.isclose(wrong, expected.score).any()


def test_all_products_together_stay_within_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blemish.methods.radar.model._USUAL_PIXELS", 6 * math.prod(SIZE))
    method = fitted(9)
    with torch.inference_mode():
        for at, product in enumerate(PRODUCTS):
            first, t = surface(product, 3).split(1), method.timestep[at : at + 1]
            raw = torch.cat([method._residual(one, t) for one in first])
            assert torch.allclose(method.usual[at], raw.mean(0), atol=1e-6)


class Taken(HeldOutResiduals):
    """Numbers of the pictures that came in."""

    def __init__(self, first: list[Tensor]) -> None:
        self.numbers = [int(one) for one in first]

    def add(self, image: Tensor) -> None:
        self.numbers.append(int(image))


@pytest.mark.parametrize(
    ("names", "groups", "note"),
    [
        ("abababacc", {"a": [0, 2, 4, 6], "b": [1, 3, 5], "c": None}, "c: .* most like"),
        ("aaabbcdd", {"a": [0, 1, 2], "b": [3, 4, 5, 6, 7]}, "b, c, d: .* together"),
        ("abcb", {"a": [0, 1, 2, 3]}, "a, b, c: .* together"),
        ("ab", {"a": [0, 1]}, "a, b: .* together"),
        ("aa", {"a": [0, 1]}, ""),
        ("abbaab", {"a": [0, 3, 4], "b": [1, 2, 5]}, ""),
    ],
)
def test_products_of_few_pictures_are_judged_together_or_as_others(
    names: str, groups: dict[str, list[int] | None], note: str
) -> None:
    pictures = [(name, torch.tensor(number)) for number, name in enumerate(names)]
    found, notes = by_product(iter(pictures), Taken, enough=3)
    for name, numbers in groups.items():
        taken = found.get(name)
        assert (taken and taken.numbers) == numbers  # type: ignore[attr-defined]
    assert re.match(note, "".join(notes))
    assert bool(notes) == bool(note)


def test_surfaces_of_one_colour_are_told_apart_by_their_edges() -> None:
    def brushed(seed: int, *, down: bool) -> Tensor:
        drawn = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(seed))
        stripes = (0.2 * drawn).expand(3, 64, 64)
        return stripes.transpose(1, 2) if down else stripes

    kinds = [torch.stack([brushed(k, down=d) for k in range(6)]) for d in (False, True)]
    nearest = NearestProduct()
    nearest.fit([product_code(kind) for kind in kinds], [1, 0])
    new = torch.stack([brushed(50 + k, down=d) for k in range(4) for d in (False, True)])
    assert nearest(new).tolist() == 4 * [1, 0]
    # Their colours alone would not do.
    nearest.deviation[:, 48:] = torch.inf
    assert nearest(new).tolist() != 4 * [1, 0]


def test_a_file_of_two_products_and_no_teacher_gives_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("blemish.methods.radar.model._CHOOSING", 2)
    samples = []
    for product in PRODUCTS:
        for k, image in enumerate(surface(product, 16, size=(64, 64)).permute(0, 2, 3, 1)):
            path = tmp_path / product / f"{k}.png"
            samples.append(Sample(path, product, "train", 0, image=image.numpy()))
    settings = {"steps": 1, "batch_size": 2, "trees": 5, "patches_per_image": 1, "timestep": None}
    detector = Detector("radar", image_size=64, settings=settings)
    detector.fit(
        DataSet("folder", tmp_path, tuple(samples)),
        false_alarm_rate=0.5,
        training=TrainingOptions(device="cpu"),
        progress=Progress(quiet=True),
    )
    detector.save(tmp_path / "two.blemish")
    loaded = Detector.load(tmp_path / "two.blemish")
    assert loaded.teacher == "none"
    info(tmp_path / "two.blemish")
    assert "no teacher" in capsys.readouterr().out
    assert isinstance(loaded.method, RADAR)
    assert loaded.method.timestep.tolist() == [20, 150]
    new = [np.asarray(samples[at].image) for at in (0, 16)]
    for image in new:
        (one,), (other,) = detector.predict(image), loaded.predict(image)
        assert one.score == other.score
        assert one.anomaly_map.tobytes() == other.anomaly_map.tobytes()


def test_an_earlier_file_of_one_group_loads() -> None:
    method, again = radar(SIZE, timestep=None), radar(SIZE, timestep=None)
    image = surface("steel", 1, seed=3)
    with torch.inference_mode():
        method.fit_held_out([Batch(images=surface("steel", 3))])
    earlier = {k: v for k, v in method.inference_state().items() if not k.startswith("product.")}
    for name, value in earlier.items():
        if name.startswith("forest.") or name in ("least", "timestep"):
            earlier[name] = value[0]
    missing, unexpected = again.load_state_dict(earlier, strict=False)
    assert not unexpected
    assert all(name.startswith("unet.") for name in missing)
    with torch.inference_mode():
        assert torch.equal(again(image).score, method(image).score)
    assert int(again.product(_scaled(image))) == 0
