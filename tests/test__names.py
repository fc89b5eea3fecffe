from __future__ import annotations

from blemish._names import unknown_name_message


def test_the_nearest_and_all_are_named() -> None:
    message = unknown_name_message("method", "bord", ("rd", "borad"))
    assert message == "Unknown method 'bord'. Did you mean 'borad'? Known: rd, borad."


def test_without_a_near_one_none_is_guessed() -> None:
    assert "mean" not in unknown_name_message("method", "xyz", ("rd", "borad"))


def test_long_lists_are_cut() -> None:
    message = unknown_name_message("backbone", "x", (f"net{i}" for i in range(100)))
    assert message.endswith("net29, … (100 in all).")
