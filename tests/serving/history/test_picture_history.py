"""What is kept, and what gives way."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from blemish.errors import ConfigError
from blemish.serving.history import database as database_module
from blemish.serving.history.database import FILE, Database, HistoryError
from blemish.serving.history.pictures import Contents, Picture, PictureHistory
from blemish.serving.limits import RefusalError, ServeLimits

CONTENTS = Contents(b"s" * 50, b"t" * 30, b"m" * 20)  # 100 bytes


def picture(number: int, product: str | None = "nut") -> Picture:
    return Picture(
        digest=f"digest {number}",
        product=product,
        name=f"part {number}.png",
        size=(40, 60),
        score=number + 1 / 3,
        peak=3.5,
        map_low=0.25,
        branches={"logical": 0.1},
        verdict="unsure",
        version=1,
    )


def history(folder: Path, **limits: int) -> tuple[Database, PictureHistory]:
    database = Database.open(folder / "state", "model")
    return database, PictureHistory(database, ServeLimits(**limits))


def test_what_is_kept_comes_back_after_the_process(tmp_path: Path) -> None:
    database, kept = history(tmp_path)
    key = kept.keep(picture(1), CONTENTS)
    other = kept.keep(picture(2, None), CONTENTS)
    kept.set_mark(key, "good")
    database.close()
    database, kept = history(tmp_path)
    found = kept.get(key)
    assert found == replace(picture(1), id=key, judged=found.judged, mark="good")
    assert found.judged.endswith("Z")
    assert kept.get(other).product is None
    assert kept.contents(key, "source") == CONTENTS.source
    assert kept.contents(key, "map") == CONTENTS.map
    assert [p.id for p in kept.all()] == [other, key]
    assert [p.id for p in kept.all() if p.mark == "good"] == [key]
    assert found.record.image == "part 1.png#digest 1"
    database.close()


def test_the_same_file_again_is_the_same_picture(tmp_path: Path) -> None:
    database, kept = history(tmp_path)
    key = kept.keep(picture(1), CONTENTS)
    kept.set_mark(key, "defect")
    assert kept.keep(replace(picture(1), name="again.png"), CONTENTS) == key
    assert kept.get(key).mark == "defect"
    assert kept.get(key).name == "again.png"
    assert kept.keep(picture(1, "bolt"), CONTENTS) == key  # judged by other limits: still one
    assert [(p.id, p.product, p.mark) for p in kept.all()] == [(key, "bolt", "defect")]
    database.close()


def test_a_history_that_kept_a_file_for_each_product_goes_on_with_one(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    old = sqlite3.connect(tmp_path / "state" / FILE)
    tables = database_module._TABLES.replace("digest TEXT NOT NULL UNIQUE", "digest TEXT NOT NULL")
    for column in ("recognised TEXT", "rival TEXT", "named INTEGER NOT NULL DEFAULT 0"):
        tables = tables.replace(f"    {column},\n", "")
    old.executescript(
        tables.replace("bytes INTEGER NOT NULL", "bytes INTEGER NOT NULL, UNIQUE (digest, product)")
    )
    old.execute("INSERT INTO meta VALUES ('schema', '2'), ('model', 'model')")
    for digest, product, mark in (
        ("a", "nut", "good"),
        ("a", "bolt", None),
        ("b", "nut", None),
        ("b", "bolt", None),
    ):
        key = old.execute(
            "INSERT INTO pictures (digest, product, name, judged, height, width, score, peak, "
            "map_low, branches, version, mark, bytes) "
            "VALUES (?, ?, 'n', 't', 4, 4, 1, 1, 0, '{}', 1, ?, 9)",
            (digest, product, mark),
        ).lastrowid
        old.execute("INSERT INTO contents VALUES (?, 's', 't', 'm', NULL)", (key,))
    old.commit()
    old.close()
    database, kept = history(tmp_path)
    found = [(p.digest, p.product, p.mark, p.named) for p in kept.all()]
    assert found == [("b", "bolt", None, False), ("a", "nut", "good", False)]  # marked, or newest
    assert database.rows("SELECT COUNT(*) FROM contents")[0][0] == 2
    assert kept.keep(replace(picture(1), digest="b"), CONTENTS) == kept.all()[0].id
    database.close()
    history(tmp_path)[0].close()  # once


def test_the_oldest_unmarked_give_way(tmp_path: Path) -> None:
    database, kept = history(tmp_path, keep_pictures=3)
    keys = [kept.keep(picture(n), CONTENTS) for n in range(3)]
    kept.set_mark(keys[0], "good")
    keys.append(kept.keep(picture(3), CONTENTS))
    assert {p.id for p in kept.all()} == {keys[0], keys[2], keys[3]}
    with pytest.raises(RefusalError) as caught:
        kept.contents(keys[1], "source")
    assert caught.value.status == 404
    database.close()


def test_bytes_are_bounded_too(tmp_path: Path) -> None:
    database, kept = history(tmp_path, keep_bytes=250)
    keys = [kept.keep(picture(n), CONTENTS) for n in range(3)]
    assert [p.id for p in kept.all()] == keys[:0:-1]
    database.close()


def test_marked_pictures_are_somebodys_work_and_stay(tmp_path: Path) -> None:
    database, kept = history(tmp_path, keep_pictures=2)
    for n in range(2):
        kept.set_mark(kept.keep(picture(n), CONTENTS), "good")
    with pytest.raises(RefusalError, match="marked pictures fill the history") as caught:
        kept.keep(picture(2), CONTENTS)
    assert caught.value.status == 507
    assert len(kept.all()) == 2
    database.close()


def test_removing(tmp_path: Path) -> None:
    database, kept = history(tmp_path)
    keys = [kept.keep(picture(n), CONTENTS) for n in range(4)]
    kept.set_mark(keys[0], "good")
    assert kept.remove([keys[1], 10**30, -1]) == 1
    assert kept.remove() == 2
    assert [p.id for p in kept.all()] == [keys[0]]
    assert database.rows("SELECT COUNT(*) FROM contents")[0][0] == 1
    for missing in (keys[1], 0, -1, 10**30):
        with pytest.raises(RefusalError):
            kept.get(missing)
    with pytest.raises(RefusalError):
        kept.set_mark(keys[1], "good")
    database.close()


def test_two_servers_never_share_a_history(tmp_path: Path) -> None:
    database, _ = history(tmp_path)
    with pytest.raises(HistoryError, match="in use"):
        Database.open(tmp_path / "state", "model")
    database.close()
    Database.open(tmp_path / "state", "model").close()


def test_scores_of_two_models_never_mix(tmp_path: Path) -> None:
    history(tmp_path)[0].close()
    with pytest.raises(HistoryError, match="another model"):
        Database.open(tmp_path / "state", "other")
    Database.open(tmp_path / "state", "model").close()  # it was let go


def test_a_damaged_history_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(HistoryError, match="Move it away"):
        Database.open(tmp_path / "state", "model")
    with pytest.raises(ConfigError, match="--state"):
        Database.open(tmp_path / "missing" / "state", "model")


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database, kept = history(tmp_path)

    def twice() -> None:
        with database.transaction():
            for _ in range(2):
                database.run("INSERT INTO meta VALUES ('a', 'b')")

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    assert not database.rows("SELECT * FROM meta WHERE key = 'a'")
    assert kept.keep(picture(1), CONTENTS)
    database.close()
