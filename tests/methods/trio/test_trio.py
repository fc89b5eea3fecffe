"""The trio: what is usual is told from other pictures, by row, place and product."""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest
import torch
from small_teachers import small_teacher
from torch import Tensor

from blemish.export.graph import onnx_graph
from blemish.inspection.network import Network
from blemish.methods.base import Batch
from blemish.methods.trio.blocks import UsualDistance
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.methods.trio.nearest import nearest_of_others
from blemish.methods.trio.place_gaussian import PlaceGaussian
from blemish.methods.trio.product_code import ProductCode
from blemish.model_file.bundle import GRAPH
from blemish.results import UNKNOWN_PRODUCT
from blemish.runtime.networks import build_network
from blemish.teachers.teacher import Teacher


def pictures(count: int, seed: int = 0, colour: int = 120) -> Tensor:
    """Grey fields with a bright bar in the upper left quarter, ``(count, 3, 64, 64)``."""
    generator = torch.Generator().manual_seed(seed)
    images = colour + torch.randint(-8, 9, (count, 3, 64, 64), generator=generator)
    images[:, :, 8:24, 8:16] += 80
    return images.clamp(0, 255).to(torch.uint8)


def strangers(count: int) -> Tensor:
    """Coloured stripes, which no product has."""
    images = pictures(count, 11)
    images[:, 0, ::2], images[:, 2, :, ::3] = 255, 0
    return images


def fitted(*batches: Batch, teacher: Teacher | None = None, **settings: int) -> Trio:
    method = Trio(TrioConfig(**settings), teacher or small_teacher("tiny-three"), (64, 64)).eval()
    with torch.inference_mode():
        method.fit_statistics(batches)
    return method


def test_a_row_is_never_compared_with_its_own_picture() -> None:
    queries = torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]], [[3.0, 5.0]]])  # three pictures, one patch
    rows, each = queries.flatten(0, 1), torch.arange(3)
    distances, places = nearest_of_others(queries, rows, each, each)
    assert distances.flatten().tolist() == pytest.approx([5.0, 1.0, 1.0])
    assert places.flatten().tolist() == [1, 2, 1]
    alone, _ = nearest_of_others(queries[:1], rows, torch.tensor([0, 0, 0]), torch.arange(1))
    assert float(alone) == pytest.approx(5.0)  # the second nearest


def test_views_of_one_part_do_not_explain_each_other() -> None:
    queries = torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]], [[3.0, 5.0]]])
    part = torch.tensor([0, 1, 1])  # the last two pictures show one part
    distances, _ = nearest_of_others(queries, queries.flatten(0, 1), part, part)
    assert distances.flatten().tolist() == pytest.approx([5.0, 5.0, 34**0.5])


@pytest.mark.parametrize("views", [1, 2])
def test_what_is_usual_for_a_picture_is_what_the_other_parts_leave(views: int) -> None:
    generator = torch.Generator().manual_seed(1)
    size, count, rows = (4, 6), 8, 5
    distances = torch.rand(count, 24, generator=generator) + 1
    places = torch.randint(rows, (count, 24), generator=generator)
    part = torch.arange(count) // views
    usual = UsualDistance(size)
    apart = usual.fit([(distances, places, rows)], [part])[0] * usual.scale + usual.mean
    for picture in range(count):
        others = part != part[picture]
        alone = UsualDistance(size)
        alone.fit([(distances[others], places[others], rows)], [part[others]])
        alone.mean, alone.scale = torch.zeros(1, 1), torch.ones(1, 1)
        zero = torch.zeros(1, dtype=torch.long)
        nearest = alone.of_rows()[0][places[picture, None]]
        again = alone(distances[picture, None], nearest, zero)
        # All rows' and places' own variance, a small share, is taken once, from all pictures.
        assert torch.allclose(again[0], apart[picture], rtol=0.3, atol=0.3)


