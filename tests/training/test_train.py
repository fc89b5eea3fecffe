from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError
from blemish.methods.base import Batch, Method, MethodOutput, ParameterGroup, Stage, StepDecay
from blemish.methods.settings import TrainedConfig
from blemish.teachers.teacher import build_teacher
from blemish.training.options import TrainingOptions


class Slope(Method):
    """The loss is the weight itself: Adam then moves it by exactly the learning rate."""

    def __init__(self, *, steps: int, decay_at: float, slope: float = 1.0) -> None:
        teacher = build_teacher(weights="random")
        super().__init__(TrainedConfig(steps=steps, batch_size=2), teacher, (64, 64))
        self.free, self.clipped = nn.Linear(1, 1, bias=False), nn.Linear(3, 1, bias=False)
        self.decay_at, self.slope = decay_at, slope
        self.positions: list[float] = []
        self.gradients: list[float] = []

    def stages(self) -> list[Stage]:
        groups = (
            ParameterGroup((self.free,), 0.1),
            ParameterGroup((self.clipped,), 0.1, clip_norm=0.5),
        )
        return [Stage("slope", groups, self.config.steps, 2, schedule=StepDecay(self.decay_at))]

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        return {"total": self.slope * (self.free.weight.sum() + self.clipped.weight.sum())}

    def after_step(self, stage: Stage, step: int) -> None:
        self.positions.append(self.free.weight.item())
        assert self.free.weight.grad is not None
        assert self.clipped.weight.grad is not None
        assert self.free.weight.grad.item() == pytest.approx(self.slope)
        self.gradients.append(float(self.clipped.weight.grad.norm()))

    def forward(self, images: Tensor) -> MethodOutput:
        raise AssertionError("not used")


@pytest.mark.parametrize(("decay_at", "slow_from"), [(0.5, 5), (0.75, 8), (1.0, 10)])
def test_the_rate_falls_to_a_tenth_where_the_stage_says(
    decay_at: float, slow_from: int, run_training: Any, tmp_path: Path
) -> None:
    method = Slope(steps=10, decay_at=decay_at)
    start = method.free.weight.item()
    run_training(method, tmp_path / "run")
    moves = [a - b for a, b in zip([start, *method.positions], method.positions, strict=False)]
    expected = [0.1 if step < slow_from else 0.01 for step in range(10)]
    assert moves == pytest.approx(expected, rel=1e-3)


