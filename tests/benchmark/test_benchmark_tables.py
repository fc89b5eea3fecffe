"""What a reader sees: Markdown, CSV, published figures and the generated page."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_aggregate import make_line

from blemish.benchmark.aggregate import full_data_set, published_figures, sections
from blemish.benchmark.docs import main, write_docs
from blemish.benchmark.rows import ResultFile
from blemish.benchmark.tables import csv_text, markdown, write_tables
from blemish.errors import ConfigError


def cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_papers_columns_with_mean_and_spread() -> None:
    lines = [make_line({"a": 0.9, "b": 0.5}), make_line({"a": 0.8, "b": 0.4}, seed=1, cost=20)]
    text = markdown(lines)
    head = cells(text, "category")
    assert head == [
        "category",
        "image AUROC",
        "image AP",
        "image F1-max",
        "pixel AUROC",
        "pixel AP",
        "pixel F1-max",
        "AUPRO",
        "mAD",
    ]
    assert cells(text, "a") == ["a", *["85.0 ± 7.1"] * 8]
    assert cells(text, "**mean**") == ["**mean**", *["65.0 ± 7.1"] * 8]
    summary = cells(text, "**rd (steps=5)**")
    assert summary[1:9] == ["65.0 ± 7.1"] * 8
    assert summary[9:] == ["15.0 ± 7.1", "1.5 ± 0.7", "1500 ± 707"]


def test_one_seed_has_no_spread_and_a_missing_figure_is_na() -> None:
    line = make_line({"a": 0.9, "b": 0.5})
    line["rows"][1]["metrics"]["pixel_ap"] = None
    text = markdown([line])
    assert cells(text, "b") == ["b", "50.0", "50.0", "50.0", "50.0", "n/a", "50.0", "50.0", "n/a"]
    assert cells(text, "**rd (steps=5)**")[5] == "90.0 (1 of 2)"


def test_one_model_per_category_shows_its_costs() -> None:
    lines = [
        make_line({name: 0.5}, protocol="per_category", cost=cost)
        for name, cost in (("a", 10.0), ("b", 30.0))
    ]
    assert cells(markdown(lines), "b")[-3:] == ["30.0", "3.0", "3000"]


def test_header_says_how_and_on_what() -> None:
    text = markdown([make_line({"a": 0.9})])
    for part in (
        "## line, one_for_all",
        "`blemish benchmark --data line --out out`",
        "a (train 8 good; test 3 good + 4 defective)",
        "2026-01-02",
        "A CPU, 2 cores, 8 GiB",
        "last training step counts",
        "torch 2",
    ):
        assert part in text
    assert "Random teacher" not in text
    line = make_line({"a": 0.9})
    line["identity"]["teacher"]["weights"] = "random"
    assert "Random teacher weights: these figures say nothing" in markdown([line])


def test_loco_and_unseen_columns_appear_where_there_are_such_figures() -> None:
    line = make_line({"a": 0.9})
    assert "logical" not in markdown([line])
    line["rows"][0]["metrics"] |= {
        "image_auroc_logical": 0.7,
        "image_auroc_structural": 0.9,
        "image_auroc_mean": 0.8,
        "au_spro_0.05_mean": 0.6,
        "image_auroc_unseen": 0.55,
    }
    text = markdown([line])
    assert "| AUROC logical | AUROC structural | AUROC mean | AU-sPRO@0.05 mean |" in text
    assert "| 70.0 | 90.0 | 80.0 | 60.0 |" in text
    assert "AUROC, unseen anomalies" in text


def test_aders_f1_max_has_its_own_table_and_its_own_section() -> None:
    plain, ader = make_line({"a": 0.9}), make_line({"a": 0.9})
    ader["identity"]["compatibility"] = "ader"
    ader["rows"][0]["metrics"]["pixel_f1_max_ader"] = 0.2
    text = markdown([plain, ader])
    assert text.count("## line, one_for_all") == 2  # they are never averaged together
    assert text.count("| pixel F1-max as in ADer | mAD with it |") == 1
    assert "| 20.0 | 80.0 |" in text
    old, new = csv.DictReader(io.StringIO(csv_text([plain, ader]))), "pixel_f1_max_ader"
    assert [row[new] for row in old] == ["", "", "0.2", "0.2"]


def test_runs_from_before_the_option_are_of_those_without_it() -> None:
    before, after = make_line({"a": 0.9}), make_line({"a": 0.8}, seed=1)
    after["identity"]["compatibility"] = "none"
    (section,) = sections([before, after])
    assert len(section.runs) == 2


def test_the_error_of_bounded_memory_is_stated() -> None:
    line = make_line({"a": 0.9, "b": 0.8})
    assert "bounded memory" not in markdown([line])
    line["rows"][0]["error_bounds"] = {"pixel_auroc": 2.1e-6, "pixel_ap": None}
    assert "- Pixel metrics in bounded memory: none is off by more than 3e-4 %" in markdown([line])


def test_the_operating_point_counts_over_all_seeds() -> None:
    text = markdown([make_line({"a": 0.9}, seed=seed) for seed in (0, 1)])
    assert "| rd (steps=5) | a | 2 of 6 | 6 of 8 | 71.4 ± 0.0 |" in text


def powers(found: float, *, guaranteed: float | None = 0.01) -> list[dict[str, float | None]]:
    """A row's power: as much is found at both rates, and a tenth less than could be."""
    shares = {"found_share": found, "stopped_share": 0.04, "roc_recall": found + 0.1}
    return [
        {"false_alarm_rate": rate, "guaranteed_rate": guaranteed, **shares, "wasted": 0.1}
        for rate in (0.01, 0.05)
    ]