def test_an_odd_picture_does_not_make_itself_usual() -> None:
    distances = torch.rand(8, 24, generator=torch.Generator().manual_seed(1)) + 1
    distances[0] += 3
    places = torch.zeros(8, 24, dtype=torch.long)
    usual = UsualDistance((4, 6))
    apart = usual.fit([(distances, places, 1)], [torch.arange(8)])[0]
    rows = usual.of_rows()[0][places[:1]]
    itself_too = usual(distances[:1], rows, torch.zeros(1, dtype=torch.long))
    assert float(apart[0].mean()) > 1.5 * float(itself_too.mean())


def test_the_gaussian_of_a_place_is_a_mahalanobis_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 3, 6, generator=generator) * torch.tensor([1.0, 2.0, 5.0])[:, None]
    gaussian = PlaceGaussian(3, 6)
    apart = gaussian.fit([features], [torch.arange(400)])[0]
    assert apart.mean().abs() < 1e-3
    new = torch.zeros(1, 3, 6)
    new[0, 2, 4] = 25.0  # five deviations of the third channel, at one place
    z = gaussian(new, torch.zeros(1, dtype=torch.long))[0]
    raw = z * gaussian.scale[0] + gaussian.usual[0]
    assert raw[4] == pytest.approx(5.0, rel=0.1)
    assert z.argmax() == 4


def test_a_product_is_told_from_the_picture() -> None:
    method = fitted(
        Batch(images=pictures(12), products=("a",) * 12),
        Batch(images=pictures(12, 1, colour=40), products=("b",) * 12),
    )
    codes = [
        method.patches(method.teacher(images)).mean((2, 3))
        for images in (pictures(5, 7), pictures(5, 8, colour=40))
    ]
    for group, product in ((0, codes[0]), (1, codes[1])):
        assert [found.tolist() for found in method.product(product)] == [
            *[[group] * 5] * 2,
            [-1] * 5,  # no rival
        ]
    group, product, _ = method.product(method.patches(method.teacher(strangers(5))).mean((2, 3)))
    assert product.tolist() == [-1] * 5
    assert group.min() >= 0  # it is measured by one of them all the same


def test_kinds_that_are_apart_are_found_where_no_products_are_named() -> None:
    both = torch.cat([pictures(12), pictures(12, 1, colour=40)])
    assert len(fitted(Batch(images=both)).product.centre) == 2
    assert len(fitted(Batch(images=both), groups=1).product.centre) == 1


def test_what_is_good_elsewhere_is_a_defect_here() -> None:
    method = fitted(Batch(images=pictures(40)), groups=1)
    good = pictures(6, 3)
    moved = good.roll(32, 3)  # the bar is in the upper right quarter
    with torch.inference_mode():
        usual, odd = method(good), method(moved)
    assert float(odd.score.min()) > float(usual.score.max())
    assert float(odd.branches["logical"].min()) > float(usual.branches["logical"].max())


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_pictures_give_finite_scores_and_a_word_about_it(count: int) -> None:
    method = fitted(Batch(images=pictures(count)))
    with torch.inference_mode():
        output = method(pictures(2, 5))
    assert bool(output.anomaly_map.isfinite().all())
    assert bool(output.score.isfinite().all())
    assert f"{count} good images only" in method.notes()[0]


def test_many_pictures_are_sampled_and_the_rest_still_counts() -> None:
    method = fitted(Batch(images=pictures(20)), pictures=6, pool=200, rows=50)
    assert method.memory.banks[0].columns.shape == (1, 36, 50)  # the three levels of the teacher


def test_one_product_of_one_picture_beside_others() -> None:
    method = fitted(
        Batch(images=pictures(8), products=("a",) * 8),
        Batch(images=pictures(1, 1, colour=40), products=("b",)),
    )
    with torch.inference_mode():
        assert bool(method(pictures(2, 5, colour=40)).score.isfinite().all())


