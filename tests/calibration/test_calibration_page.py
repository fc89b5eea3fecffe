"""What docs/calibration.md states is what the code and the mathematics say."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from statistics import fmean

import pytest
from scipy.stats import beta

from blemish.calibration import CalibrationRecord, calibrate
from blemish.calibration.conformal import images_needed

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"


def test_its_examples_run() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted >= 4
    assert result.failed == 0


def test_its_table_is_the_beta_distribution() -> None:
    rows = re.findall(r"^\| (\d+) \|(.* – .* – .*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) >= 5
    for first, rest in rows:
        n = int(first)
        stated = [float(x) for x in re.findall(r"[\d.]+", rest)]
        expected = []
        for rate in (0.01, 0.05):
            k = max(rate * (n + 1), 1)
            spread = beta(k, n + 1 - k)
            expected += [spread.mean(), spread.ppf(0.05), spread.ppf(0.95)]
        assert stated == pytest.approx([100 * x for x in expected], abs=0.0051)


def test_its_simulated_limits_are_the_result() -> None:
    result = PAGE.parents[1] / "benchmarks/results/simulated-limits.json"
    found = json.loads(result.read_text("utf-8"))
    percent = found["percent"]
    rows = re.findall(r"^\| (\d+) \| (1|5) \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) >= 5
    for n, rate, rest in rows:
        of = percent[f"{int(rate) / 100:g}"][n]
        (whole, between), (_, apart), (_, piled) = (
            zip(*(of[kind] for kind in kinds), strict=True) for kinds in found["groups"]
        )
        expected = [fmean(whole), fmean(between), min(between), max(between)]
        expected += [max(apart), max(piled)]
        stated = [float(x) for x in re.findall(r"[\d.]+", rest)]
        assert stated == pytest.approx(expected, abs=0.0051)


def test_it_quotes_the_note_word_for_word() -> None:
    records = [CalibrationRecord(None, score=s, peak=s) for s in range(42)]
    quoted = " ".join(PAGE.read_text("utf-8").replace("\n> ", "\n").split())
    assert calibrate(records).notes()[0] in quoted
    assert (images_needed(0.05), images_needed(0.1)) == (19, 9)


def test_its_estimates_are_the_simulated_ones() -> None:
    result = PAGE.parents[1] / "benchmarks/results/simulated-tail.json"
    percent = json.loads(result.read_text("utf-8"))["percent"]
    rows = re.findall(r"^\| n = (\d+) \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [n for n, _ in rows] == list(percent["exponential"])
    for n, rest in rows:
        means = {name: [v[0] for v in by_n[n].values()] for name, by_n in percent.items()}
        own = means["exponential"]
        expected = [fmean(means["largest"]), fmean(own), min(own), max(own)]
        expected.append(max(v[2] for v in percent["exponential"][n].values()))
        expected += [fmean(means[f"Pareto, {how}"]) for how in ("moments", "likelihood")]
        stated = [float(x) for x in re.findall(r"[\d.]+", rest)]
        assert stated == pytest.approx(expected, abs=0.051)
