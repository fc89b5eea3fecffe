"""Two real processes with a share of a batch each: losses and gradients are those of one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from small_teachers import small_teacher
from torch import Tensor, nn

from blemish.methods.base import Batch, Method
from blemish.methods.registry import method_class
from blemish.nn.batch_share import BatchNorm2d, drawn, over_batch, previous_pictures, sharing
from blemish.training.step import clip_gradients, optimiser_of
from forked import ForkServer

#: Seeds of steps; BoRAD masks its views in the third and not in the first.
METHODS = [("rd", 0), ("hfr", 0), ("borad", 0), ("borad", 2), ("logicrd", 5), ("radar", 0)]
TRAINED = ["rd", "borad", "logicrd"]
METHODS_ROOM = Path(__file__).parents[1] / "methods"  # on the path of pytest, not of a fork
Found = dict[str, Tensor]


def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 255, (4, 3, 64, 64), generator=generator).float()


def gradients(name: str, seed: int, images: Tensor) -> Found:
    torch.manual_seed(0)
    build = method_class(name)
    method: Method = build(build.config_class(), small_teacher("tiny-three"), (64, 64)).train()
    torch.manual_seed(seed)
    losses = method.loss(Batch(images), method.stages()[0])
    losses["total"].backward()
    found = {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
    kept = {n: b for n, b in method.named_buffers() if "running" in n}
    return {"total": losses["total"].detach(), **found, **kept}


def trained(name: str, share: slice = slice(None)) -> Found:
    """Weights after some steps with twice the digits: what is left apart is no rounding."""
    torch.manual_seed(0)
    build = method_class(name)
    method: Method = build(build.config_class(), small_teacher("tiny-three"), (64, 64))
    method.double().train()
    stage = method.stages()[0].settled(100)
    optimiser = optimiser_of(stage)
    generator = torch.Generator().manual_seed(4)
    for step in range(8):
        levels = [
            torch.randn(4, width, *size, generator=generator, dtype=torch.float64)[share]
            for width, size in zip(method.teacher.channels, method.level_sizes, strict=True)
        ]
        torch.manual_seed(step)
        optimiser.zero_grad()
        method.loss(Batch(features=tuple(levels)), stage)["total"].backward()
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter.grad = over_batch(parameter.grad)
        clip_gradients(stage)
        optimiser.step()
        method.after_step(stage, step)
    return dict(method.state_dict())


@contextmanager
def all_digits() -> Iterator[None]:
    """What is made float32 for its digits stays float64."""
    before = Tensor.float
    Tensor.float = lambda self: self if self.is_floating_point() else before(self)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.float = before  # type: ignore[method-assign]


def normalised(norm: nn.BatchNorm2d, x: Tensor, along: Tensor) -> Found:
    x = x.clone().requires_grad_()
    y = norm.train()(x)
    (y * along).sum().backward()
    assert x.grad is not None
    return {"y": y.detach(), "gradient": x.grad, "var": norm.running_var, "mean": norm.running_mean}  # type: ignore[dict-item]


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, 2, 5, generator=generator) * 3 + 7, torch.randn(
        4, 3, 2, 5, generator=generator
    )


def one_of_two(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found: dict[str, Found] = {}
    with sharing(rank, 2):
        for name, seed in METHODS:
            own = gradients(name, seed, pictures()[rank::2])
            # What DDP does with gradients; running statistics are equal without.
            found[f"{name} {seed}"] = {
                key: v if "running" in key else over_batch(v) for key, v in own.items()
            }
        with all_digits():
            for name in TRAINED:
                found[f"trained {name}"] = trained(name, slice(rank, None, 2))
        x, along = (value[rank::2] for value in inputs())
        found["norm"] = normalised(BatchNorm2d(3), x, along)
        found["previous"] = {"x": previous_pictures(x)}
        torch.manual_seed(0)
        found["drawn"] = {"x": drawn(lambda n: torch.rand(2, n), 2, 1)}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> list[dict[str, Found]]:
    folder = tmp_path_factory.mktemp("shares")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (
        f"import sys; sys.path += {[str(Path(__file__).parent), str(METHODS_ROOM)]!r}\n"
        "from test_batch_share import one_of_two\n"
        "one_of_two({}, {}, {!r})\n"
        "sys.exit()\n"
    )
    started = [
        forks.start(before=program.format(rank, port, str(folder)), cwd=folder) for rank in range(2)
    ]
    for process in started:
        _, said = process.communicate(120)
        assert process.wait() == 0, said
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("name", "seed"), METHODS)
def test_a_step_of_two_is_that_of_one(name: str, seed: int, two: list[dict[str, Found]]) -> None:
    one = gradients(name, seed, pictures())
    for share in two:
        both = share[f"{name} {seed}"]
        assert both.keys() == one.keys()
        for key, value in one.items():
            apart = float((both[key] - value).norm())
            assert apart < 1e-4 * float(value.norm()) + 1e-7, key


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_of_two_is_that_of_one_but_for_rounding(
    name: str, two: list[dict[str, Found]]
) -> None:
    with all_digits():
        one = trained(name)
    for share in two:
        for key, value in share[f"trained {name}"].items():
            if value.is_floating_point():
                apart = float((value - one[key]).norm())
                assert apart <= 1e-6 * float(one[key].norm()) + 1e-9, key


def test_normalisation_over_two_is_torchs_over_one(two: list[dict[str, Found]]) -> None:
    one = normalised(nn.BatchNorm2d(3), *inputs())
    for rank, share in enumerate(two):
        for key, value in share["norm"].items():
            own = one[key][rank::2] if key in ("y", "gradient") else one[key]
            torch.testing.assert_close(value, own, rtol=1e-4, atol=1e-5)


def test_the_picture_before_is_with_the_other(two: list[dict[str, Found]]) -> None:
    whole = inputs()[0].roll(1, 0)
    assert all(torch.equal(share["previous"]["x"], whole[r::2]) for r, share in enumerate(two))


def test_random_numbers_are_those_of_one(two: list[dict[str, Found]]) -> None:
    torch.manual_seed(0)
    whole = torch.rand(2, 4)
    assert all(torch.equal(share["drawn"]["x"], whole[:, r::2]) for r, share in enumerate(two))


def test_alone_it_is_torchs_own_normalisation_to_the_last_bit() -> None:
    own, theirs = normalised(BatchNorm2d(3), *inputs()), normalised(nn.BatchNorm2d(3), *inputs())
    assert all(torch.equal(own[key], theirs[key]) for key in own)
