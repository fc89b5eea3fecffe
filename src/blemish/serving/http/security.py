"""Access control: who may talk to the server, and the security headers of every answer.

The checks of one request, in order: is the ``Host`` one of ours (a page elsewhere cannot make a
browser talk to a name it controls), does a change come from our own page or from no page at all,
and is the token right. Nothing of a refused request is read.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import Response

from blemish.errors import ConfigError
from blemish.serving.limits import RefusalError

COOKIE = "blemish_session"
SHORTEST_TOKEN = 16
_SESSION_SECONDS = 12 * 3600
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether a server bound to ``host`` can be reached from this machine only."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--host {host}: no such address ({error}). Give an address of this machine, such as "
            "127.0.0.1."
        ) from error
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def check_token(token: str, source: str) -> str:
    """The token without the white space around it, if it can protect anything."""
    token = token.strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"{source} holds no usable token: expected at least {SHORTEST_TOKEN} printable "
            "characters on one line. Make one with: python3 -c 'import secrets; "
            "print(secrets.token_urlsafe(32))'"
        )
    if " " in token:
        raise ConfigError(f"{source} holds a token with a space in it: expected one word.")
    return token


class Gate:
    """Decides whether a request may come in.

    Args:
        token: What clients must show; ``None`` lets everybody in.
        loopback: Whether the server is bound to this machine alone.
        hosts: Names by which clients may call the server, beside ``localhost`` and addresses.
    """

    #: What a browser needs before anybody has logged in, and what a supervisor asks.
    PAGES = frozenset({"/", "/live", "/trend", "/v1/session"})
    PUBLIC = PAGES | {"/healthz", "/readyz"}

    def __init__(self, *, token: str | None, loopback: bool, hosts: Iterable[str] = ()) -> None:
        self._token = None if token is None else token.encode()
        self._loopback = loopback
        self._hosts = {"localhost", *(name.lower().rstrip(".") for name in hosts)}
        if not loopback:
            self._hosts.add(socket.gethostname().lower())

    @property
    def needs_token(self) -> bool:
        """Whether clients must show a token."""
        return self._token is not None

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Let a request pass, or refuse it: 421, 403 or 401; names of headers in lower case."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise RefusalError(
                421,
                "unknown_host",
                f"This server is not called {host[:100]!r}. If it should be, start it with "
                "--allow-host and that name.",
            )
        if method not in _SAFE_METHODS and _from_elsewhere(headers, host):
            raise RefusalError(
                403, "cross_site", "Another site's page sent this request; it is refused."
            )
        if self.needs_token and not self.is_public(path):
            scheme, _, token = headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and self.knows_token(token.strip()):
                return
            if self.knows_session(cookie_parser(headers.get("cookie", "")).get(COOKIE)):
                return
            raise RefusalError(
                401,
                "token_needed",
                "Send the server's token in the header: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": 'Bearer realm="blemish"'},
            )

    def is_public(self, path: str) -> bool:
        """Whether anybody may see what lies there: the page's own files, and signs of life."""
        place = path.split("/")  # of one model of several: /inspect/NAME/…
        if place[1:2] == ["inspect"] and len(place) > 2:
            return "/" + "/".join(place[3:]) in self.PAGES
        return path in self.PUBLIC or path.startswith("/static/")

    def knows_token(self, shown: str) -> bool:
        """Whether this is the token, in constant time."""
        if self._token is None:
            return True
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self._token)

    def session(self) -> tuple[str, int]:
        """A value for the cookie of somebody who showed the token, and its seconds of life.

        It holds the time it ends and a keyed digest of that: the server remembers nothing, and
        the token itself never lies in a browser.
        """
        end = str(int(time.time()) + _SESSION_SECONDS)
        return f"{end}.{self._sign(end)}", _SESSION_SECONDS

    def let_in(self, response: Response, *, secure: bool) -> None:
        """Give somebody who showed the token the cookie; ``secure``: by https alone."""
        if self.needs_token:
            value, seconds = self.session()
            response.set_cookie(
                COOKIE, value, max_age=seconds, httponly=True, samesite="strict", secure=secure
            )

    def knows_session(self, value: str | None) -> bool:
        """Whether a cookie's value is ours and still valid."""
        end, _, signature = (value or "").partition(".")
        if self._token is None or not (end.isascii() and end.isdecimal() and len(end) <= 12):
            return False
        genuine = hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(end).encode()
        )
        return genuine and int(end) > time.time()

    def _sign(self, end: str) -> str:
        assert self._token is not None
        return hmac.new(self._token, f"blemish session {end}".encode(), hashlib.sha256).hexdigest()

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._hosts
        # An address cannot be rebound by a name server; but only ours makes sense on loopback.
        return address.is_loopback or not self._loopback or name in self._hosts


def _from_elsewhere(headers: Mapping[str, str], host: str) -> bool:
    """Whether a browser says that another site's page sent this. Other clients say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:  # no browser sends such an address, and it is not ours
        return True
