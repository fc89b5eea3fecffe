"""The server's log: every line, in order, and warnings without delay."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator

import pytest

from blemish.serving.http.log import Lines, _Times


class Stream(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, Stream]]:
    handler, stream = Lines(), Stream()
    handler.setStream(stream)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


def test_lines_are_written_together_a_moment_later(log: tuple[logging.Logger, Stream]) -> None:
    logger, stream = log
    for number in range(5):
        logger.info("line %d", number)
    assert stream.writes == 0
    deadline = time.monotonic() + 10
    while not stream.writes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stream.writes == 1
    assert stream.getvalue() == "".join(f"line {number}\n" for number in range(5))


def test_a_warning_is_written_at_once_behind_what_was_before_it(
    log: tuple[logging.Logger, Stream],
) -> None:
    logger, stream = log
    logger.info("first")
    logger.error("second")
    assert stream.getvalue() == "first\nsecond\n"


def test_many_lines_do_not_wait_and_the_last_are_not_lost(
    log: tuple[logging.Logger, Stream],
) -> None:
    logger, stream = log
    for number in range(450):
        logger.info("%d", number)
    assert stream.getvalue().count("\n") >= 400  # memory for lines is bounded
    logger.handlers[0].flush()  # as at the end of the process
    assert stream.getvalue().split() == [str(number) for number in range(450)]


def test_a_log_that_nobody_reads_fails_no_request(log: tuple[logging.Logger, Stream]) -> None:
    logger, stream = log
    stream.close()
    logger.error("to nobody")
    assert stream.closed


def test_times_are_those_of_the_standard_library() -> None:
    ours, theirs = _Times("%(asctime)s"), logging.Formatter("%(asctime)s")
    record = logging.LogRecord("test", logging.INFO, "", 0, "", None, None)
    for created in (1_700_000_000.0, 1_700_000_000.25, 1_700_000_001.999):
        record.created, record.msecs = created, created % 1 * 1000
        assert ours.format(record) == theirs.format(record)
