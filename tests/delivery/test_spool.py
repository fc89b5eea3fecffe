"""Spools: order, each message once, bounds, and one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blemish.delivery.spool import Spool
from blemish.errors import ConfigError


def test_messages_come_out_in_order_and_stay_until_they_have_arrived(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "a.sqlite")
    for name in "abc":
        spool.put(name, name * 2)
    spool.put("a", "again")  # waits already: the first one stays
    assert len(spool) == 3
    assert spool.first() == (1, "a", "aa") == spool.first()
    spool.arrived(1)
    spool.refuse(2, "no")
    assert spool.first() == (3, "c", "cc")
    assert (len(spool), spool.refused) == (1, 1)
    spool.close()
    again = Spool(tmp_path / "new" / "a.sqlite")
    assert again.first() == (3, "c", "cc")
    again.arrived(3)
    again.put("a", "later")  # arrived before, and is sent again when it comes again
    last = again.first()
    assert last is not None
    assert last[1:] == ("a", "later")
    again.close()


def test_too_many_drop_the_oldest_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.sqlite", most=3)
    for number in range(5):
        spool.put(str(number), "")
    assert (len(spool), spool.dropped) == (3, 2)
    first = spool.first()
    assert first is not None
    assert first[1] == "2"
    spool.close()


def test_a_spool_in_use_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    code = (
        "import sys, pathlib\nfrom blemish.delivery.spool import Spool\n"
        "s = Spool(pathlib.Path(sys.argv[1])); s.put('a', '{}'); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match="in use by another process"):
            Spool(path)
        other.kill()
    after = Spool(path)
    assert len(after) == 1  # what was put in before the kill is there
    after.close()


def test_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_text("no database, but a long enough text to be read as a header of one" * 20)
    with pytest.raises(ConfigError, match="Cannot keep messages in"):
        Spool(path)
