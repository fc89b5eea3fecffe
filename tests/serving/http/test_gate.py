"""Who may talk to a server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from blemish.errors import ConfigError
from blemish.serving.http.security import COOKIE, Gate, check_token, is_loopback
from blemish.serving.http.server import make_gate
from blemish.serving.limits import RefusalError

TOKEN = "a-token-of-some-length"
LOCAL = {"host": "127.0.0.1:8000"}


def status(gate: Gate, method: str, path: str, headers: dict[str, str]) -> int:
    try:
        gate.check(method, path, headers)
    except RefusalError as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8000", 200),
        ("127.1.2.3", 200),
        ("localhost", 200),
        ("LOCALHOST:9", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 421),  # a name that was made to point here
        ("localhost.evil.example", 421),
        ("192.168.0.7:8000", 421),
        ("", 421),
        ("[::1", 421),
        ("127.0.0.1@evil.example", 421),
    ],
)
def test_a_name_that_is_not_ours_is_refused(host: str, expected: int) -> None:
    assert status(Gate(token=None, loopback=True), "GET", "/", {"host": host}) == expected


def test_names_can_be_allowed_and_addresses_reach_an_open_server() -> None:
    gate = Gate(token=TOKEN, loopback=False, hosts=["Line.Example"])
    assert status(gate, "GET", "/", {"host": "line.example"}) == 200
    assert status(gate, "GET", "/", {"host": "192.168.0.7:8000"}) == 200
    assert status(gate, "GET", "/", {"host": "other.example"}) == 421


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),  # a program
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://127.0.0.1:9000"}, 403),  # another server on this machine
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),  # no address at all
        ({"origin": "http://[::1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_sites_page_changes_nothing(
    method: str, headers: dict[str, str], expected: int
) -> None:
    gate = Gate(token=None, loopback=True)
    assert status(gate, method, "/v1/predict", LOCAL | headers) == expected
    assert status(gate, "GET", "/v1/model", LOCAL | headers) == 200


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer \udcff", 401),
        ("", 401),
    ],
)
def test_the_token_opens(shown: str, expected: int) -> None:
    gate = Gate(token=TOKEN, loopback=True)
    headers = LOCAL | {"authorization": shown}
    assert status(gate, "GET", "/v1/history", headers) == expected
    assert status(gate, "GET", "/metrics", headers) == expected
    for path in ("/", "/static/main.js", "/healthz", "/readyz", "/v1/session"):
        assert status(gate, "GET", path, LOCAL) == 200


def test_a_session_is_as_good_as_the_token_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(token=TOKEN, loopback=True)
    value, seconds = gate.session()
    assert TOKEN not in value
    cookie = {"cookie": f"other=1; {COOKIE}={value}"}
    assert status(gate, "GET", "/v1/history", LOCAL | cookie) == 200
    assert not Gate(token=TOKEN + "x", loopback=True).knows_session(value)
    end, _, signature = value.partition(".")
    assert not gate.knows_session(f"{int(end) + 1}.{signature}")
    for forged in (
        "",
        ".",
        f"{end}.",
        f".{signature}",
        "9" * 5000 + f".{signature}",
        "²." + signature,
    ):
        assert not gate.knows_session(forged)
    later = time.time() + seconds + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not gate.knows_session(value)


@pytest.mark.parametrize("text", ["short", "", "  \n", "with a space in it all", "ünusual-" * 4])
def test_a_token_that_protects_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        check_token(text, "token.txt")
    assert check_token(f" {TOKEN}\n", "token.txt") == TOKEN


def test_loopback_is_told_from_all_addresses() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("::")
    with pytest.raises(ConfigError, match="no such address"):
        is_loopback("no.such.host.invalid")


def test_other_addresses_need_a_token_or_a_plain_word(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--token-file"):
        make_gate(host="0.0.0.0")
    assert not make_gate(host="0.0.0.0", allow_anonymous=True).needs_token
    file = tmp_path / "token"
    with pytest.raises(ConfigError, match="No such file"):
        make_gate(token_file=file)
    file.write_text(TOKEN + "\n")
    assert make_gate(host="0.0.0.0", token_file=file).knows_token(TOKEN)
    assert not make_gate().needs_token
