"""A trio over joined teachers: each network has memories of its own, and all must find it odd."""

from __future__ import annotations

import pytest
import torch
from small_teachers import small_teacher
from test_trio import fitted, pictures
from test_trio_learning import fitted_on, learned, of
from torch import Tensor

from blemish.methods.base import Batch
from blemish.methods.trio.model import Trio
from blemish.teachers.joined import JoinedTeacher
from blemish.teachers.teacher import Teacher


def both() -> JoinedTeacher:
    return JoinedTeacher([small_teacher("tiny-three"), Bright()])


class Bright(Teacher):
    """Sees how bright a place is, and nothing else; at the strides of the other."""

    def __init__(self) -> None:
        small = small_teacher("tiny-three")
        super().__init__(
            "bright",
            torch.nn.Identity(),
            channels=(1, 1, 1),
            strides=small.strides,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            pretrained=True,
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        grey = ((images.float() - self.mean) / self.std).mean(1, keepdim=True)
        return [torch.nn.functional.avg_pool2d(grey, stride) for stride in self.strides]


@pytest.fixture(scope="module")
def method() -> Trio:
    return fitted(Batch(images=pictures(20)), teacher=both())


def test_each_network_has_its_memories(method: Trio) -> None:
    widths = [bank.columns.shape[1] for bank, _ in method.memory.pairs()]
    assert widths == [36, 3, 36, 3]


def test_odd_is_what_both_networks_find_odd(method: Trio) -> None:
    alone = fitted(Batch(images=pictures(20)), teacher=small_teacher("tiny-three"))
    new, group = pictures(6, 7), torch.zeros(6, dtype=torch.long)
    # Of another colour and as bright as before: only one of the two sees that.
    new[:, 0, 16:32, 16:32] += 60
    new[:, 1, 16:32, 16:32] -= 60
    with torch.inference_mode():
        seen = [
            m.memory(m.standardised(m.features(m.teacher(new)), group), group).odd
            for m in (alone, method)
        ]
    assert float(seen[0].amax(1).median()) > 2 * float(seen[1].amax(1).median())


def test_it_learns_a_product_as_if_all_had_been_fitted_at_once() -> None:
    two = fitted_on(of("a", 120), teacher=both())
    more = learned(two, of("c", 200, seed=2), "c")
    at_once = fitted_on(of("a", 120), of("c", 200, seed=2), teacher=both())
    for name, tensor in at_once.state_dict().items():
        assert torch.equal(tensor, more.state_dict()[name]), name
