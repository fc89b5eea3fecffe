"""Access control of the studio: two tokens, and what each lets people do.

Whoever shows the engineer's token may do everything; the operator's lets inspect and mark, and
refuses what changes pictures, limits and models. Without tokens everybody who reaches the address
is an engineer, as with ``blemish serve``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from starlette.requests import cookie_parser

from blemish.serving.http.security import Gate
from blemish.serving.limits import RefusalError
from blemish.studio.audit import Person, Role, acting

NAME_COOKIE = "blemish_name"
_LONGEST_NAME = 60
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What operators may change: to judge, to mark, and to leave again.
_FOR_OPERATORS = re.compile(
    r"/v1/(session|studio/marks)|/inspect/[^/]+/v1/"
    r"(session|predict|trigger|live/zero|pictures/\d+/(mark|product|remark))"
)


class StudioGate(Gate):
    """Decides whether a request may come in, and as whom.

    Args:
        engineer: The gate for whom everything is open.
        operator: That of the second token, where there is one.
    """

    def __init__(self, engineer: Gate, operator: Gate | None = None) -> None:
        self.engineer, self.operator = engineer, operator

    @property
    def needs_token(self) -> bool:
        return self.engineer.needs_token

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Let a request pass, or refuse it; whoever passes is the one who acts."""
        role: Role = "engineer"
        try:
            self.engineer.check(method, path, headers)
        except RefusalError as refusal:
            if refusal.status != 401 or self.operator is None:
                raise
            self.operator.check(method, path, headers)
            role = "operator"
            if method not in _SAFE_METHODS and not _FOR_OPERATORS.fullmatch(path):
                raise RefusalError(
                    403,
                    "engineer_needed",
                    "Operators inspect and mark; this needs the token of an engineer.",
                ) from None
        cookies = cookie_parser(headers.get("cookie", ""))
        name = "".join(c for c in unquote(cookies.get(NAME_COOKIE, "")) if c.isprintable())
        acting.set(Person(role, name.strip()[:_LONGEST_NAME]))

    def gate_of(self, token: str) -> tuple[Role, Gate] | None:
        """Whose token this is."""
        if self.engineer.knows_token(token):
            return "engineer", self.engineer
        if self.operator is not None and self.operator.knows_token(token):
            return "operator", self.operator
        return None

    def role_of(self, session: str | None) -> Role | None:
        """Whose session a cookie holds; nobody's, where tokens are needed and it shows none."""
        if not self.needs_token or self.engineer.knows_session(session):
            return "engineer"
        if self.operator is not None and self.operator.knows_session(session):
            return "operator"
        return None
