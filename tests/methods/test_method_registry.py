"""Methods from outside: by entry point, by ``register()``, and as a class handed to Detector."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import blemish.methods
from blemish import Detector
from blemish._progress import Progress
from blemish.cli.methods import methods as methods_verb
from blemish.errors import BlemishError, BundleError, ConfigError
from blemish.methods import registry
from blemish.methods.base import Batch, Method
from blemish.methods.radar.config import RADARConfig
from blemish.methods.radar.model import RADAR
from blemish.model_file.bundle import read_manifest

OWN = ["trio", "patchcore", "rd", "hfr", "anomem", "radar", "borad", "logicrd"]
OUTSIDE = '''"""Brightness: how far every pixel is from the usual one.

Nobody, "Never", 1970.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from blemish.methods.base import Method, MethodOutput, ParameterGroup, Stage
from blemish.methods.settings import Count, Positive, TrainedConfig
from blemish.teachers.teacher import NoTeacher


@dataclass(frozen=True)
class BrightnessConfig(TrainedConfig):
    steps: Count = 3
    scale: Positive | None = None  # of the score; none: as it is


class Brightness(Method):
    config_class = BrightnessConfig
    uses_teacher = False

    def __init__(self, config, teacher, input_size):
        super().__init__(config, NoTeacher(), input_size)
        self.level = nn.Parameter(torch.zeros(()))

    def stages(self):
        group = ParameterGroup((self,), 10.0)
        return [Stage("level", (group,), self.config.steps, needs_images=True)]

    def loss(self, batch, stage):
        return {"total": (batch.images.float() - self.level).abs().mean()}

    def forward(self, images):
        anomaly_map = (images.float() - self.level).abs().mean(1, keepdim=True)
        return MethodOutput(anomaly_map, anomaly_map.amax((1, 2, 3)) * (self.config.scale or 1), {})