def test_power_stands_in_the_means_and_in_a_table_of_its_own() -> None:
    lines = [make_line({"a": 0.9, "b": 0.5}, seed=seed) for seed in (0, 1)]
    lines.append(make_line({"a": 0.9, "b": 0.5}, method="hfr"))  # measured before there was power
    for found, line in zip((0.5, 0.7), lines, strict=False):
        line["rows"][0]["power"] = powers(found)
        line["rows"][1]["power"] = powers(found - 0.2, guaranteed=1 / 43)
    text = markdown(lines)
    head = cells(text, "mean over categories")
    assert head[8:11] == ["mAD", "found / stopped at 1 %", "found / stopped at 5 %"]
    mean = "50.0 ± 14.1 / 4.0 ± 0.0"
    assert cells(text, "**rd (steps=5)**")[9:11] == [mean, mean]
    assert cells(text, "**hfr (steps=5)**")[9:11] == ["– / –", "– / –"]
    table = text.split("### Power at the promise")[1]
    assert cells(table, "rd (steps=5) | a")[2:] == ["60.0 ± 14.1", "4.0 ± 0.0", "70.0 ± 14.1"] * 2
    b = cells(table, "rd (steps=5) | b")[2:]
    assert b[1] == "4.0 ± 0.0 (guaranteed: 2.3)"
    assert b[4] == "4.0 ± 0.0"  # 2.3 % is no worse than 5 %
    assert cells(table, "rd (steps=5) | **mean**")[2] == "50.0 ± 14.1"
    assert cells(table, "hfr (steps=5) | a")[2:] == ["–"] * 6
    rows = {(r["method"], r["category"]): r for r in csv.DictReader(io.StringIO(csv_text(lines)))}
    assert rows["rd", "a"]["found_share_at_0.01"] == "0.6"
    assert rows["rd", "b"]["guaranteed_rate_at_0.05"] == "0.0232558"
    assert rows["rd", "mean"]["wasted_at_0.05"] == "0.1"
    assert rows["hfr", "mean"]["found_share_at_0.01"] == ""


def test_power_by_pooled_limits_and_none_at_all() -> None:
    line = make_line({"a": 0.9})
    assert "Power" not in markdown([line])
    assert "found / stopped" not in markdown([line])
    line["rows"][0]["power"] = powers(0.5, guaranteed=None)
    assert "| 4.0 (guaranteed: nothing) |" in markdown([line])


def test_remarks_name_what_is_not_there() -> None:
    line = make_line({"a": 0.9}, failed=("b",))
    line["rows"][0]["problems"] = ["Without a mask: 2 of\ndent."]
    text = markdown([line])
    assert "- No figures for rd, b, seed 0: No image." in text
    assert "- a: Without a mask: 2 of dent." in text


def test_a_remark_on_many_categories_is_made_once() -> None:
    line = make_line({"a": 0.9, "b": 0.8})
    for row in line["rows"]:
        row["problems"] = ["No mask."]
    assert "- a, b: No mask." in markdown([line])


def test_csv_has_fractions_and_every_category() -> None:
    lines = [make_line({"a": 0.9, "b": 0.5}, seed=seed) for seed in (0, 1)]
    rows = list(csv.DictReader(io.StringIO(csv_text(lines))))
    assert [row["category"] for row in rows] == ["a", "b", "mean"]
    assert (rows[0]["image_auroc"], rows[0]["image_auroc_std"]) == ("0.9", "0")
    assert rows[2]["mean_ad"] == "0.7"
    assert rows[0]["au_spro_0.05_mean"] == ""
    assert rows[0]["settings"] == "steps=5"
    assert rows[0]["seeds"] == "2"


MVTEC = "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush"
MVTEC_CATEGORIES = [*MVTEC.split(), "transistor", "wood", "zipper"]


