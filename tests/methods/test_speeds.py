"""The dial: what a point sets, what wins over it, what is refused, and that the docs agree."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.errors import ConfigError
from blemish.methods.anomem.config import AnoMemConfig
from blemish.methods.settings import MethodConfig
from blemish.methods.speeds import MEASURED_ON, PROTOCOL, SPEEDS
from blemish.methods.trio.config import TrioConfig

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("words", "teacher", "side"),
    [
        ({}, "efficientnet_lite0", 384),
        ({"speed": "fast"}, "efficientnet_lite0", 256),
        ({"speed": "best"}, "efficientnet_lite0+efficientnet_lite2", 384),
        ({"method": "rd"}, "efficientnet_lite0", 256),
        ({"method": "rd", "speed": "best"}, "efficientnet_lite2", 384),
        ({"method": "radar", "speed": "best"}, "none", 384),
        ({"speed": "best", "teacher": "efficientnet_lite1"}, "efficientnet_lite1", 384),
        ({"method": "rd", "teacher": "efficientnet_lite1"}, "efficientnet_lite1", 256),
    ],
)
def test_a_point_sets_teacher_and_side(words: dict[str, str], teacher: str, side: int) -> None:
    detector = Detector(**words)  # type: ignore[arg-type]
    size = detector.speed.point.input_size(detector.config, [(1024, 1024)] * 9)
    assert (detector.teacher, size) == (teacher, (side, side))


def test_what_is_named_wins_and_what_is_left_is_said() -> None:
    whole = {"name": "best", "keeps": ["teacher", "input size"]}
    assert Detector(speed="best").speed.to_json() == whole
    assert Detector(speed="best").speed.note == ""
    sized = Detector(speed="best", image_size=(64, 96))
    both = "efficientnet_lite0+efficientnet_lite2"
    assert (sized.teacher, sized.input.image_size) == (both, (64, 96))
    assert sized.speed.to_json() == {"name": "best", "keeps": ["teacher"]}
    assert sized.speed.note == (
        f"Of the speed 'best' only the teacher ({both}) is left: an input size is named."
    )
    taught = Detector(speed="best", teacher="efficientnet_lite1")
    assert "only the input size (about 384²) is left: another teacher is named" in taught.speed.note
    neither = Detector(speed="best", teacher="efficientnet_lite1", image_size=64)
    assert neither.speed.to_json() is None
    assert "'best' nothing is left" in neither.speed.note
    assert "the method has no teacher" in Detector("radar", speed="best").speed.note
    # Nobody asked for the default, so nobody is told what it lost.
    assert Detector(image_size=64).speed.note == Detector("rd").speed.note == ""
    assert Detector("rd").speed.to_json() is None


def test_a_preset_brings_its_papers_teacher_and_square_along() -> None:
    paper = Detector("rd", preset="paper")
    assert paper.teacher == "timm/wide_resnet50_2"
    assert paper.speed.point.input_size(paper.config, [(800, 1600)] * 9) == (256, 256)
    assert (paper.speed.note, paper.speed.to_json()) == ("", None)
    assert Detector("rd", preset="paper", teacher="timm/wide_resnet50_2").speed.note == ""
    taught = Detector("rd", preset="paper", teacher="efficientnet_lite0")
    assert taught.teacher == "efficientnet_lite0"
    assert taught.speed.note == (
        "Of what the preset 'paper' brings along, only the input size (256×256) is left: another "
        "teacher is named."
    )
    sized = Detector("rd", preset="paper", image_size=64)
    assert (sized.teacher, sized.input.image_size) == ("timm/wide_resnet50_2", (64, 64))
    assert "only the teacher (timm/wide_resnet50_2) is left: an input size" in sized.speed.note
    fast = Detector("rd", preset="paper", speed="fast")
    assert fast.teacher == "efficientnet_lite0"
    assert "The speed 'fast' wins over timm/wide_resnet50_2 at 256×256" in fast.speed.note
    assert Detector("trio", speed="fast").speed.note == ""


def test_an_unknown_point_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as refusal:
        Detector(speed="ballanced")
    assert str(refusal.value) == (
        "Unknown speed 'ballanced'. Did you mean 'balanced'? Known: fast, balanced, best."
    )


def test_the_side_follows_the_images() -> None:
    best, config = SPEEDS["best"], MethodConfig()
    assert best.input_size(config, [(120, 120)] * 3) == (256, 256)  # doubled, no more
    assert best.input_size(config, [(800, 1600)] * 9) == (256, 544)
    small = [(28, 28)] * 6000  # an encoder of its own has no size it is used to
    assert best.input_size(AnoMemConfig(), small) == (32, 32)
    assert PROTOCOL.input_size(TrioConfig(), [(1024, 1024)]) == (256, 256)


def test_the_model_file_keeps_the_speed_and_its_input(tmp_path: Path) -> None:
    good = np.random.default_rng(0).integers(90, 110, (10, 40, 40, 3)).astype(np.uint8)
    options = TrainingOptions(device="cpu")
    for words, kept in (
        ({"speed": "fast"}, {"name": "fast", "keeps": ["teacher", "input size"]}),
        ({"speed": "fast", "image_size": 64}, {"name": "fast", "keeps": ["teacher"]}),
    ):
        detector = Detector(**words)  # type: ignore[arg-type]
        report = detector.fit(
            good, false_alarm_rate=0.3, training=options, progress=Progress(quiet=True)
        ).fit_report
        assert [n for n in report.notes if "speed" in n] == [detector.speed.note] * (len(words) - 1)
        detector.save(tmp_path / "m.blemish")
        loaded = Detector.load(tmp_path / "m.blemish")
        assert loaded.training["speed"] == kept
        assert loaded.preprocessing is not None
        assert loaded.preprocessing.size == ((64, 64) if len(words) > 1 else (96, 96))


def test_the_quick_start_has_the_figures_of_the_table() -> None:
    text = (DOCS / "quickstart.md").read_text("utf-8")
    row = r"^\| `(\w+)`[^|]*\| `([\w+]+)` \| (\d+)² \| ([\d.]+) \| (\d+) % \|$"
    rows = re.findall(row, text, re.M)
    assert MEASURED_ON in " ".join(text.split())
    assert rows == [
        (name, s.teacher, str(s.side), f"{s.image_auroc:.3f}", f"{100 * (s.found_at_5 or 0):.0f}")
        for name, s in TrioConfig.speeds.items()
    ]