number = 3
'''
ENTRY_POINTS = """[blemish.methods]
brightness = outside_methods:Brightness
gone = outside_methods_gone:Method
number = outside_methods:number
rd = outside_methods:Brightness
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package installed beside this one, whose entry points name four methods; one works."""
    folder = tmp_path / "site"
    about = folder / "outside_methods-1.5.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-methods\nVersion: 1.5\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "outside_methods.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.delitem(sys.modules, "outside_methods", raising=False)
    module = importlib.import_module("outside_methods")
    monkeypatch.setitem(sys.modules, "outside_methods", module)
    return module


def saved(method: str | type, path: Path, good: NDArray[np.uint8], **settings: object) -> Detector:
    detector = Detector(method, image_size=64, settings=settings)
    detector.fit(good, false_alarm_rate=0.5, progress=Progress(quiet=True))
    detector.save(path)
    return detector


def test_naming_methods_imports_none_and_a_look_up_that_one_alone() -> None:
    program = (
        "import sys, blemish.methods as m; print(m.names()); print('torch' in sys.modules)\n"
        "from blemish.methods.registry import method_class; print(method_class('radar').__name__)\n"
        "print([n for n in m.names() if f'blemish.methods.{n}.model' in sys.modules])"
    )
    words = [sys.executable, "-c", program]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [str(OWN), "False", "RADAR", "['radar']"]


def test_a_method_of_an_installed_package_is_as_good_as_ours(
    outside: ModuleType, good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    assert blemish.methods.names() == [*OWN, "brightness", "gone", "number"]
    assert registry.method_class("brightness") is outside.Brightness
    assert registry.method_class("rd").__module__ == "blemish.methods.rd.model"  # ours stays ours
    detector = saved("brightness", tmp_path / "m.blemish", good_parts, scale="2")
    loaded = Detector.load(tmp_path / "m.blemish")
    one, other = (next(d.predict(good_parts[0])) for d in (detector, loaded))
    assert loaded.config.to_json() == {"steps": 3, "batch_size": 16, "scale": 2.0}
    assert one.score == other.score == 2 * float(one.anomaly_map.max())
    # Handed over as a class, it is known by the same name.
    assert Detector(outside.Brightness).method_name == "brightness"


def test_a_method_without_teacher_is_fitted_on_pixels_where_it_has_no_stages(
    outside: ModuleType, good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    class ClosedForm(outside.Brightness):  # type: ignore[name-defined, misc]
        def __init__(self, *arguments: Any) -> None:
            Method.__init__(self, *arguments)  # as one writes it without a thought of the teacher
            self.level = nn.Parameter(torch.zeros(()))

        def stages(self) -> list[object]:
            return []

        def fit_statistics(self, batches: Iterable[Batch]) -> None:
            for batch in batches:
                assert batch.images is not None
                self.level.fill_(batch.images.float().mean())

    detector = Detector(ClosedForm, image_size=64)
    detector.fit(good_parts, false_alarm_rate=0.5, progress=Progress(quiet=True))
    assert detector.method is not None
    assert 0 < detector.method.level.item() < 255
    assert list(detector.method.inference_state()) == ["level"]  # no teacher's weights


def test_a_broken_package_is_named_and_spoils_no_other(
    outside: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"'gone' of the package outside-methods 1\.5 .*repair"):
        registry.method_class("gone")
    with pytest.raises(ConfigError, match=r"'number' of the package .* is 3: expected a class"):
        registry.method_class("number")
    usable = [name for name, _ in registry.usable_methods()]
    assert usable == [*OWN, "brightness"]
    methods_verb()
    listed = capsys.readouterr()
    assert "brightness" in listed.out
    assert listed.err.count("of the package outside-methods 1.5") == 2


def test_a_registered_method_is_known_until_the_process_ends(
    outside: ModuleType, good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    config, method = outside.BrightnessConfig, outside.Brightness
    blemish.methods.register("mine", config, method)
    blemish.methods.register("mine", config, method)  # a cell that is run again
    assert "mine" in blemish.methods.names()
    saved("mine", tmp_path / "m.blemish", good_parts)
    assert Detector.load(tmp_path / "m.blemish").method_name == "mine"
    registry._registered.clear()
    with pytest.raises(BundleError, match=r"Unknown method 'mine'.*package is installed"):
        Detector.load(tmp_path / "m.blemish")


def test_what_cannot_be_registered_is_refused(outside: ModuleType) -> None:
    config, method = outside.BrightnessConfig, outside.Brightness
    for name, wrong in (("rd", "already"), ("brightness", "already"), ("a:b", "expected a word")):
        with pytest.raises(ConfigError, match=wrong):
            blemish.methods.register(name, config, method)
    with pytest.raises(ConfigError, match=r"Brightness\.config_class is Brig.*RADAR"):
        blemish.methods.register("mine", RADARConfig, method)
    with pytest.raises(ConfigError, match="expected a class that extends Method"):
        blemish.methods.register("mine", config, config)
    blemish.methods.register("mine", config, method)
    with pytest.raises(ConfigError, match="already"):
        blemish.methods.register("mine", RADARConfig, RADAR)


def test_a_class_of_ones_own_is_trained_saved_and_loaded(
    outside: ModuleType,
    good_parts: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outside.Mine = type("Mine", (outside.Brightness,), {"__module__": "outside_methods"})
    detector = saved(outside.Mine, tmp_path / "m.blemish", good_parts)
    assert detector.method_name == read_manifest(tmp_path / "m.blemish").method
    assert detector.method_name == "outside_methods:Mine"
    loaded = Detector.load(tmp_path / "m.blemish")
    one, other = (next(d.predict(good_parts[0])).score for d in (detector, loaded))
    assert one == other
    del outside.Mine
    with pytest.raises(BundleError, match=r"outside_methods:Mine' cannot be imported here .*Mine"):
        Detector.load(tmp_path / "m.blemish")
    assert Detector(RADAR).method_name == "radar"
    with pytest.raises(BlemishError, match="expected a class that extends Method"):
        Detector(dict)  # type: ignore[arg-type]
    outside.Mine = detector._method_class
    monkeypatch.delitem(sys.modules, "outside_methods")
    with pytest.raises(BundleError, match=r"a module that was not imported\. Import it first"):
        Detector.load(tmp_path / "m.blemish")
    assert "outside_methods" not in sys.modules  # a model file runs nothing
    monkeypatch.setitem(sys.modules, "outside_methods", outside)
    for hostile in ("os:system", "outside_methods:number", "no.such.module:Thing"):
        with pytest.raises(ConfigError):
            registry.method_class(hostile)