def test_published_figures_stand_beside_the_full_data_set_only() -> None:
    line = make_line(dict.fromkeys(MVTEC_CATEGORIES, 0.8))
    (part,) = sections([line])
    assert full_data_set(part) is None  # the names alone are not the data set
    text = markdown([line])
    assert "**not comparable**" in text
    assert "not measured here" not in text

    for row in line["rows"]:
        row["counts"] |= {"train_good": 0, "test_good": 100, "test_defective": 15}
    line["rows"][0]["counts"]["train_good"] = 3629
    (full,) = sections([line])
    assert full_data_set(full) == "mvtec_ad"
    text = markdown([line])
    assert "### Published figures" in text
    assert "not measured here" in text
    assert "**not comparable**" not in text
    row = next(r for r in text.splitlines() if r.startswith("| BoRAD"))
    assert "| MVTec AD | one_for_all | mAD | 86.2 | BoRAD, arXiv 2606.14129 (2026) |" in row
    assert "98.5" not in text  # of another protocol


def test_a_class_data_set_is_full_by_its_test_set() -> None:
    names = [str(digit) for digit in range(10)]
    lines = [make_line({n: 0.9}, protocol="one_class", layout="mnist") for n in names]
    for line in lines:
        line["rows"][0]["counts"] |= {
            "train_good": 6000,
            "test_good": 1000,
            "test_defective": 9000,
        }
    (section,) = sections(lines)
    assert full_data_set(section) == "mnist"
    assert "≈ 98.7" in markdown(lines)
    assert full_data_set(sections(lines[:9])[0]) is None


def test_no_published_figure_without_its_source() -> None:
    content = json.loads(
        Path(sys.modules[published_figures.__module__].__file__ or "")
        .with_name("published.json")
        .read_text(encoding="utf-8")
    )
    for entry in content["figures"]:
        assert entry["source"] in content["sources"]
        assert entry["data_set"] in content["data_sets"]
        assert entry["protocol"] in ("one_for_all", "per_category", "one_class", None)
        assert any(char.isdigit() for char in entry["value"])
    assert {entry["source"] for entry in content["figures"]} == set(content["sources"])
    values = {f.system: f.value for f in published_figures("real_iad", "one_for_all")}
    assert values["InvAD"] == "74.2"


def test_layouts_without_published_figures_have_no_such_section() -> None:
    assert "ublished" not in markdown([make_line({"a": 0.9}, layout="elpv")])


def filled(folder: Path, value: float) -> Path:
    folder.mkdir(exist_ok=True)
    with ResultFile.open(folder) as file:
        file.append(make_line({"a": value}))
    return folder


def test_tables_are_written_beside_the_rows(tmp_path: Path) -> None:
    folder = filled(tmp_path / "results", 0.9)
    assert [path.name for path in write_tables(folder)] == ["tables.md", "tables.csv"]
    assert "90.0" in (folder / "tables.md").read_text(encoding="utf-8")


def test_a_page_keeps_its_own_words(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    one, two = filled(tmp_path / "one", 0.91), filled(tmp_path / "two", 0.82)
    assert main([str(one), str(two), str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Results")
    assert "91.0" in text
    assert "82.0" in text
    page.write_text(text.replace("# Results", "# Our results") + "\nOur words.\n")
    filled(one, 0.73)  # measured again
    assert main([str(one), str(page)]) == 0
    again = page.read_text(encoding="utf-8")
    assert "73.0" in again
    assert "91.0" not in again
    assert "82.0" in again
    assert again.startswith("# Our results")
    assert again.endswith("Our words.\n")
    assert "python -m blemish.benchmark.docs benchmarks/results/one docs/results.md" in again
    assert main([str(one), str(page)]) == 0
    assert page.read_text(encoding="utf-8") == again


def test_a_page_with_half_a_marker_is_left_alone(tmp_path: Path) -> None:
    folder = filled(tmp_path / "one", 0.9)
    page = tmp_path / "results.md"
    page.write_text("<!-- benchmark one: begin -->\nwords")
    with pytest.raises(ConfigError, match="does not hold the two lines"):
        write_docs(folder, page)
    assert page.read_text() == "<!-- benchmark one: begin -->\nwords"


def test_the_generator_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "blemish.benchmark.docs"]
    done = subprocess.run(
        [*command, str(tmp_path / "none"), "x.md"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "There is no" in done.stderr
    assert subprocess.run(command, capture_output=True).returncode == 2


def test_tables_need_no_torch(tmp_path: Path) -> None:
    folder = filled(tmp_path / "one", 0.9)
    code = (
        "import sys; from blemish.benchmark.tables import write_tables;"
        f"write_tables({str(folder)!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
