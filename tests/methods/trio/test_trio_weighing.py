"""Weights of the trio: what a few labelled defects change, and when they change nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from test_trio import fitted, pictures, strangers
from torch import Tensor

from blemish.methods.base import Batch
from blemish.methods.trio.model import Trio
from blemish.methods.trio.weighing import (
    Choice,
    Good,
    Measures,
    Weights,
    choose,
    sentence,
    shifted,
    usual_share,
)
from blemish.nn.joint_score import soft_maximum

USUAL = 0.4
HALF = torch.tensor([0.5])


def some(count: int, *, memory: float = 0, place: float = 0, layout: float = 0) -> Measures:
    """Pictures of four patches, of which the first is so odd, and every measure a little noisy."""
    generator = torch.Generator().manual_seed(count)
    noise = torch.randn(2, count, 4, generator=generator)
    noise[0, :, 0] += memory
    noise[1, :, 0] += place
    layouts = torch.randn(count, generator=generator) + layout
    return Measures(noise[0], noise[1], layouts, noise[0])


def good(count: int = 60, measures: Measures | None = None) -> Good:
    own = measures or some(count)
    return Good(own, torch.arange(count), torch.arange(count), own)


def chosen(defects: Measures, among: Good | None = None) -> Choice:
    return choose([among or good()], [defects], USUAL, HALF)


def kept(choice: Choice) -> bool:
    return (choice.odds, choice.factor) == (1.0, 1.0)


def test_the_measure_that_sees_the_defects_counts_for_more() -> None:
    by_layout = chosen(some(5, layout=5))
    assert by_layout.factor > 1
    assert by_layout.after <= by_layout.left_out < by_layout.before
    by_memory = chosen(some(6, memory=4))
    assert by_memory.odds > 1
    by_place = chosen(some(6, place=4))
    assert by_place.odds < 1


def test_weights_go_no_farther_than_they_must() -> None:
    choice = chosen(some(3, layout=5))
    assert (choice.odds, choice.factor) == (1.0, 2.0)
    assert choice.after == pytest.approx(1 / 61)  # beyond every good picture, as by larger steps


def test_no_measure_is_ever_silenced() -> None:
    for defects in (some(50, layout=5), some(50, memory=4), some(50, place=4)):
        choice = chosen(defects)
        assert not kept(choice)
        assert 0.099 <= float(shifted(HALF, choice.odds)) <= 0.901
        assert 0.5 <= choice.factor <= 4


def test_without_clear_evidence_nothing_changes() -> None:
    assert kept(chosen(some(8, memory=9, place=9, layout=9)))  # found as it is
    assert kept(chosen(some(2, layout=5)))  # too few
    assert not kept(chosen(some(3, layout=5)))


def test_defects_that_no_measure_sees_seldom_change_anything() -> None:
    generator = torch.Generator().manual_seed(0)
    changed = 0
    for _ in range(60):
        noise = torch.randn(86, 17, generator=generator)
        own, defects = (
            Measures(p[:, :8], p[:, 8:16], p[:, 16], p[:, :8]) for p in noise.split([80, 6])
        )
        changed += not kept(chosen(defects, good(80, own)))
    assert changed <= 12


def test_one_defect_alone_decides_nothing() -> None:
    like_others, odd = some(4, memory=9, place=9), some(1, layout=5)
    together = Measures(*map(torch.cat, zip(like_others, odd, strict=True)))
    assert kept(chosen(together))


def test_p_values_are_those_of_good_pictures_in_their_own_unit() -> None:
    own, defects = good(20), some(3, layout=3)
    raw = own.measures.branches(0.5)  # (n, 2)
    apart = []
    for n in range(20):
        others = torch.cat([raw[:n], raw[n + 1 :]])
        apart.append((raw[n] - others.median(0).values) / others.std(0, correction=0))
    usual = [math.log(math.exp(a) + math.exp(USUAL * b)) for a, b in torch.stack(apart).tolist()]
    units = (defects.branches(0.5) - raw.median(0).values) / raw.std(0, correction=0)
    product = 1.0
    for a, b in units.tolist():
        score = math.log(math.exp(a) + math.exp(USUAL * b))
        product *= (1 + sum(other >= score for other in usual)) / 21
    assert chosen(defects, own).before == pytest.approx(product ** (1 / 3))


def test_the_weights_of_a_product_are_those_of_all_its_kinds_of_picture() -> None:
    kinds = [good(30), good(31)]
    none = Measures(*(values[:0] for values in some(1)))
    choice = choose(kinds, [some(5, layout=5), none], USUAL, torch.tensor([0.6, 0.5]))
    assert choice.factor > 1
    other_way = choose(kinds[::-1], [none, some(5, layout=5)], USUAL, torch.tensor([0.5, 0.6]))
    assert choice.before == pytest.approx(other_way.before)


@pytest.fixture(scope="module")
def line() -> Trio:
    """Two products, a and b, which is darker."""
    names = ("a",) * 20 + ("b",) * 20
    return fitted(Batch(images=torch.cat([pictures(20), pictures(20, 1, 40)]), products=names))


def swapped(count: int) -> Tensor:
    """The bar of product a in another quarter."""
    return pictures(count, 7).flip(3)


def weighed(method: Trio, images: Tensor, products: tuple[str, ...] | None = None) -> Trio:
    method = copy.deepcopy(method)
    with torch.inference_mode():
        method.weigh(
            [
                Batch(images=images[:2], products=products and products[:2]),
                Batch(images=images[2:], products=products and products[2:]),
            ]
        )
    return method


def force(method: Trio, memory: list[float], layout: list[float]) -> Trio:
    method = copy.deepcopy(method)
    method.weights.memory, method.weights.layout = torch.tensor(memory), torch.tensor(layout)
    with torch.inference_mode():
        method._take_unit()
    return method


def test_weights_decide_map_score_and_what_good_pictures_score(line: Trio) -> None:
    method = force(line, [0.9, usual_share(20)], [1.6, USUAL])
    new = torch.cat([pictures(4, 5), pictures(4, 6, 40)])
    with torch.inference_mode():
        before, after = line(new), method(new)
    assert not torch.allclose(before.score[:4], after.score[:4])
    assert not torch.allclose(before.anomaly_map[:4], after.anomaly_map[:4])
    assert torch.equal(before.score[4:], after.score[4:])  # of the other product
    assert torch.equal(before.anomaly_map[4:], after.anomaly_map[4:])
    branches = torch.stack(list(after.branches.values()), 1)
    assert torch.allclose(after.score[:4], soft_maximum(branches[:4], 1.6))
    was, own = line.out_of_fold(), method.out_of_fold()
    assert was is not None
    assert own is not None
    assert own.image.tolist() == was.image.tolist() == list(range(40))
    assert not torch.allclose(own.score[:20], was.score[:20])
    assert torch.equal(own.score[20:], was.score[20:])
    unit = torch.stack(list(own.branches.values()), 1)[:20]
    assert torch.allclose(own.score[:20], soft_maximum(unit, 1.6))
    assert unit.median(0).values.abs().max() < 0.2  # in deviations of good pictures, as ever


def test_weights_are_loaded(line: Trio) -> None:
    method = force(line, [0.9, 0.25], [1.6, 0.2])
    later = Trio(line.config, line.teacher, (64, 64)).eval()
    later.load_state_dict(method.state_dict())
    assert later.weights.layout.tolist() == method.weights.layout.tolist()


def test_defects_weigh_for_the_product_that_they_show(
    line: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "blemish.methods.trio.weighing.choose",
        lambda own, defects, layout, usual: Choice(3.0, 2.0, 0.2, 0.05, 0.1),
    )
    method = weighed(line, swapped(5))
    assert [note.partition(":")[0] for note in method.notes()] == ["a"]
    assert "5 labelled defects" in method.notes()[0]
    odds = usual_share(20) / (1 - usual_share(20))
    share = 3 * odds / (3 * odds + 1)
    assert method.weights.memory.tolist() == pytest.approx([share, usual_share(20)])
    assert method.weights.layout.tolist() == pytest.approx([0.8, USUAL])
    own, as_forced = (
        method.out_of_fold(),
        force(line, [share, usual_share(20)], [0.8, USUAL]).out_of_fold(),
    )
    assert own is not None
    assert as_forced is not None
    assert torch.allclose(own.score, as_forced.score)


def test_a_defect_of_another_product_or_of_none_weighs_nothing(line: Trio) -> None:
    method = weighed(line, torch.cat([strangers(2), swapped(3)]), ("", "", "a", "b", "a"))
    assert "2 labelled defects cannot weigh the measures (3 can)" in method.notes()[0]
    assert "3 labelled defects show, to the model, another product" in method.notes()[1]
    only = weighed(line, strangers(3))
    assert len(only.notes()) == 1
    assert torch.equal(only.weights.memory, line.weights.memory)


def test_a_product_that_is_learned_later_has_the_usual_weights(line: Trio) -> None:
    method = force(line, [0.9, 0.25], [1.6, 0.2])
    with torch.inference_mode():
        method.learn([Batch(images=pictures(12, 8, 200))], "c")
        method.learn([Batch(images=pictures(6, 9))], "a")
    assert method.weights.memory.tolist() == pytest.approx([0.9, 0.25, usual_share(12)])
    assert method.weights.layout.tolist() == pytest.approx([1.6, 0.2, USUAL])
    own = method.out_of_fold()
    assert own is not None
    unit = torch.stack(list(own.branches.values()), 1)
    assert torch.allclose(own.score, soft_maximum(unit, 1.6))


def test_the_memory_s_share_follows_the_pictures_that_are_learned(line: Trio) -> None:
    method = copy.deepcopy(line)
    with torch.inference_mode():
        method.learn([Batch(images=pictures(6, 9))], "a")
    assert method.weights.memory.tolist() == pytest.approx([usual_share(26), usual_share(20)])


def test_what_is_said_is_what_was_done() -> None:
    said = sentence("tray", 5, Choice(3.0, 2.0, 0.2, 0.05, 0.1), 0.4, 0.5)
    assert said == (
        "tray: 5 labelled defects: the layout counts 0.8 instead of 0.4, the memory 75% of a "
        "patch's oddness instead of 50%. They lie beyond 95% of good images instead of 80% (each "
        "left out of the choice: 90%). With 5 that says little of other kinds."
    )
    kept = sentence("", 4, Choice(1.0, 1.0, 0.2, 0.2, 0.3), 0.4, 0.5)
    assert kept.startswith("Training: 4 labelled defects leave the weights as they are. They lie")
    assert "1 labelled defect cannot" in sentence("x", 1, Choice(1.0, 1.0, 0.2, 0.2, 0.2), 0.4, 0.5)


def test_until_it_is_fitted_there_is_one_group() -> None:
    weights = Weights(USUAL)
    weights.reset([1, 30, 10**9])
    assert weights.memory.tolist() == pytest.approx([0.887, 0.7, 0.5], abs=1e-3)
    score = weights.score(torch.tensor([[2.0, 5.0]]), torch.tensor([2]))
    assert float(score) == pytest.approx(math.log(math.exp(2) + math.exp(2)), abs=1e-6)
