"""The trio learns on: a product as in a fit of all, more pictures from what the old ones left."""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.covariance import ledoit_wolf
from small_teachers import small_teacher
from test_trio import pictures
from torch import Tensor

from blemish.errors import ConfigError
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.growth import _Spread, widen
from blemish.methods.trio.model import Trio
from blemish.methods.trio.place_gaussian import FOLDS, PlaceGaussian, residuals
from blemish.methods.trio.usual import by_place, by_row, moved
from blemish.teachers.teacher import Teacher, build_teacher


def of(product: str, colour: int, count: int = 20, seed: int = 0) -> Batch:
    names = tuple(f"{product}{seed}{n}" for n in range(count))
    return Batch(
        images=pictures(count, seed, colour=colour), products=(product,) * count, parts=names
    )


def learned(method: Trio, batch: Batch, product: str) -> Trio:
    method = copy.deepcopy(method)
    torch.manual_seed(0)
    with torch.inference_mode():
        method.learn([batch], product)
    return method


def fitted_on(*batches: Batch, teacher: Teacher | None = None, **settings: int) -> Trio:
    teacher = teacher or small_teacher("tiny-three")
    method = Trio(TrioConfig(**settings), teacher, (64, 64)).eval()
    torch.manual_seed(0)
    with torch.inference_mode():
        method.fit_statistics(batches)
    return method


@pytest.fixture(scope="module")
def two() -> Trio:
    return fitted_on(of("a", 120), of("b", 40, seed=1))


def test_a_product_that_is_learned_is_as_if_all_had_been_fitted_at_once(two: Trio) -> None:
    both = learned(two, of("c", 200, seed=2), "c")
    at_once = fitted_on(of("a", 120), of("b", 40, seed=1), of("c", 200, seed=2))
    assert both.products == at_once.products == ("a", "b", "c")
    for name, tensor in at_once.state_dict().items():
        assert torch.equal(tensor, both.state_dict()[name]), name
    own, all_of_them = both.out_of_fold(), at_once.out_of_fold()
    assert own is not None
    assert all_of_them is not None
    assert own.image.tolist() == list(range(20))
    assert own.score.tolist() == all_of_them.score[40:].tolist()


def test_the_others_are_as_they_were_to_the_last_bit(two: Trio) -> None:
    new = pictures(6, 5)
    for batch, product in ((of("c", 200, seed=2), "c"), (of("b", 40, seed=3), "b")):
        more = learned(two, batch, product)
        with torch.inference_mode():
            before, after = two(new), more(new)
        assert after.product is not None
        assert after.product.tolist() == [0] * 6
        assert torch.equal(before.score, after.score)
        assert torch.equal(before.anomaly_map, after.anomaly_map)


def test_more_pictures_leave_what_all_of_them_would(two: Trio) -> None:
    more = learned(two, of("b", 40, seed=3), "b")
    together = Batch(
        images=torch.cat([pictures(20, seed, colour=40) for seed in (1, 3)]), products=("b",) * 40
    )
    at_once = fitted_on(of("a", 120), together)
    assert more.product.codes.shape == at_once.product.codes.shape
    assert torch.allclose(more.product.centre, at_once.product.centre, atol=1e-4)
    for name in ("gaussian", "layout"):
        before, own, all_of_them = (getattr(m, name).whiten[1].norm() for m in (two, more, at_once))
        assert abs(own / all_of_them - 1) < 0.25 * abs(before / all_of_them - 1)
        assert getattr(more, name).sums[1, 0, 0] == 40
    assert float(more.memory.usual[0].row_sums[1, 0].sum()) == pytest.approx(40 * 16)
    new = pictures(40, 7, colour=40)
    with torch.inference_mode():
        own, all_of_them = more(new).score, at_once(new).score
        seen = two(new).score
    # It ranks new pictures as one of all at once does, and more alike than it did before.
    before, now = (float(torch.corrcoef(torch.stack([s, all_of_them]))[0, 1]) for s in (seen, own))
    assert now > max(before, 0.95)
    # What calibrates agrees with new pictures, as good as unseen.
    unseen = more.out_of_fold()
    assert unseen is not None
    assert abs(float(unseen.score.median() - own.median())) < 0.5


