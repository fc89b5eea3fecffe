"""A trio that looks twice: which pictures, what each look says, and how both are one verdict."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from small_teachers import small_teacher
from test_trio import pictures
from torch import Tensor

from blemish import Detector
from blemish.cli.speed_table import print_speeds_here
from blemish.errors import ConfigError
from blemish.export.graph import onnx_graph
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.model_file.bundle import GRAPH
from blemish.runtime.networks import build_network
from blemish.teachers.joined import JoinedTeacher
from blemish.training.input_plan import other_ways, seen_by
from blemish.training.plan import _seconds_per_picture

LITE0 = "efficientnet_lite0"


def large(count: int, seed: int = 0, colour: int = 120) -> Tensor:
    """Pictures twice as large, ``(count, 3, 128, 128)``."""
    return pictures(count, seed, colour).repeat_interleave(2, 2).repeat_interleave(2, 3)


def fitted(*products: tuple[str, Tensor]) -> Trio:
    method = Trio(TrioConfig(coarse=64), small_teacher("tiny-three"), (128, 128)).eval()
    torch.manual_seed(0)
    with torch.inference_mode():
        method.fit_statistics(
            [Batch(images=images, products=(name,) * len(images)) for name, images in products]
        )
    return method


@pytest.fixture(scope="module")
def method() -> Trio:
    return fitted(("", large(24)))


@pytest.fixture(scope="module")
def two() -> Trio:
    return fitted(("a", large(20)), ("b", large(20, 1, colour=40)))


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ({}, [(LITE0, (384, 384)), (LITE0, (640, 640))]),
        ({"speed": "fast"}, [(LITE0, (256, 256)), (LITE0, (416, 416))]),
        ({"speed": "best"}, [(f"{LITE0}+efficientnet_lite2", (384, 384)), (LITE0, (640, 640))]),
        ({"image_size": 800}, [(LITE0, (384, 384)), (LITE0, (800, 800))]),
    ],
)
def test_a_second_look_is_asked_for(
    words: dict[str, str], passes: list[tuple[str, tuple[int, int]]]
) -> None:
    detector = Detector(coarse=True, **words)  # type: ignore[arg-type]
    assert seen_by(detector, [(1000, 1000)]).passes == passes
    [(_, once)] = seen_by(Detector(**words), [(1000, 1000)]).passes  # type: ignore[arg-type]
    assert once in {size for _, size in passes}


def test_a_close_look_at_small_pictures_is_said_to_see_no_more() -> None:
    for side, said in ((320, ["The close look sees pictures of 320×320 at 640×640"]), (600, [])):
        detector, sizes = Detector(coarse=True), [(side, side)]
        prepare = seen_by(detector, sizes).preprocessing
        notes = [note[:47] for note in detector.input.notes(prepare, sizes)]
        assert notes == [one[:47] for one in said]


def test_oblong_pictures_are_shrunk_in_their_shape() -> None:
    config = TrioConfig(coarse=384)
    assert config.passes("t", (992, 416)) == [("t", (608, 256)), ("t", (992, 416))]
    # What is shrunk to a square is not turned by quarters itself.
    method = Trio(TrioConfig(coarse=32), small_teacher("tiny-three"), (64, 96)).eval()
    assert method.input_sizes == [(32, 32), (64, 96)]
    images = pictures(12).repeat_interleave(2, 3)[..., :96]
    read = Batch(images=images, pixels=lambda n: images[n])
    with torch.inference_mode():
        method.fit_statistics([read])
    assert method.out_of_fold() is not None
    with torch.inference_mode():
        method.learn([replace(read, products=("b",) * 12)], "b")
    assert method.products == ("", "b")


def test_both_looks_learn_the_same_pictures_of_many() -> None:
    few = Trio(TrioConfig(coarse=64, pictures=12), small_teacher("tiny-three"), (128, 128)).eval()
    with torch.inference_mode():
        few.fit_statistics([Batch(images=large(12), products=("a",) * 12)])
        for seed in (1, 2):  # a product, then more of it
            new = Batch(images=large(40, seed, colour=40), products=("b",) * 40)
            few.learn([new], "b")
            found = few.out_of_fold()
            assert found is not None
            assert len(found.image) == 12


def test_other_speeds_are_told_of_as_their_flags_would_have_them() -> None:
    ways = other_ways(Detector(coarse=True), [(1000, 1000)])
    passes = {way.flags: way.passes for way in ways}
    assert passes["--speed fast"] == [(LITE0, (256, 256))]
    assert passes["--speed balanced"] == [(LITE0, (384, 384))]
    assert passes["--size 512"] == [(LITE0, (512, 512))]


def test_the_table_of_speeds_has_two_looks_and_no_figures_of_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_speeds_here(Detector(speed="fast", coarse=True), [(640, 640)], set())
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if "×" in line]
    assert [row[2] for row in rows[::2]] == ["256×256", "384×384", "384×384"]
    assert [row[-1] for row in rows[1::2]] == ["416×416", "640×640", "640×640"]
    assert all("–" in row for row in rows[::2])
    assert "development products" not in shown


def test_the_close_look_of_joined_networks_is_foreseen_by_one() -> None:
    asked: list[tuple[str, int]] = []

    joined = JoinedTeacher([small_teacher("tiny-three"), small_teacher("tiny-three")])
    method = Trio(TrioConfig(coarse=64), joined, (128, 128))
    for network in (joined, joined.first):
        network.register_forward_pre_hook(
            lambda own, images: asked.append((own.name, images[0].shape[-1]))
        )
    _seconds_per_picture(method)
    alone = joined.first.name
    assert set(asked) == {(joined.name, 64), (alone, 64), (alone, 128)}


def test_only_the_trio_looks_twice() -> None:
    with pytest.raises(ConfigError, match="which the trio alone can take"):
        Detector("patchcore", coarse=True)


def test_an_input_that_is_no_closer_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of 384×384 is no larger than that"):
        Detector(coarse=True, image_size=384)
    assert Detector(coarse=True, image_size=416).config.passes("t", (416, 416))[0][1] == (384, 384)


def test_the_score_is_the_soft_maximum_of_both_looks(method: Trio) -> None:
    assert method.close is not None
    assert method.input_sizes == [(64, 64), (128, 128)]
    new = large(6, 7)
    new[2, :, 100:103, 100:103] = 255
    with torch.inference_mode():
        both = method(new)
        whole = method.measure(method.levels(Batch(images=new)))
        close = method.close(new)
    odder = close.branches["structural"] - 1
    torch.testing.assert_close(both.score, torch.logaddexp(whole.score, odder))
    structural = torch.logaddexp(whole.branches["structural"], odder)
    torch.testing.assert_close(both.branches["structural"], structural)
    assert torch.equal(both.branches["logical"], whole.branches["logical"])
    assert tuple(both.anomaly_map.shape) == (6, 1, 128, 128)
    assert (both.anomaly_map >= close.anomaly_map - 1).all()
    assert torch.equal(both.anomaly_map.flatten(1).amax(1).argmax(), torch.tensor(2))


def test_what_is_small_is_found_by_the_close_look(method: Trio) -> None:
    assert method.close is not None
    new = large(12, 5)
    new[6:, :, 90:93, 90:93] = 255
    with torch.inference_mode():
        whole = method.measure(method.levels(Batch(images=new))).score
        both = method(new).score
    assert float(both[6:].min()) > float(both[:6].max())
    gained = [float(s[6:].median() - s[:6].max()) for s in (whole, both)]
    assert gained[0] < gained[1]


def test_out_of_fold_scores_are_of_both_looks(method: Trio) -> None:
    assert method.close is not None
    found, close = method.out_of_fold(), method.close.out_of_fold()
    assert found is not None
    assert close is not None
    assert found.image.tolist() == close.image.tolist() == list(range(24))
    assert (found.score > close.branches["structural"] - 1).all()
    assert (found.peak >= close.peak - 1).all()
    # Good pictures that are new score as those do.
    with torch.inference_mode():
        new = method(large(24, 9)).score
    assert abs(float(new.median() - found.score.median())) < 1


def test_the_teacher_is_held_once(method: Trio) -> None:
    names = method.state_dict()
    assert any(name.startswith("close.memory") for name in names)
    assert not any(name.startswith("close.teacher") for name in names)
    fresh = Trio(method.config, small_teacher("tiny-three"), (128, 128)).eval()
    fresh.load_state_dict(names)
    fresh.products = method.products
    again = copy.deepcopy(fresh)
    assert again.close is not None
    assert again.close.teacher is again.teacher
    new = large(3, 4)
    with torch.inference_mode():
        for one in (fresh, again):
            assert torch.equal(one(new).score, method(new).score)


def test_the_look_at_the_whole_says_which_product_it_is(two: Trio) -> None:
    new = torch.cat([large(3, 4), large(3, 5, colour=40)])
    with torch.inference_mode():
        output = two(new)
    assert output.product is not None
    assert output.product.tolist() == [0, 0, 0, 1, 1, 1]
    assert float(output.score.max()) < 6


def test_both_looks_learn_a_product(two: Trio) -> None:
    third = large(20, 2, colour=200)
    more = copy.deepcopy(two)
    torch.manual_seed(0)
    with torch.inference_mode():
        more.learn([Batch(images=third, products=("c",) * 20)], "c")
        new = more(large(4, 8, colour=200))
    found = more.out_of_fold()
    assert found is not None
    assert found.image.tolist() == list(range(20))
    assert new.product is not None
    assert new.product.tolist() == [2] * 4
    assert more.close is not None
    assert more.close.products == more.products == ("a", "b", "c")
    assert float(new.score.max()) < 6
    with torch.inference_mode():  # and more of it, by which what it knows grows
        more.learn([Batch(images=large(6, 6, colour=200), products=("c",) * 6)], "c")
    found = more.out_of_fold()
    assert found is not None
    assert found.image.tolist() == list(range(6))


def test_an_exported_graph_looks_twice_too(two: Trio) -> None:
    new = torch.cat([large(2, 4), large(2, 5, colour=40)])
    new[1, :, 90:94, 90:94] = 255
    graph = {GRAPH: onnx_graph(two)}
    network = build_network("onnx", graph, two.branch_names, products=("a", "b"))
    with torch.inference_mode():
        expected = two(new)
    got = network(new.permute(0, 2, 3, 1).numpy())
    assert got.scores == pytest.approx(expected.score.numpy(), rel=1e-3, abs=1e-3)
    maps = torch.from_numpy(got.maps)
    torch.testing.assert_close(maps, expected.anomaly_map[:, 0], atol=2e-3, rtol=1e-3)
    assert list(got.products or ()) == ["a", "a", "b", "b"]
