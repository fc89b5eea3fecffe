"""``methods``: the list, one method's settings and presets; ``fit --preset``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blemish.methods.settings import describe_settings
from blemish.model_file.bundle import read_manifest


def test_methods_are_listed_with_their_papers(blemish: Any) -> None:
    result = blemish("methods")
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line[:1].strip()}
    assert next(iter(rows)) == "method"
    assert list(rows)[1] == "trio"
    assert {"rd", "hfr", "anomem", "radar", "borad", "logicrd"} <= rows.keys()
    assert "one step of a diffusion model" in rows["radar"]
    assert rows["radar"].rstrip().endswith("none")  # it needs no teacher
    assert "labelled ones too" in rows["anomem"]
    assert "labelled ones too" not in rows["rd"]
    assert "arXiv 2405.09148" in result.stdout
    content = json.loads(blemish("methods", "--json").stdout)
    assert content["anomem"]["learns_from_labelled_defects"] is True
    assert content["radar"]["needs_teacher"] is False
    assert next(iter(content)) == "trio"
    assert content["trio"]["paper"].startswith("Ours, of known parts")
    assert content["borad"]["paper"].startswith('"BoRAD: Bootstrap your Own')


def test_one_methods_settings_are_shown_with_ranges_and_presets(blemish: Any, refused: Any) -> None:
    shown = blemish("methods", "radar")
    assert shown.returncode == 0, shown.stderr
    (row,) = [line for line in shown.stdout.splitlines() if line.startswith("train_below ")]
    words = row.split()
    assert row.split("  ")[0] == "train_below"
    assert "whole number from 1 to 1000" in row
    assert words.index("500") < words.index("1000", words.index("500"))
    assert "timesteps are drawn from 0 up to here" in row
    (row,) = [line for line in shown.stdout.splitlines() if line.startswith("trees ")]
    assert row.split().count("100") == 1  # the paper's preset does not change it
    content = json.loads(blemish("methods", "radar", "--json").stdout)
    from blemish.methods.radar.config import RADARConfig

    assert [s["name"] for s in content["settings"]] == [
        setting.name for setting in describe_settings(RADARConfig)
    ]
    assert content["presets"]["light"] == RADARConfig().to_json()
    assert content["presets"]["paper"]["smooth"] is None
    assert "--preset" in shown.stdout.splitlines()[-1]
    assert "brings along" not in shown.stdout
    paper = blemish("methods", "borad")
    assert "brings along --teacher timm/wide_resnet50_2 --size 256" in paper.stdout
    (row,) = [line.split() for line in paper.stdout.splitlines() if line.startswith("student ")]
    assert row[:7] == ["student", "one", "of", "light,", "mirror", "light", "mirror"]
    alone = blemish("methods", "trio").stdout.splitlines()
    (row,) = [line.split() for line in alone if line.startswith("balanced ")]
    assert row == ["balanced", "efficientnet_lite0", "384²", "0.957", "78", "%", "default"]
    assert "on eleven development products." in "\n".join(alone)
    (row,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("balanced ")]
    assert row[3:] == ["–", "–"]  # nothing was measured, and nothing is the default
    dial = json.loads(blemish("methods", "trio", "--json").stdout)
    assert (dial["default_speed"], dial["speeds"]["best"]["found_at_5"]) == ("balanced", 0.8)
    assert alone[-1] == "`blemish fit --method trio --set grid=…` changes a setting."
    assert not [line for line in alone if line.startswith("steps ")]
    assert "Did you mean 'radar'" in refused(blemish("methods", "raddar"))


def test_a_preset_is_where_the_settings_start(blemish: Any, part: Path, tmp_path: Path) -> None:
    words = ("fit", part, "--method", "radar", "--preset", "paper", "--size", 64, "--quiet")
    light = ("--set", "network=small", "--set", "steps=1", "--set", "trees=5", "-o", "m.blemish")
    result = blemish(*words, *light, "--false-alarm-rate", 0.3, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    config = read_manifest(tmp_path / "m.blemish").config
    assert (config["smooth"], config["train_below"]) == (None, 1000)
    assert (config["network"], config["steps"]) == ("small", 1)
    unknown = blemish("fit", part, "-m", "rd", "--preset", "papper", "-o", "n.blemish")
    assert unknown.returncode == 2
    assert "Unknown preset 'papper'. Did you mean 'paper'?" in unknown.stderr