def test_the_unit_of_the_score_is_what_the_new_pictures_leave() -> None:
    """Those of before had less to be measured by, and scored higher."""
    two = fitted_on(of("a", 120), of("b", 40, seed=1), teacher=build_teacher())
    own = learned(two, of("b", 40, 60, seed=3), "b").out_of_fold()
    assert own is not None
    for scores in own.branches.values():
        assert abs(float(scores.median())) < 0.1
        assert float(scores.std()) == pytest.approx(1.0, abs=0.05)


def test_what_was_odd_is_known_afterwards(two: Trio) -> None:
    """A good variant of a product: its bar is shorter."""

    def variant(count: int, seed: int) -> Tensor:
        images = pictures(count, seed, colour=40)
        images[:, :, 16:24, 8:16] = images[:, :, 40:48, 8:16]
        return images

    with torch.inference_mode():
        before = two(variant(6, 30)).score
    batch = Batch(images=variant(20, 20), products=("b",) * 20)
    more = learned(two, batch, "b")
    with torch.inference_mode():
        after, plain = more(variant(6, 30)).score, more(pictures(6, 31, colour=40)).score
    limit = max(more.out_of_fold().score)  # type: ignore[union-attr]
    assert float(before.min()) > 3 * float(limit)
    assert float(after.max()) < float(limit) + 1
    assert float(plain.max()) < float(limit) + 1


def test_a_full_memory_stays_within_its_rows() -> None:
    method = fitted_on(of("a", 120), of("b", 40, seed=1), teacher=build_teacher(), rows=60)
    more = learned(method, of("b", 40, seed=3), "b")
    assert more.memory.banks[0].columns.shape == (2, 176, 60)
    old, new = method.memory.banks[0].rows_of(1), more.memory.banks[0].rows_of(1)
    kept = (torch.cdist(new, old).amin(1) < 1e-3).sum()
    assert 0 < int(kept) < 60
    # The patches of a row that went are now another's.
    assert float(more.memory.usual[0].row_sums[1, 0].sum()) == pytest.approx(40 * 16)
    assert torch.equal(more.memory.banks[0].rows_of(0), method.memory.banks[0].rows_of(0))


def test_kinds_of_an_only_product_stay_its_kinds_beside_another() -> None:
    kinds = Batch(images=torch.cat([pictures(12), pictures(12, 1, colour=40)]))
    method = fitted_on(kinds)
    method.products = ("a",)
    both = learned(method, of("c", 200, seed=2), "c")
    assert both.product.shows.tolist() == [0, 0, 1]
    seen = torch.cat([pictures(2, 8, colour=colour) for colour in (120, 40, 200)])
    with torch.inference_mode():
        product = both(seen).product
    assert product is not None
    assert product.tolist() == [0, 0, 0, 0, 1, 1]
    again = learned(both, of("a", 40, seed=9), "a")
    assert sorted(again.gaussian.sums[:, 0, 0].tolist()) == [12, 20, 32]


def test_pictures_that_show_another_product_are_said(two: Trio) -> None:
    assert learned(two, of("b", 40, seed=3), "b").notes() == []
    wrong = learned(two, of("b", 120, seed=3), "b").notes()
    assert [note for note in wrong if "20 of the 20 images of b look like a" in note]


@pytest.mark.parametrize(("before", "count"), [(2, 3), (2, 20), (20, 1), (20, 2)])
def test_few_pictures_before_or_after_give_finite_scores(before: int, count: int) -> None:
    method = fitted_on(of("a", 120), of("b", 40, before, seed=1))
    more = learned(method, of("b", 40, count, seed=3), "b")
    own = more.out_of_fold()
    assert own is not None
    assert len(own.score) == count
    with torch.inference_mode():
        new = more(pictures(8, 5, colour=40)).score
    assert bool(torch.cat([new, own.score]).isfinite().all())
    assert float(new.median()) < 10 + float(own.score.max())


