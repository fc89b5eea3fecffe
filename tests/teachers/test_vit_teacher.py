"""A vision transformer from outside as the teacher: learn, save, load, judge, export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from building import build_method
from numpy.typing import NDArray
from torch import Tensor, nn

from blemish import Detector, open_model
from blemish._progress import Progress
from blemish.benchmark.plan import BenchmarkOptions, check_options
from blemish.errors import BundleError, ConfigError
from blemish.export import export_model
from blemish.teachers import teacher as teacher_module
from blemish.teachers.teacher import Teacher, Weights, build_teacher, register_teacher

QUIET = Progress(quiet=True)
PATCH, WIDTH = 8, 32


class TinyVit(nn.Module):
    """Patch embedding, two blocks; the tokens after each are the levels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(2)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        patches = self.embed(images)  # (N, C, h, w)
        tokens, levels = patches.flatten(2).transpose(1, 2), []
        for block in self.blocks:
            tokens = block(tokens)
            levels.append(tokens.transpose(1, 2).unflatten(2, patches.shape[2:]))
        return levels


def build_tiny_vit(weights: Weights = "random") -> Teacher:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        trunk = TinyVit()
    return Teacher(
        "tiny-vit",
        trunk,
        channels=(WIDTH, WIDTH),
        strides=(PATCH, PATCH),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        pretrained=weights != "random",
    )


