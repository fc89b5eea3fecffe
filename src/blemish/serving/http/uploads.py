"""Upload parsing: from the body of a request to images in memory, bounded in bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import PurePosixPath

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from blemish.serving.limits import Admission, RefusalError, ServeLimits
from blemish.serving.order import Upload

_LONGEST_NAME = 200
_RAW_TYPES = ("image/", "application/octet-stream")


class _Parser(MultiPartParser):
    """Keeps parts in memory: all of them together are bounded already."""

    spool_max_size = 2**62


class Body:
    """The body of a request, whose memory is accounted for as long as the context is open."""

    def __init__(self, request: Request, limits: ServeLimits, admission: Admission) -> None:
        self._request = request
        self._limits = limits
        self._admission = admission
        self._held = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *error: object) -> None:
        self._admission.release(self._held)
        self._held = 0

    async def uploads(self, name: str | None) -> list[Upload]:
        """Its files: multipart form data, or the raw bytes of one image with its ``name``."""
        declared = self._declared_length()
        kind = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        multipart = kind == "multipart/form-data"
        if not multipart and kind and not kind.startswith(_RAW_TYPES):
            raise RefusalError(
                415,
                "not_an_image",
                f"Found content of type {kind[:60]!r}. Send the bytes of an image with its own "
                "type, such as image/png, or several images as multipart/form-data.",
            )
        self._hold(declared)
        try:
            reading = self._form() if multipart else self._raw(name)
            files = await asyncio.wait_for(reading, self._limits.body_seconds)
        except asyncio.TimeoutError:
            raise RefusalError(
                408,
                "too_slow",
                f"The request was not complete after {self._limits.body_seconds:g} seconds "
                "(--timeout).",
                headers={"Connection": "close"},
            ) from None
        if not files:
            raise RefusalError(422, "no_image", "No image was sent. With curl: -F image=@part.png")
        return files

    async def _raw(self, name: str | None) -> list[Upload]:
        content = b"".join([chunk async for chunk in self._chunks()])
        return [Upload(safe_name(name), content)] if content else []

    async def _form(self) -> list[Upload]:
        parser = _Parser(
            self._request.headers,
            self._chunks(),
            max_files=self._limits.images,
            max_fields=8,
            max_part_size=64 * 1024,
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise RefusalError(
                    413,
                    "too_many_images",
                    f"Found more than {self._limits.images} images in one request. Send them in "
                    "several, or start the server with a larger --max-images.",
                ) from error
            raise RefusalError(
                400, "bad_form", f"The form data cannot be read: {error.message}"
            ) from error
        except (KeyError, ValueError, UnicodeError) as error:
            raise RefusalError(
                400, "bad_form", f"The form data cannot be read: {type(error).__name__}."
            ) from error
        files = []
        try:
            for field_name, part in form.multi_items():
                if not isinstance(part, UploadFile):
                    raise RefusalError(
                        422,
                        "no_image",
                        f"Found the text field {field_name[:60]!r}. Expected files only, with file "
                        "names: curl -F image=@part.png; options go into the query.",
                    )
                files.append(Upload(safe_name(part.filename), await part.read()))
        finally:
            await form.close()
        return files

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """What arrives, counted against the request's own bound and that of all together."""
        total = 0
        async for chunk in self._request.stream():
            total += len(chunk)
            if total > self._limits.body_bytes:
                raise self._too_large()
            if total > self._held:  # no length was declared
                self._hold(total - self._held)
            yield chunk

    def _declared_length(self) -> int:
        text = self._request.headers.get("content-length", "0")
        length = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 2**63
        if length > self._limits.body_bytes:
            raise self._too_large()
        return length

    def _too_large(self) -> RefusalError:
        return RefusalError(
            413,
            "too_large",
            f"A request may hold at most {self._limits.body_bytes:,} bytes. Send fewer or smaller "
            "images, or start the server with a larger --max-mib.",
            headers={"Connection": "close"},
        )

    def _hold(self, count: int) -> None:
        self._admission.hold(count)
        self._held += count


def safe_name(name: str | None) -> str:
    """A client's name for a picture as one line of plain text, its end where it is long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name or "")
    parts = PurePosixPath(text.replace("\\", "/")).parts
    text = "/".join(part for part in parts if part not in ("/", "..", "."))
    return text[-_LONGEST_NAME:].strip() or "picture"
