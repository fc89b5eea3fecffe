"""Which good images a limit rests on, what is said of them, and how they are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.calibration.limit_setters import (
    FAR,
    limit_setters,
    named_images,
    set_by_line,
    setters_note,
)
from blemish.errors import CalibrationError


def records(scores: Sequence[float], product: str | None = "nut") -> list[CalibrationRecord]:
    return [
        CalibrationRecord(product, s, 2 * s, image=f"{i:02d}.png#{product}{i}")
        for i, s in enumerate(scores)
    ]


def limits(*groups: list[CalibrationRecord]) -> Calibration:
    return calibrate([record for group in groups for record in group])


EVEN = [float(s) for s in range(30)]


def test_one_picture_far_above_the_next_is_named_with_the_command_that_leaves_it_out() -> None:
    found = limits(records([*EVEN, 60.0]))
    (setters,) = limit_setters(found)
    assert setters.names == ("30.png",)
    assert setters.times == pytest.approx((60 - 15) / (29 - 15))
    assert (setters.limit, setters.without) == (60, 29)
    assert setters_note(found) == [
        "The limit rests on 30.png, 3.2 times as far above the median good score as the next. If "
        "it is no good part: `blemish calibrate MODEL --exclude 30.png`"
    ]
    assert setters_note(found)[0] == found.notes()[-1]
    assert found.notes(learned=True)[-1].endswith(
        "If it is no good part, fit without it: `blemish fit … --leave-out 30.png`. Lower limits "
        "alone, of a model that has still learned it as good: `blemish calibrate MODEL --exclude "
        "30.png`"
    )
    assert not any("rests on" in note for note in found.notes(["nut"]))  # not at every prediction


def test_several_that_hide_each_other_are_named_together() -> None:
    (setters,) = limit_setters(limits(records([*EVEN, 70.0, 71.0, 72.0])))
    assert setters.names == ("32.png", "31.png", "30.png")
    assert setters.times == pytest.approx((70 - 16) / (29 - 16))
    assert setters.without == 29
    note = setters_note(limits(records([*EVEN, 70.0, 71.0, 72.0])))[0]
    assert "on 32.png, 31.png and 30.png, 4.2 times" in note
    assert "they are no good parts" in note
    assert note.endswith("--exclude 32.png --exclude 31.png --exclude 30.png`")


def test_scores_without_a_gap_are_no_news_but_who_sets_the_limit_is_known() -> None:
    found = limits(records(EVEN))
    assert setters_note(found) == []
    assert set_by_line(found) == ", set by 29.png"
    constant = limits(records([3.0] * 30))
    assert setters_note(constant) == []
    assert limit_setters(constant)[0].times == 1


def test_of_many_good_images_the_limit_is_a_quantile_and_rests_on_none() -> None:
    many = calibrate(records([*np.linspace(0, 1, 1000), 50, 51, 52]))
    (setters,) = limit_setters(many)
    assert setters.names == ("993.png",)  # the tenth largest
    assert not setters.far


def test_above_a_limit_that_lies_between_two_scores_a_gap_says_little_of_it() -> None:
    """Of 198 the limit is a hundredth of the way from the second largest up to the largest."""
    (setters,) = limit_setters(limits(records([*np.linspace(0, 2.5, 197), 12.0])))
    assert setters.limit == pytest.approx(2.5 + 0.01 * 9.5)
    assert not setters.far
    assert setters.names == ("196.png",)  # the nearer of the two
    (setters,) = limit_setters(limits(records([*np.linspace(0, 2.5, 110), 12.0])))
    assert setters.names == ("110.png",)
    assert setters.times == pytest.approx((setters.limit - 1.26) / (2.5 - 1.26), rel=0.01)
    assert setters.far
    two = limit_setters(limits(records([*np.linspace(0, 2.5, 197), 11.0, 12.0])))[0]
    assert two.names == ("198.png", "197.png")


def test_chance_alone_gives_a_note_as_seldom_as_stated() -> None:
    rng = np.random.default_rng(0)
    for n, share in ((60, 1 / 12), (99, 1 / 25)):
        said = [setters_note(limits(records(rng.exponential(size=n)))) for _ in range(400)]
        assert np.mean([bool(note) for note in said]) == pytest.approx(share, abs=0.03)
    assert FAR == 2


def test_fifty_products_make_one_sentence() -> None:
    groups = [records([*EVEN, 60.0 + k], f"p{k:02d}") for k in range(50)]
    (note,) = setters_note(limits(*groups))
    assert note.startswith("Limits that rest on few good images: p49 on 30.png, 6.7 times")
    assert "; and 47 more, see `blemish info MODEL`." in note
    assert note.endswith(
        "`blemish calibrate MODEL --exclude p49/30.png --exclude p48/30.png --exclude p47/30.png`"
    )
    several = limits(*groups)
    assert [r.product for r in named_images(several, ["p49/30.png", "p48/30.png"])] == [
        "p49",
        "p48",
    ]
    (note,) = setters_note(several, learned=True)
    assert "fit without them: `blemish fit … --leave-out p49/30.png --leave-out p48/30.png" in note
    assert set_by_line(limits(*groups)).endswith("and 47 more (blemish info MODEL)")


def test_images_without_a_name_are_not_spoken_of() -> None:
    nameless = calibrate([CalibrationRecord("nut", s, s) for s in (*EVEN, 60.0)])
    assert setters_note(nameless) == []
    assert set_by_line(nameless) == ""
    assert limit_setters(nameless)[0].far


def test_a_single_good_image_sets_its_limit() -> None:
    (setters,) = limit_setters(limits(records([4.0])))
    assert setters.names == ("00.png",)
    assert math.isnan(setters.without)


def test_a_name_finds_the_image_without_its_file() -> None:
    found = limits(records([*EVEN, 60.0]), records(EVEN[:20], "bolt"))
    gone = named_images(found, ["30.png", "03.png#bolt3"])
    after = calibrate(gone, current=found, how="exclude")
    assert after.limits("nut").defect == 29
    assert after.limits("bolt").n == 19
    assert named_images(found, ["07.png"], "bolt")[0].image == "07.png#bolt7"


@pytest.mark.parametrize(
    ("name", "product", "message"),
    [
        ("07.png", None, r"2 good images are called 07\.png: 07\.png#bolt7 of .* in bolt/07\.png"),
        ("31.png", None, r"31\.png is not among the 51 good images .* Did you mean '30\.png'"),
        ("30.png", "bolt", r"30\.png is not among the 20 good images of bolt"),
    ],
)
def test_a_name_that_finds_none_or_several_is_refused(
    name: str, product: str | None, message: str
) -> None:
    found = limits(records([*EVEN, 60.0]), records(EVEN[:20], "bolt"))
    with pytest.raises(CalibrationError, match=message):
        named_images(found, [name], product)


def test_of_groups_one_rate_is_guaranteed_and_not_two() -> None:
    """Thirty images of three groups hold what three groups can, and not 1 in 31."""
    grouped = calibrate(
        [
            CalibrationRecord("nut", s, s, image=f"{s:.0f}.png#{s}", group=f"lot{int(s) % 3}")
            for s in EVEN
        ]
    )
    notes = " ".join(grouped.notes())
    assert "used has a false-alarm rate of about 3.2 %." in notes
    assert "Of new groups they stop about 3.2 %; guaranteed for 1 % is at most 32 %" in notes
    assert notes.count("at most") == 1
