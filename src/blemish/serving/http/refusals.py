"""Answers that say no: one kind of exception, one form of JSON."""

from __future__ import annotations


class RefusalError(Exception):
    """A request that is not served, with its status and what the client can do.

    Args:
        status: HTTP status.
        code: A short fixed word for programs.
        detail: One or two sentences for people.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}

    @property
    def content(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error": self.code, "detail": self.detail}


def busy(detail: str, seconds: int) -> RefusalError:
    """503, with the time after which to come again."""
    return RefusalError(503, "busy", detail, headers={"Retry-After": str(max(1, seconds))})