def test_a_groups_gradient_is_clipped_and_no_other(run_training: Any, tmp_path: Path) -> None:
    method = Slope(steps=3, decay_at=1.0, slope=100.0)
    run_training(method, tmp_path / "run")
    assert method.gradients == pytest.approx([0.5] * 3, rel=1e-3)


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(
    slope: float, run_training: Any, tmp_path: Path
) -> None:
    class Breaks(Slope):
        def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
            broken = len(self.positions) >= 3
            return {"total": self.free.weight.sum() * (slope if broken else 1.0)}

        def after_step(self, stage: Stage, step: int) -> None:
            self.positions.append(0.0)

    with pytest.raises(ConfigError, match=r"broke down at step [45].*learning rate"):
        run_training(Breaks(steps=1000, decay_at=1.0), tmp_path / "run", checkpoint_seconds=0)
    saved = torch.load(tmp_path / "run" / "stage0.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert saved["state_dict"]["method.free.weight"].isfinite().all()


def test_both_stages_run_and_then_the_statistics(
    two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    method = two_stages()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    report = run_training(method, tmp_path / "run")
    assert [(name, len(losses)) for name, losses in report.losses.items()] == [
        ("first", 10),
        ("second", 10),
    ]
    assert [step for step, _ in report.losses["first"]] == list(range(1, 11))
    assert all(set(parts) == {"total", "error"} for _, parts in report.losses["first"])
    assert not method.training
    assert float(method.seen) == 8
    moved = {
        key for key, value in method.state_dict().items() if not torch.equal(value, before[key])
    }
    assert {"first.0.weight", "second.weight", "first.1.running_mean", "average"} <= moved
    assert not any(key.startswith("teacher.") for key in moved)
    assert report.cached
    assert not report.failures


def test_training_leaves_the_callers_random_numbers_alone(
    run_training: Any, two_stages: Any, tmp_path: Path
) -> None:
    """The same seed gives the same weights, whatever was drawn before."""
    first, second = two_stages(), two_stages()
    torch.manual_seed(11)
    run_training(first, tmp_path / "a")
    torch.rand(5)
    run_training(second, tmp_path / "b")
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("budget", [8.0, 0.0], ids=["cached", "images"])
def test_an_unreadable_image_is_left_out_and_reported(
    budget: float, two_stages: Any, run_training: Any, pictures: list[Sample], tmp_path: Path
) -> None:
    whole = pictures[2].path.read_bytes()
    pictures[2].path.write_bytes(whole[: len(whole) // 2])
    pictures[7].path.write_text("no image")
    method = two_stages(steps=6)
    report = run_training(method, tmp_path / "run", cache_budget_gib=budget)
    assert report.cached is (budget > 0)
    assert [path for path, _ in report.failures] == [pictures[2].path, pictures[7].path]
    assert all(str(path) in reason for path, reason in report.failures)
    assert float(method.seen) == 6
    given = method.batches[0]
    assert (given.features is not None) is (budget > 0)
    assert (given.images is not None) is (budget == 0)
    assert given.labels is not None
    assert given.labels.tolist() == [0, 0, 0, 0]


def test_labels_follow_their_images(
    two_stages: Any, run_training: Any, pictures: list[Sample], tmp_path: Path
) -> None:
    pictures[0].path.write_text("no image")  # shifts the rows of the cache
    labelled = [replace(s, label=int(row in (1, 5))) for row, s in enumerate(pictures)]
    for number, budget in enumerate((8.0, 0.0)):
        method = two_stages(steps=4)
        run_training(method, tmp_path / f"{number}", samples=labelled, cache_budget_gib=budget)
        anomalies = set()
        for batch in method.batches:
            deepest = method.levels(batch)[-1].mean((1, 2, 3))
            anomalies |= {
                round(float(value), 3)
                for value, label in zip(deepest, batch.labels, strict=True)
                if label
            }
        assert len(anomalies) == 2


def test_images_train_as_cached_features_do(
    two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    cached = run_training(two_stages(), tmp_path / "a")
    imaged = run_training(two_stages(needs_images=True), tmp_path / "b")
    assert (cached.cached, imaged.cached) == (True, False)
    one, other = (
        [parts["total"] for _, parts in report.losses["first"]] for report in (cached, imaged)
    )
    # Half precision in the cache is all that differs.
    assert one == pytest.approx(other, rel=0.02)
    assert one != other


def test_a_full_disk_is_foreseen(
    two_stages: Any, run_training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blemish.training.batches._free_bytes", lambda folder: 100_000)
    report = run_training(two_stages(steps=2), tmp_path / "run")
    assert not report.cached
    assert not (tmp_path / "run" / "features").exists()


def test_too_few_readable_images_are_refused_with_the_reasons(
    two_stages: Any, run_training: Any, pictures: list[Sample], tmp_path: Path
) -> None:
    for sample in pictures[:7]:
        sample.path.write_text("no image")
    with pytest.raises(DataError, match="1 readable training images") as caught:
        run_training(two_stages(), tmp_path / "run")
    assert str(pictures[0].path) in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed"),
        ({"device": "gpu"}, "device 'gpu'.* Did you mean 'cpu'"),
        ({"precision": "16"}, "Unknown precision"),
        ({"cache_budget_gib": -1.0}, "budget is -1"),
        ({"cache_budget_gib": float("nan")}, "budget is nan"),
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainingOptions(work_dir=Path("x"), **wrong)


def test_a_gpu_that_is_not_there_is_said_before_any_work(
    two_stages: Any, run_training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blemish.data.images.preprocess import Preprocessing
    from blemish.training.train import train

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = TrainingOptions(work_dir=tmp_path / "run", device="cuda")
    with pytest.raises(ConfigError, match="finds no GPU"):
        train(two_stages(), [], Preprocessing(64, 64), options)
    assert not (tmp_path / "run").exists()


class HeldOut(Slope):
    """Notes which images its stage and its closed forms get to see."""

    held_out_share = 0.25

    def __init__(self) -> None:
        super().__init__(steps=12, decay_at=1.0)
        self.seen: dict[str, set[float]] = {"stage": set(), "statistics": set(), "held": set()}

    def note(self, name: str, batch: Batch) -> None:
        self.seen[name] |= {float(level.double().sum()) for level in self.levels(batch)[0]}

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        self.note("stage", batch)
        return super().loss(batch, stage)

    def fit_statistics(self, batches: Any) -> None:
        for batch in batches:
            self.note("statistics", batch)

    def fit_held_out(self, batches: Any) -> None:
        for batch in batches:
            self.note("held", batch)


def test_held_out_images_are_new_to_the_stages(run_training: Any, tmp_path: Path) -> None:
    method = HeldOut()
    run_training(method, tmp_path / "run")
    assert method.seen["held"]
    assert not method.seen["held"] & method.seen["stage"]
    assert method.seen["statistics"] == method.seen["stage"]
