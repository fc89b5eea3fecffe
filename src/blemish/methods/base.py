"""Contract of a method: stages to train, their schedules, a loss, statistics, one forward pass."""

from __future__ import annotations

import contextlib
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from blemish.errors import ConfigError
from blemish.methods.settings import MethodConfig
from blemish.teachers.teacher import NoTeacher, Teacher

#: Learning-rate schedule: the share of its rate that a group uses at a step of a stage. Any
#: callable ``(step, steps) → factor`` is one, with ``step`` from 0 to ``steps`` − 1.
Schedule: TypeAlias = Callable[[int, int], float]


def constant(step: int, steps: int) -> float:
    """The rate as it is, to the end."""
    return 1.0


@dataclass(frozen=True)
class StepDecay:
    """The whole rate for a share ``at`` of the steps, ``factor`` of it for the rest.

    Example:
        >>> from blemish.methods.base import StepDecay
        >>> [StepDecay(0.5)(step, 4) for step in range(4)]
        [1.0, 1.0, 0.1, 0.1]
    """

    at: float = 0.8
    factor: float = 0.1

    def __call__(self, step: int, steps: int) -> float:
        return self.factor if step >= math.ceil(self.at * steps) else 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the whole rate at the first step down to ``last`` of it after the last.

    Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017; without
    restarts.
    """

    last: float = 0.0

    def __call__(self, step: int, steps: int) -> float:
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * step / steps)) / 2


@dataclass(frozen=True)
class WarmUp:
    """A linear rise over a share of the steps, then another schedule over what is left of them.

    Example:
        >>> from blemish.methods.base import Cosine, WarmUp
        >>> [round(WarmUp(0.5, then=Cosine())(step, 8), 2) for step in range(8)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """

    share: float = 0.1
    then: Schedule = constant

    def __call__(self, step: int, steps: int) -> float:
        warm = math.ceil(self.share * steps)
        return (step + 1) / warm if step < warm else self.then(step - warm, max(1, steps - warm))


class MethodOutput(NamedTuple):
    """Everything that decides the raw score.

    Attributes:
        anomaly_map: ``(N, 1, H, W)`` at the input size, raw, higher is worse.
        score: ``(N,)`` raw image score, higher is worse.
        branches: ``{name: (N,)}`` raw scores of the branches, empty where there is one only.
        departure: ``(N, 1, h, w)`` at any size, where a logical branch saw what departs, higher
            is more; ``None`` from methods without one.
        product: ``(N,)`` int64, place among :attr:`Method.products` of the product that the
            picture shows, −1 where it shows none of them; ``None`` from methods that do not
            recognise it.
        rival: ``(N,)`` int64, place of another product that the picture may as well show, −1 where
            it is clear; ``None`` from methods that do not tell.
    """

    anomaly_map: Tensor
    score: Tensor
    branches: dict[str, Tensor]
    departure: Tensor | None = None
    product: Tensor | None = None
    rival: Tensor | None = None


class OutOfFold(NamedTuple):
    """What good training images score when they are measured by the others alone.

    Attributes:
        image: ``(n,)`` position of each among the images that the statistics were fitted on.
        score, peak, map_low: ``(n,)`` raw score; largest value and median of the anomaly map.
        branches: ``{name: (n,)}`` raw scores of the branches.
        apart: ``(n,)`` raw score where the picture's own rows alone are taken out of what all have
            left, ``None`` where it is not known. No limits come from it: the hole where they were
            is not filled. It shows pictures that are odd in the same way.
    """

    image: Tensor
    score: Tensor
    peak: Tensor
    map_low: Tensor
    branches: dict[str, Tensor]
    apart: Tensor | None = None

    @classmethod
    def joined(cls, several: Sequence[OutOfFold]) -> OutOfFold:
        """Those of several groups of images as one, in the images' order."""
        order = torch.cat([one.image for one in several]).argsort()
        apart = [one.apart for one in several if one.apart is not None]

        def joined(parts: list[Tensor]) -> Tensor:
            whole = torch.cat(parts)
            return whole[order.to(whole.device)]

        return cls(
            joined([one.image for one in several]),
            joined([one.score for one in several]),
            joined([one.peak for one in several]),
            joined([one.map_low for one in several]),
            {name: joined([one.branches[name] for one in several]) for name in several[0].branches},
            joined(apart) if len(apart) == len(several) else None,
        )


@dataclass
class Batch:
    """What a training step sees: pixels, or the teacher's features computed before.

    Attributes:
        images: ``(N, 3, H, W)`` uint8, or ``None`` when features are given.
        features: The teacher's levels ``(N, C_l, H_l, W_l)``, or ``None``.
        labels: ``(N,)`` 0 good, 1 labelled anomaly; ``None`` when all are good.
        products: Name of each image's product, as far as the data set says; ``None``: all one.
        parts: What the images of one physical part have in common; ``None``: each shows its own.
        pictures: Number of the picture that each is a tile of, tiles of one picture one after the
            other; ``None``: each is a picture.
        coarse: Whether each is a coarse look at a whole picture beside its tiles; ``None``: none.
        pixels: Reads image ``n`` of the batch ``(3, H, W)`` uint8 again, for methods that look at
            some otherwise than as they are; ``None``: cannot be read again.
    """

    images: Tensor | None = None
    features: tuple[Tensor, ...] | None = None
    labels: Tensor | None = None
    products: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None
    pictures: tuple[int, ...] | None = None
    coarse: tuple[bool, ...] | None = None
    pixels: Callable[[int], Tensor] | None = None

    def changed(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with ``change`` of each of its tensors."""

        def of(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else change(tensor)

        features = self.features and tuple(map(change, self.features))
        return replace(self, images=of(self.images), features=features, labels=of(self.labels))


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share the optimiser's settings.

    Attributes:
        modules: The modules whose parameters are trained.
        learning_rate: Step size, before the stage's schedule.
        options: What else the optimiser is told for these parameters, such as Adam's ``betas``.
        clip_norm: Largest gradient norm of this group, ``None`` for no clipping.
    """

    modules: tuple[nn.Module, ...]
    learning_rate: float
    options: Mapping[str, Any] = field(default_factory=dict)
    clip_norm: float | None = None

    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters of the group, each once."""
        found = {id(p): p for m in self.modules for p in m.parameters() if p.requires_grad}
        return list(found.values())


@dataclass(frozen=True)
class Stage:
    """One training stage; most systems have one.

    Attributes:
        name: Shown in progress and logs.
        groups: What is trained and how.
        steps: Optimiser steps, or ``None`` where ``epochs`` says how long.
        batch_size: Images per step.
        epochs: Length in passes over the training images, instead of in steps.
        steps_within: Fewest and most steps that the epochs may come to, ``None`` for any.
        optimizer: A class of ``torch.optim``, or whatever else makes an optimiser of torch's list
            of parameter groups: ``functools.partial(torch.optim.SGD, momentum=0.9)``.
        schedule: Factor of the learning rates at each step, see :mod:`blemish.methods.base`.
        needs_images: True when the stage cannot work on cached teacher features.
        anomaly_share: Labelled anomalies that join each batch of good images, where there are any,
            relative to its size (at least one); 0 = they come among the good ones, as often.

    Raises:
        ValueError: Neither steps nor epochs, or both.
    """

    name: str
    groups: tuple[ParameterGroup, ...]
    steps: int | None = None
    batch_size: int = 16
    epochs: float | None = None
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] = torch.optim.Adam
    schedule: Schedule = constant
    needs_images: bool = False
    anomaly_share: float = 0.0
    steps_within: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"stage {self.name!r} is as long as its steps or its epochs say")

    @property
    def total_steps(self) -> int:
        """The stage's length, once :meth:`settled`."""
        if self.steps is None:
            raise ValueError("a length in epochs follows from the number of images: settle it")
        return self.steps

    def settled(self, images: int) -> Stage:
        """The same stage with its length in steps, for a number of training images."""
        if self.epochs is None:
            return self
        fewest, most = self.steps_within or (1, sys.maxsize)
        steps = math.ceil(self.epochs * images / self.batch_size)
        return replace(self, steps=min(max(steps, fewest), most), epochs=None)


class Method(nn.Module, ABC):
    """Base class of the systems: a teacher, and what is learned on top of it.

    Args:
        config: The system's frozen settings.
        teacher: Frozen backbone.
        input_size: ``(H, W)`` of the preprocessed images, multiples of 32.
    """

    config_class: ClassVar[type[MethodConfig]] = MethodConfig
    #: Names of the entries in :attr:`MethodOutput.branches`.
    branch_names: ClassVar[tuple[str, ...]] = ()
    #: False for a method that works on the pixels alone; its model file then holds no teacher.
    uses_teacher: ClassVar[bool] = True
    #: True for a method that learns from labelled anomalies too, where there are any.
    uses_labelled_anomalies: ClassVar[bool] = False
    #: Share of the good training images that no stage sees, for :meth:`fit_held_out`.
    held_out_share: ClassVar[float] = 0.0
    #: So many of them at least.
    fewest_held_out: ClassVar[int] = 1
    #: True for a method whose :meth:`out_of_fold` scores calibrate, so that none is held out.
    cross_fits: ClassVar[bool] = False
    #: True for a method that :meth:`learn` adds good images to once it is fitted.
    learns: ClassVar[bool] = False
    #: True for a method whose :meth:`loss` does not compare the pictures of a batch, and draws
    #: through :mod:`blemish.nn.batch_share`: several processes train it as one does.
    shares_batches: ClassVar[bool] = False
    #: Prefixes of state that training needs and prediction does not; left out of the model file.
    training_only: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: MethodConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        super().__init__()
        if self.uses_teacher and teacher.name == "none":
            raise ConfigError(
                f"{type(self).__name__} compares the features of a teacher, and 'none' was named. "
                "Name one, such as efficientnet_lite0."
            )
        self.config = config
        self.teacher = teacher if self.uses_teacher else NoTeacher()
        self.input_size = input_size
        #: Names of the products it was trained on, in the order of :attr:`MethodOutput.product`.
        self.products: tuple[str, ...] = ()
        #: ``(H_l, W_l)`` of the teacher's levels; a size it does not take is refused here.
        self.level_sizes = self.teacher.level_sizes(input_size)

    @property
    def recognises(self) -> bool:
        """Whether the output says which of :attr:`products` a picture shows."""
        return False

    @property
    def uses_cached_features(self) -> bool:
        """Whether the teacher's features of the input, kept from one pass, are all it needs."""
        return self.uses_teacher and not any(stage.needs_images for stage in self.stages())

    @property
    def input_sizes(self) -> list[tuple[int, int]]:
        """``(H, W)`` of each look that the teacher takes at a picture."""
        return [size for _, size in self.config.passes(self.teacher.name, self.input_size)]

    def most_copies(self, good: int) -> int:
        """How many changed copies of so many good pictures of a product a fit may look at too."""
        return 0

    def prepare(self, batches: Iterable[Batch]) -> None:
        """Fit what must be known before the first step, on the good training images."""

    @abstractmethod
    def stages(self) -> list[Stage]:
        """What is trained, in order."""

    @abstractmethod
    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        """Scalar losses of one step: ``total`` and its parts."""

    def after_step(self, stage: Stage, step: int) -> None:
        """Called after optimiser step ``step`` (from 0), for moving averages and the like."""

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        """Fit the closed-form parts on the good training images, after the stages."""

    def weigh(self, batches: Iterable[Batch]) -> None:
        """Take what labelled anomalies say of the closed-form parts, once these are fitted."""

    def out_of_fold(self) -> OutOfFold | None:
        """What the images of :meth:`fit_statistics` score without having had a part in it."""
        return None

    def fit_held_out(self, batches: Iterable[Batch]) -> None:
        """Fit, last of all, what must be known from good images that no stage has trained on.

        They are a share :attr:`held_out_share` of the training images; the ones that calibrate
        the verdicts are never among them, for those must be new to everything that was fitted.
        """

    def learn(self, batches: Iterable[Batch], product: str) -> None:
        """Add good images of one product, known or new, without those it was fitted on.

        ``batches`` can be gone through again and again. What is known of other products stays as it
        is. :attr:`products`, :meth:`notes` and
        :meth:`out_of_fold`, which is then of these images, speak of the outcome.

        Raises:
            ConfigError: The file it was read from does not hold what this needs.
        """
        raise NotImplementedError(f"{type(self).__name__} does not learn on")

    @abstractmethod
    def forward(self, images: Tensor) -> MethodOutput:
        """Anomaly map and score of images ``(N, 3, H, W)``, uint8 or float, 0..255."""

    def notes(self) -> list[str]:
        """What the user should know of the trained method, one sentence each."""
        return []

    def levels(self, batch: Batch) -> tuple[Tensor, ...]:
        """The teacher's features of a batch: the cached ones, or computed now."""
        if batch.features is not None:
            return batch.features
        if batch.images is None:
            raise ValueError("a batch holds images or features")
        return tuple(self.teacher(batch.images))

    def inference_state(self) -> dict[str, Tensor]:
        """The tensors prediction needs: what the model file holds."""
        state = self.state_dict()
        return {key: v for key, v in state.items() if not key.startswith(self.training_only)}

    def drop_training_only(self) -> None:
        """Put ``None`` for modules the model file does not hold; the rest predicts as before."""
        for name, _ in list(self.named_modules()):
            if f"{name}.".startswith(self.training_only):
                parent, _, leaf = name.rpartition(".")
                with contextlib.suppress(AttributeError):  # gone with a module around it
                    setattr(self.get_submodule(parent), leaf, None)