def test_pictures_are_added_again_and_again(two: Trio) -> None:
    more = two
    for seed in range(3, 6):
        more = learned(more, of("b", 40, 10, seed=seed), "b")
    assert more.gaussian.sums[1, 0, 0] == 50
    with torch.inference_mode():
        assert float(more(pictures(20, 40, colour=40)).score.median()) < 2


def test_an_earlier_file_cannot_be_added_to(two: Trio) -> None:
    state = two.state_dict()
    later = ("product.codes", "product.code_of", "product.shows", "sums", "shrinkage")
    old = copy.deepcopy(two)
    missing = old.load_state_dict({k: v for k, v in state.items() if not k.endswith(later)})
    assert not missing.missing_keys
    with torch.inference_mode():
        assert torch.equal(old(pictures(3, 5)).score, two(pictures(3, 5)).score)
    for product in ("b", "c"):
        with pytest.raises(ConfigError, match="fitted by an earlier version"):
            learned(old, of(product, 40, seed=3), product)


def test_sums_of_old_and_new_are_the_sums_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    distances = torch.rand(12, 24, generator=generator) + 9
    places, part = torch.randint(5, (12, 24), generator=generator), torch.arange(12)
    for measure in (
        lambda some, known=None: by_place(distances[some], part[some], known=known),
        lambda some, known=None: by_row(distances[some], places[some], 5, part[some], known),
    ):
        whole, apart = measure(slice(0, 12))
        first, _ = measure(slice(0, 7))
        both, others = measure(slice(7, 12), first.sums)
        for one, other in zip(both, whole, strict=True):
            assert torch.allclose(one, other, rtol=1e-3)
        assert torch.allclose(others, apart[7:], atol=0.02)


def test_moved_sums_are_those_of_larger_values() -> None:
    values = torch.tensor([1.0, 4.0, 2.5]).double()
    sums = torch.stack([torch.ones(3), values, values.square()]).sum(1)
    more = torch.stack([torch.ones(3), values + 2, (values + 2).square()]).sum(1)
    assert torch.allclose(moved(sums, 2.0), more.double())


def test_a_covariance_is_told_from_what_whitens_it() -> None:
    features = torch.randn(12, 5, 4, generator=torch.Generator().manual_seed(3))
    features[:, 1] += features[:, 0]
    gaussian = PlaceGaussian(5, 4)
    gaussian.fit([features], [torch.arange(12)])
    assert float(gaussian.shrinkage) > 0.01
    told, known = _Spread.left_by(gaussian, 0, few=False), _Spread.of(features, few=False)
    assert torch.allclose(told.covariance, known.covariance, rtol=1e-3, atol=1e-4)
    assert told.fourth == pytest.approx(known.fourth, rel=1e-3)
    covariance, share = ledoit_wolf(residuals(features, False).numpy(), assume_centered=True)
    own, ours = known.shrunk()
    assert ours == pytest.approx(share, rel=1e-4)
    assert torch.allclose(own, torch.from_numpy(covariance).double(), atol=1e-4)


def test_covariance_and_means_of_old_and_new_are_those_of_all() -> None:
    features = torch.randn(20, 5, 4, generator=torch.Generator().manual_seed(3))
    features[12:] += 0.5  # the means differ
    part = torch.arange(20)
    whole, first = PlaceGaussian(5, 4), PlaceGaussian(5, 4)
    whole.fit([features], [part])
    first.fit([features[:12]], [part[:12]])
    told = _Spread.left_by(first, 0, few=False).and_of(features[12:], part[12:])
    known = _Spread.of(features, few=False)
    assert torch.allclose(told.covariance, known.covariance, rtol=1e-3, atol=1e-4)
    assert told.fourth == pytest.approx(known.fourth, rel=0.2)  # about means of their own
    widen(first, 0, features[12:], part[12:] - 12, few=False)
    assert torch.allclose(first.mean, whole.mean, atol=1e-5)
    one, other = ((g.whiten[0].T @ g.whiten[0]).inverse() for g in (first, whole))
    assert torch.allclose(one, other, rtol=0.05, atol=0.05)
    assert first.sums[0, 0].tolist() == [20.0] * 4
    assert len(part[:12].unique()) >= FOLDS
