"""The default teachers against their published weights and a slow reading of the architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from blemish.errors import MissingExtraError
from blemish.teachers.efficientnet_lite import NAMES, EfficientNetLite, weights_file
from blemish.teachers.teacher import build_teacher

# Last block of the stages at strides 4, 8 and 16, and of that behind them at 32.
TAPS = {"efficientnet_lite0": (2, 4, 10, 14), "efficientnet_lite1": (3, 6, 14, 19)}
TAPS["efficientnet_lite2"] = TAPS["efficientnet_lite1"]
# First blocks of the stages that halve the size.
HALVING = {"efficientnet_lite0": (1, 3, 5, 11), "efficientnet_lite1": (1, 4, 7, 15)}
HALVING["efficientnet_lite2"] = HALVING["efficientnet_lite1"]


@pytest.fixture(params=NAMES)
def published(request: pytest.FixtureRequest) -> tuple[str, dict[str, torch.Tensor]]:
    try:
        path = weights_file(request.param)
    except MissingExtraError as error:
        pytest.skip(str(error))
    return request.param, torch.load(path, weights_only=True)


def test_its_parameters_are_those_of_the_published_file(
    published: tuple[str, dict[str, torch.Tensor]],
) -> None:
    name, weights = published
    deepest = TAPS[name][-2]
    expected = {
        key: value.shape
        for key, value in weights.items()
        if key.startswith(("_conv_stem.", "_bn0."))
        or (key.startswith("_blocks.") and int(key.split(".")[1]) <= deepest)
    }
    assert len(expected) > 150
    trunk = EfficientNetLite(name)
    trunk.load_state_dict({key: weights[key] for key in expected}, strict=True)
    own = {key: value.shape for key, value in trunk.state_dict().items()}
    convolutions = {key: shape for key, shape in expected.items() if "_conv" in key}
    assert {key: shape for key, shape in own.items() if key.endswith("weight")} == convolutions
    # In place of each normalisation there is a bias.
    biases = {key.replace("weight", "bias"): shape[:1] for key, shape in convolutions.items()}
    assert own == convolutions | biases
    assert len([key for key in expected if key.endswith("running_var")]) == len(biases)


@pytest.mark.parametrize(
    ("size", "levels_at"), [((64, 64), "@4-8-16-32"), ((47, 66), ""), ((47, 66), "@8-32")]
)
def test_features_equal_a_slow_reading(
    published: tuple[str, dict[str, torch.Tensor]], size: tuple[int, int], levels_at: str
) -> None:
    name, weights = published
    strides = levels_at[1:].split("-") if levels_at else ["4", "8", "16"]
    taps = tuple(TAPS[name][["4", "8", "16", "32"].index(stride)] for stride in strides)
    images = np.random.default_rng(0).integers(0, 256, (1, 3, *size)).astype(np.uint8)
    levels = build_teacher(name + levels_at)(torch.from_numpy(images))
    arrays = {key: value.double().numpy() for key, value in weights.items()}
    expected = _slow_features(arrays, (images[0] - 127.0) / 128.0, taps, HALVING[name])
    for level, slow in zip(levels, expected, strict=True):
        assert level.shape[1:] == slow.shape
        assert np.abs(level[0].numpy() - slow).max() < 1e-4 * np.abs(slow).max()


def test_odd_sizes_are_rounded_up() -> None:
    levels = EfficientNetLite("efficientnet_lite0")(torch.zeros(1, 3, 65, 97))
    assert [tuple(level.shape[2:]) for level in levels] == [(17, 25), (9, 13), (5, 7)]


def test_published_weights_tell_photographs_apart(shared_data: Path) -> None:
    """Two bottles are nearer to one another than to a pill: the weights are really loaded."""
    from blemish.data.images.preprocess import Preprocessing
    from blemish.data.images.reading import read_image

    prepare = Preprocessing(128, 128)
    bottles, pills = (
        sorted((shared_data / "mvtec" / product / "train" / "good").iterdir())
        for product in ("bottle", "pill")
    )
    images = [prepare(read_image(path)) for path in (bottles[0], bottles[1], pills[0])]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    deep = build_teacher()(batch)[-1].mean((2, 3))  # (3, C)
    similar, other = torch.cosine_similarity(deep[:1], deep[1:])
    assert 1 - similar < 0.25 * (1 - other)


def _slow_features(
    w: dict[str, NDArray], x: NDArray, taps: tuple[int, ...], halving: tuple[int, ...]
) -> list[NDArray]:  # x (3, H, W)
    def norm(y: NDArray, key: str) -> NDArray:
        scale = w[f"{key}.weight"] / np.sqrt(w[f"{key}.running_var"] + 1e-3)
        shift = w[f"{key}.bias"] - w[f"{key}.running_mean"] * scale
        return y * scale[:, None, None] + shift[:, None, None]

    def relu6(y: NDArray) -> NDArray:
        return np.clip(y, 0, 6)

    x = relu6(norm(_conv(x, w["_conv_stem.weight"], 2), "_bn0"))
    levels = []
    for block in range(taps[-1] + 1):
        key = f"_blocks.{block}."
        y = x
        if f"{key}_expand_conv.weight" in w:
            y = relu6(norm(_conv(y, w[f"{key}_expand_conv.weight"], 1), f"{key}_bn0"))
        y = _conv(y, w[f"{key}_depthwise_conv.weight"], 1 + (block in halving), depthwise=True)
        y = relu6(norm(y, f"{key}_bn1"))
        y = norm(_conv(y, w[f"{key}_project_conv.weight"], 1), f"{key}_bn2")
        x = x + y if x.shape == y.shape else y
        if block in taps:
            levels.append(x)
    return levels


def _conv(x: NDArray, kernel: NDArray, stride: int, *, depthwise: bool = False) -> NDArray:
    """TensorFlow's "same" convolution without bias: ``(C, H, W)`` → ``(C', ⌈H/s⌉, ⌈W/s⌉)``."""
    k = kernel.shape[-1]
    pads = [(0, 0)]
    for length in x.shape[1:]:
        rest = length % stride
        total = max(k - (stride if rest == 0 else rest), 0)
        pads.append((total // 2, total - total // 2))
    windows = sliding_window_view(np.pad(x, pads), (k, k), axis=(1, 2))[:, ::stride, ::stride]
    if depthwise:
        return np.einsum("chwij,cij->chw", windows, kernel[:, 0])
    return np.einsum("chwij,dcij->dhw", windows, kernel, optimize=True)