def other_strides(*strides: int, name: str = "strided") -> Teacher:
    """A teacher of random convolutions with levels at the given strides."""

    class Trunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.levels = nn.ModuleList(nn.Conv2d(3, 8 + s // 4, s, s) for s in strides)

        def forward(self, images: Tensor) -> list[Tensor]:
            return [level(images) for level in self.levels]

    channels = tuple(8 + s // 4 for s in strides)
    numbers = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
    return Teacher(name, Trunk(), channels=channels, strides=strides, pretrained=False, **numbers)


@pytest.fixture
def registered() -> Iterator[None]:
    register_teacher("tiny-vit", build_tiny_vit)
    yield
    del teacher_module._REGISTERED["tiny-vit"]


@pytest.fixture(scope="module", params=["rd", "borad", "logicrd", "hfr", "patchcore"])
def saved(
    request: pytest.FixtureRequest,
    draw_part: Callable[..., NDArray[np.uint8]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Detector, Path]:
    """Trained over the tiny ViT, handed over as an object."""
    settings = {} if request.param == "patchcore" else {"steps": 6, "batch_size": 4}
    settings |= {"levels": 2} if request.param == "hfr" else {}
    detector = Detector(request.param, teacher=build_tiny_vit(), image_size=64, settings=settings)
    good = np.stack([draw_part(seed) for seed in range(16)])
    detector.fit(good, false_alarm_rate=0.3, progress=QUIET)
    path = tmp_path_factory.mktemp("vit") / f"{request.param}.blemish"
    detector.save(path)
    return detector, path


@pytest.mark.usefixtures("registered")
def test_a_model_over_a_vit_is_saved_and_predicts_to_the_last_bit(
    saved: tuple[Detector, Path], good_parts: NDArray[np.uint8]
) -> None:
    detector, path = saved
    loaded = Detector.load(path)
    assert loaded.method is not None
    assert loaded.method.teacher.name == "tiny-vit"
    for one, other in zip(detector.predict(good_parts), loaded.predict(good_parts), strict=True):
        assert one.score == other.score
        assert one.anomaly_map.tobytes() == other.anomaly_map.tobytes()


@pytest.mark.usefixtures("registered")
def test_a_model_over_a_vit_is_exported_and_judges_as_before(
    saved: tuple[Detector, Path], good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    detector, path = saved
    if detector.method_name != "patchcore":
        pytest.skip("the teacher's graph is the same in all of them")
    report = export_model(path, tmp_path / "vit-onnx.blemish")
    exported = list(open_model(report.path).predict(good_parts))
    trained = list(detector.predict(good_parts))
    scale = np.mean([abs(p.score) for p in trained])
    for one, other in zip(trained, exported, strict=True):
        assert abs(one.score - other.score) < 1e-3 * scale
        assert np.abs(one.anomaly_map - other.anomaly_map).max() < 1e-3 * one.anomaly_map.max()


def test_opening_such_a_model_where_its_teacher_is_unknown_says_what_to_do(
    saved: tuple[Detector, Path],
) -> None:
    with pytest.raises(BundleError, match=r"Unknown teacher 'tiny-vit'.*register_teacher"):
        Detector.load(saved[1])


@pytest.mark.usefixtures("registered")
def test_a_registered_teacher_is_known_by_name_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_teacher("tiny-vit").pretrained
    assert Detector("rd", teacher="tiny-vit").teacher == "tiny-vit"
    check_options(BenchmarkOptions(("rd",), ("lids",), teacher="tiny-vit"))
    with pytest.raises(ConfigError, match="Did you mean 'tiny-vit'"):
        build_teacher("tiny-vjt")
    for taken in ("none", "efficientnet_lite1", "timm/resnet18"):
        with pytest.raises(ConfigError, match="Choose another name"):
            register_teacher(taken, build_tiny_vit)
    monkeypatch.setitem(teacher_module._REGISTERED, "other", build_tiny_vit)
    with pytest.raises(ConfigError, match="calls itself 'tiny-vit'"):
        build_teacher("other")


@pytest.mark.parametrize("name", ["rd", "borad", "logicrd", "hfr", "anomem", "patchcore"])
@pytest.mark.parametrize("strides", [(8,), (4, 16), (4, 8, 16, 32), (32, 32)])
def test_any_number_of_levels_at_any_strides(name: str, strides: tuple[int, ...]) -> None:
    count = {"hfr": "levels", "anomem": "scales"}.get(name)
    settings = {count: min(3, len(strides))} if count else {}
    settings |= {"encoder": "teacher"} if name == "anomem" else {}
    method = build_method(name, settings, other_strides(*strides), (96, 64)).eval()
    with torch.inference_mode():
        output = method(torch.randint(0, 256, (2, 3, 96, 64), dtype=torch.uint8))
    assert output.anomaly_map.shape == (2, 1, 96, 64)
    assert output.score.isfinite().all()


@pytest.mark.parametrize(("name", "setting"), [("hfr", "levels"), ("anomem", "scales")])
def test_more_levels_than_the_teacher_has_are_refused(name: str, setting: str) -> None:
    settings = {"encoder": "teacher"} if name == "anomem" else {}
    with pytest.raises(ConfigError, match=rf"{setting}=3: .* Ask for 2 or fewer"):
        build_method(name, settings, build_tiny_vit(), (64, 64))


def test_an_input_that_the_teacher_does_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"squares of 14 pixels.*224 or a multiple"):
        build_method("rd", {}, other_strides(14, 14), (256, 256))
    assert build_method("rd", {}, other_strides(14, 14), (224, 448)).level_sizes[0] == (16, 32)
    fixed = build_tiny_vit()
    fixed.input_size = (64, 64)
    with pytest.raises(ConfigError, match="takes images of 64×64 only, and the input is 96×64"):
        build_method("rd", {}, fixed, (96, 64))


@pytest.mark.parametrize(
    ("channels", "strides", "message"),
    [
        ((), (), "one level at least"),
        ((8,), (8, 16), "1 channels and 2 strides"),
        ((8, 8), (16, 8), "shallow to deep"),
        ((8, 8), (4, 6), "whole multiple"),
    ],
)
def test_levels_that_make_no_teacher_are_refused(
    channels: tuple[int, ...], strides: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Teacher(
            "wrong",
            nn.Identity(),
            channels=channels,
            strides=strides,
            mean=(0.5,) * 3,
            std=(0.2,) * 3,
            pretrained=False,
        )


def test_a_package_brings_a_teacher_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "brought-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[blemish.teachers]\nbrought = brought:build\n")
    (tmp_path / "brought.py").write_text(
        "from blemish.teachers.teacher import build_teacher\n"
        "def build(weights):\n"
        "    teacher = build_teacher(weights=weights)\n"
        "    teacher.name = 'brought'\n"
        "    return teacher\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(teacher_module, "_REGISTERED", {})
    assert build_teacher("brought", weights="random").channels == (24, 40, 112)