def test_a_part_that_no_other_measures_sets_no_limit() -> None:
    method = fitted(
        Batch(images=pictures(1, 1, colour=40), products=("b",)),
        Batch(images=pictures(8), products=("a",) * 8),
    )
    own = method.out_of_fold()
    assert own is not None
    assert own.image.tolist() == list(range(1, 9))
    assert len(own.score) == len(own.peak) == len(own.map_low) == len(own.branches["logical"]) == 8


def test_rows_of_one_picture_alone_still_measure_it() -> None:
    own = fitted(Batch(images=pictures(6)), rows=1).out_of_fold()
    assert own is not None
    assert bool(own.score.isfinite().all())


@pytest.mark.parametrize("count", [3, 4])
def test_few_pictures_measure_each_other_as_they_measure_new_ones(count: int) -> None:
    method = fitted(Batch(images=pictures(count)))
    own = method.out_of_fold()
    assert own is not None
    with torch.inference_mode():
        new = method(pictures(20, 5)).score
    assert float(new.median()) < 10 * float(own.score.max())


def test_the_user_is_told_of_pictures_that_are_all_the_same() -> None:
    same = fitted(Batch(images=pictures(1).repeat(9, 1, 1, 1)))
    assert "all the same to the network" in "".join(same.notes())
    assert fitted(Batch(images=pictures(9))).notes() == []


@pytest.mark.parametrize(
    ("apart", "few", "many"), [(0.0, 0.9, 1.0), (4.0, 0.1, 0.7), (9.0, 0.0, 0.01)]
)
def test_products_are_rivals_as_far_as_they_overlap(apart: float, few: float, many: float) -> None:
    """Two normal clouds: log-odds of at most 99 to 1 are the exact share that is not clear."""
    torch.manual_seed(0)
    offset = torch.tensor([apart, 0.0, 0.0])
    clouds = [torch.randn(400, 3), torch.randn(400, 3) + offset]
    code = ProductCode(3)
    code.fit(clouds, [torch.arange(400)] * 2)
    group, shown, rival = code(torch.cat([torch.randn(400, 3), torch.randn(400, 3) + offset]))
    doubted = rival >= 0
    assert few <= float(doubted.float().mean()) <= many
    assert (rival[doubted] == 1 - group[doubted]).all()
    assert (shown == group).all()
    # Those that are clear are right, 99 times in 100.
    truth = torch.arange(800) // 400
    assert float((shown == truth)[~doubted].float().mean() if (~doubted).any() else 1.0) > 0.98


def test_a_code_knows_one_product() -> None:
    code = ProductCode(2)
    code.fit([torch.tensor([[1.0, 2.0], [3.0, 1.0]])], [torch.arange(2)])
    found = [each.tolist() for each in code(1e6 * torch.randn(3, 2))]
    assert found == [[0, 0, 0], [0, 0, 0], [-1, -1, -1]]


