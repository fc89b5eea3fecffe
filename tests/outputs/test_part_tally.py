"""Parts of a run: gathered by name, counted, shown, and called as a lot."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.calibration.parts import PartVerdict
from blemish.errors import ConfigError
from blemish.outputs.lines import VerdictRow
from blemish.outputs.parts import PartTally
from blemish.outputs.tally import Tally
from blemish.results import Verdict


@pytest.fixture(scope="module")
def limits() -> Calibration:
    return calibrate(CalibrationRecord("nut", float(s), float(s)) for s in range(999))


def row(name: str, p_value: float, verdict: Verdict = "ok") -> VerdictRow:
    return VerdictRow(Path(name), "nut", verdict, 1.0, p_value)


GOOD = [row(f"x/part{n}_{view}.png", 0.4 + 0.01 * view) for n in range(8) for view in (1, 2)]
BAD = [row("x/part8_1.png", 0.001, "defect"), row("x/part8_2.png", 0.8)]
LOST = Path("x/part9_1.png")


def counted(parts: PartTally, rows: list[VerdictRow]) -> Tally:
    parts.expect(row.path for row in rows if row.path)
    tally = Tally(parts=parts)
    for each in rows:
        tally.add(each)
    return tally


def test_views_of_a_part_are_judged_together_and_a_lot_as_a_whole(limits: Calibration) -> None:
    parts = PartTally(limits, part_id="(part[0-9]+)_", fdr=0.1)
    told: list[PartVerdict] = []
    parts.on_part = told.append
    parts.expect([LOST])
    tally = counted(parts, [*GOOD, *BAD])
    assert [found.part for found in told] == [f"part{n}" for n in range(9)]  # each at once
    assert tally.exit_code == 1
    tally.fail(LOST)
    assert tally.exit_code == 2
    parts.close()
    table = parts.csv().splitlines()
    assert table[0] == "part,product,views,p_value,verdict,called"
    assert table[-2:] == ["part8,nut,2,0.002,defect,1", "part9,,1,1.0,unsure,0"]
    assert parts.lot() == [
        "1 of 10 parts called defective at a false discovery rate of 0.1: part8."
    ]
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(parts.table())
    shown = console.file.getvalue()
    assert shown.index("part8") < shown.index("part9") < shown.index("part0")
    assert "10 parts: 1 defect, 1 unsure, 8 ok" in shown


def test_without_a_rate_the_parts_verdicts_decide(limits: Calibration) -> None:
    unsure = [row("p1_a.png", 0.04, "unsure"), row("p1_b.png", 0.9)]
    parts = PartTally(limits, part_id="(p[0-9])_")
    assert counted(parts, unsure).exit_code == 0  # two views have two chances: 0.08
    assert "called" not in parts.csv()
    assert parts.lot() == []


def test_rows_of_an_earlier_run_whose_pictures_are_gone_make_parts_too(limits: Calibration) -> None:
    parts = PartTally(limits, part_id="(p[0-9])_")
    for each in (row("p1_a.png", 0.9), row("p1_b.png", 0.9)):
        parts.add(each)
    parts.close()
    assert parts.csv().splitlines()[1:] == ["p1,nut,2,1.0,ok"]


def test_a_lot_too_large_for_its_p_values_is_told_so(limits: Calibration) -> None:
    parts = PartTally(limits, fdr=0.1)
    for number in range(203):
        parts.add(row(f"{number}.png", 0.05 if number < 3 else 0.9))
    (said,) = parts.lot()
    assert "0 of 203 pictures called" in said
    assert "more good images" in said
    assert parts.exit_code == 0


def test_a_line_without_end_keeps_its_worst_parts_alone(limits: Calibration) -> None:
    parts = PartTally(limits, part_id="(p[0-9]+)_", views=1, limit=2)
    for number in range(200):
        parts.add(row(f"p{number}_.png", 0.001 if number == 3 else 0.9, "ok"))
    parts.add(row("none.png", 0.9))  # whose name says no part: judged by itself
    assert parts.verdicts.total() == 200
    assert len(parts.csv().splitlines()) < 50
    assert "p3" in parts.csv()


def test_what_is_no_lot_is_refused(limits: Calibration) -> None:
    with pytest.raises(ConfigError, match="no regular expression"):
        PartTally(limits, part_id="(")
    with pytest.raises(ConfigError, match="is no rate"):
        PartTally(limits, fdr=1.0)
    with pytest.raises(ConfigError, match="not calibrated"):
        PartTally(None, fdr=0.1)
    with pytest.raises(ConfigError, match=r"finds no part in .*b\.png"):
        PartTally(limits, part_id="(a)").expect([Path("a.png"), Path("b.png")])


def test_a_part_of_an_earlier_run_and_of_this_one_is_one_part(limits: Calibration) -> None:
    parts = PartTally(limits, part_id="(p[0-9])_")
    told: list[PartVerdict] = []
    parts.on_part = told.append
    new = row("tuesday/p1_c.png", 0.9)
    for name in ("monday/p1_a.png", "tuesday/p2_a.png", "monday/p1_b.png", "monday/p2_b.png"):
        parts.add(row(name, 0.9))
    counted(parts, [new])
    parts.close()
    assert parts.csv().splitlines()[1:] == ["p2,nut,2,1.0,ok", "p1,nut,3,1.0,ok"]
    assert [found.part for found in told] == ["p1"]  # the other was told then