def test_what_is_far_from_all_products_belongs_to_none() -> None:
    generator = torch.Generator().manual_seed(0)
    groups = [torch.randn(40, 3, generator=generator) + 100 * k for k in range(2)]
    code = ProductCode(3)
    code.fit(groups, [torch.arange(40)] * 2)
    usual = 1.54  # median distance of a normal vector of three dimensions
    away = torch.tensor([[0.8], [1.25]]) * 9 * usual * torch.tensor([0.0, 0.0, 1.0])
    assert code(away)[1].tolist() == [0, -1]
    few = ProductCode(3)
    few.fit(groups, [torch.arange(40) // 10, torch.arange(40)])  # four parts, of ten views each
    assert few.limit.isinf().tolist() == [True, False]
    # A file of before has no limit, and then nothing is unknown.
    state = code.state_dict()
    del state["limit"]
    old = ProductCode(3)
    old.load_state_dict(state)
    assert old(away)[1].tolist() == [0, 0]


class Exported(NamedTuple):
    """Of two products, whose good pictures hardly differ; ``usual`` is how far strangers are.

    Each has weights of its own, as by labelled defects.
    """

    method: Trio
    network: Network
    usual: float
    images: Tensor  # five good ones, five with a defect, five strangers


PRODUCTS = ("a", "b")


@pytest.fixture(scope="module")
def exported() -> Exported:
    method = fitted(
        Batch(images=pictures(12), products=("a",) * 12),
        Batch(images=pictures(12, 1, colour=40), products=("b",) * 12),
    )
    method.weights.memory, method.weights.layout = (
        torch.tensor([0.9, 0.25]),
        torch.tensor([1.6, 0.2]),
    )
    with torch.inference_mode():
        method._take_unit()
    method.scores.scale = 0.1 * method.scores.scale
    spoiled = pictures(5, 7)
    spoiled[:, :, 56:, 56:] = strangers(5)[:, :, 56:, 56:]  # somewhere: a defect, however bad
    images = torch.cat([pictures(5, 7), spoiled, strangers(5)])
    with torch.inference_mode():
        far = method.product.squares(method.patches(method.teacher(images)).mean((2, 3))).amin(1)
    usual = float(far[10:].max()) / 81
    assert float(far[5:10].max()) < 16 * usual
    # Below nine times the usual distance, but odd everywhere; the spoiled ones below four times.
    method.product.limit = torch.full((2,), 81.1 * usual)
    graph = {GRAPH: onnx_graph(method)}
    network = build_network("onnx", graph, method.branch_names, products=PRODUCTS)
    return Exported(method, network, usual, images)


def test_what_is_odd_nearly_everywhere_belongs_to_no_product_from_less_far_on(
    exported: Exported,
) -> None:
    method, network, usual, images = exported

    def shown(method: Trio) -> list[int]:
        with torch.inference_mode():
            output = method(images)
        assert output.product is not None
        assert output.rival is not None
        assert output.rival.tolist() == [-1] * 15
        return output.product.tolist()

    assert shown(method) == [0] * 10 + [-1] * 5
    found = network(images.permute(0, 2, 3, 1).numpy()).products or ()
    assert list(found) == ["a"] * 10 + [UNKNOWN_PRODUCT] * 5
    # Below four times what is odd everywhere may be a part that lies elsewhere, in other light.
    for limit in (81 * 81 / 15 * usual, torch.inf):
        other = copy.deepcopy(method)
        other.product.limit = torch.full((2,), limit)
        assert -1 not in shown(other)


def test_out_of_fold_scores_are_those_of_new_pictures() -> None:
    method = fitted(Batch(images=pictures(40)), groups=1)
    own = method.out_of_fold()
    assert own is not None
    assert own.image.tolist() == list(range(40))
    with torch.inference_mode():
        new = method(pictures(40, 9))
        seen = method(pictures(40))
    # Exchangeable with new pictures, where the pictures as the finished model sees them are not.
    higher = (new.score[:, None] > own.score).float().mean()
    assert 0.35 < float(higher) < 0.65
    assert float(seen.score.median()) < float(own.score.median()) - 0.5
    both = own.branches["structural"].logaddexp(0.4 * own.branches["logical"])
    assert torch.allclose(own.score, both, atol=1e-5)


def test_a_picture_far_from_anything_good_has_the_same_score_in_an_exported_graph(
    exported: Exported,
) -> None:
    noise = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    noise = noise.to(torch.uint8)
    with torch.inference_mode():
        score = exported.method(noise).score
    assert score.min() > 100  # whose exponential is no float32
    found = exported.network(noise.permute(0, 2, 3, 1).numpy())
    assert found.scores == pytest.approx(score.numpy(), rel=1e-4)


def test_the_weights_of_each_product_are_in_the_graph(exported: Exported) -> None:
    method, network, *_ = exported
    new = torch.cat([pictures(2, 5), pictures(2, 6, 40)])
    with torch.inference_mode():
        score = method(new).score.numpy()
        method = copy.deepcopy(method)
        method.weights.layout = method.weights.layout.flip(0)
        swapped = method(new).score.numpy()
    assert network(new.permute(0, 2, 3, 1).numpy()).scores == pytest.approx(score, abs=1e-3)
    assert (abs(swapped - score) > 0.01).all()  # which those of the other product are not
